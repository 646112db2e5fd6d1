"""L2 regularisation towards the old weights, and the random control."""

from __future__ import annotations

import torch

from clbench.registry import NonNegative, strategy
from clbench.strategy import Learner, Weights

from ._anchor import Accumulate, Anchor, Scope
from ._importance import Importance, Parameters
from ._quadratic import ExplicitInterpolation, QuadraticPenalty, WhenBothZero


class Uniform(Importance):
    """A = 1 for every weight."""

    def begin(self, learner: Learner, weights: Parameters) -> None:
        """The same at every stage."""
        self.ones = [torch.ones_like(weight) for weight in weights]

    def current(self, weights: Parameters) -> Weights:
        """Ones."""
        return self.ones


@strategy("l2")
def l2(
    *,
    lam: NonNegative = 0.1,
    accumulate: Accumulate = "mean",
    clamp: bool = False,
    balanced: bool = False,
    include_head: bool = False,
    include_norm: bool = True,
    parity: bool = False,
) -> QuadraticPenalty:
    """L2 penalty towards the last task's weights, (λ/2)‖θ − θ*‖²: every weight matters the same.

    "Vanilla" of Lubana et al. 2022 (CoLLAs), eq. 1 with A = 1; L2 of Smith et al. 2023 (arXiv:2203.17269).
    Options as for 'ewc'; balanced changes nothing here.
    """
    anchor = Anchor(accumulate, halve_first=parity)
    scope = Scope(include_head, include_norm, balanced)
    return QuadraticPenalty(Uniform(), anchor, lam, scope, clamp=clamp, doubled=parity)


@strategy("l2-fixed")
def l2_fixed(
    *,
    accumulate: Accumulate = "mean",
    when_both_zero: WhenBothZero = "freeze",
    balanced: bool = False,
    include_head: bool = False,
    include_norm: bool = True,
    parity: bool = False,
) -> ExplicitInterpolation:
    """L2 by explicit interpolation: with A = α = 1, halfway back to the anchor after every step.

    Lubana et al. 2022 (CoLLAs), section 6.
    """
    anchor = Anchor(accumulate, halve_first=parity)
    return ExplicitInterpolation(Uniform(), anchor, when_both_zero, Scope(include_head, include_norm, balanced))
