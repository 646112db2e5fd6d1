"""L2 regularisation towards the old weights, and the random control."""

from __future__ import annotations

import torch

from clbench.registry import NonNegative, strategy
from clbench.strategy import Learner, Weights

from ._anchor import Accumulate, IncludeHead, Scope, anchor_of
from ._importance import Importance, Parameters
from ._quadratic import ExplicitInterpolation, QuadraticPenalty, WhenBothZero


class Uniform(Importance):
    """The same A for every weight: 1, or as told."""

    def __init__(self, value: float = 1.0) -> None:
        self.value = value

    def begin(self, learner: Learner, weights: Parameters) -> None:
        """The same at every stage."""
        self.same = [torch.full_like(weight, self.value) for weight in weights]

    def current(self, weights: Parameters) -> Weights:
        """That."""
        return self.same

    def end(self) -> None:
        """Let go of it."""
        self.same = []


def _uniform(parity: bool) -> Uniform:
    return Uniform(0.5 if parity else 1.0)


@strategy("l2", family="penalty", version=2, concerns=("parity", "clamp"))
def l2(
    *,
    lam: NonNegative = 0.03,
    accumulate: Accumulate = "mean",
    clamp: bool = False,
    balanced: bool = False,
    include_head: IncludeHead = "auto",
    include_norm: bool = True,
    parity: bool = False,
) -> QuadraticPenalty:
    """L2 penalty towards the last task's weights, (λ/2)‖θ − θ*‖²: every weight matters the same.

    "Vanilla" of Lubana et al. 2022 (CoLLAs), eq. 1 with A = 1; L2 of Smith et al. 2023 (arXiv:2203.17269).
    balanced: changes nothing here. parity: the code of Lubana et al. takes A = ½ and no ½ in the penalty, averaged over
    tasks (its online modes leave A at 0): with accumulate=mean the same as without. Others as for 'ewc'.

    Cost: an addition to the gradient each step; an anchor and A for each weight, however many tasks.
    """
    anchor = anchor_of(accumulate, parity=parity, online=False)
    scope = Scope(include_head, include_norm, balanced)
    return QuadraticPenalty(_uniform(parity), anchor, lam, scope, clamp=clamp, doubled=parity)


@strategy("l2-fixed", family="interpolation", version=2, concerns=("parity",))
def l2_fixed(
    *,
    accumulate: Accumulate = "mean",
    when_both_zero: WhenBothZero = "freeze",
    balanced: bool = False,
    include_head: IncludeHead = "auto",
    include_norm: bool = True,
    parity: bool = False,
) -> ExplicitInterpolation:
    """L2 by explicit interpolation: with A = α = 1, halfway back to the anchor after every step.

    Lubana et al. 2022 (CoLLAs), section 6. parity: as for 'l2'. Others as for 'ewc-fixed'.

    Cost: an interpolation of every weight each step; an anchor and A for each weight, however many tasks.
    """
    anchor = anchor_of(accumulate, parity=parity, online=False)
    return ExplicitInterpolation(_uniform(parity), anchor, when_both_zero, Scope(include_head, include_norm, balanced))
