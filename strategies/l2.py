"""L2 regularisation towards the old weights, and the random control."""

from __future__ import annotations

import torch

from clbench.registry import NonNegative, strategy
from clbench.strategy import Learner, Weights

from ._importance import Importance, Parameters
from ._quadratic import Accumulate, Anchor, ExplicitInterpolation, QuadraticPenalty, WhenBothZero


class Uniform(Importance):
    """A = 1 for every weight."""

    def begin(self, learner: Learner, weights: Parameters) -> None:
        """The same at every stage."""
        self.ones = [torch.ones_like(weight) for weight in weights]

    def current(self, weights: Parameters) -> Weights:
        """Ones."""
        return self.ones


@strategy("l2")
def l2(*, lam: NonNegative = 0.1, accumulate: Accumulate = "mean", include_head: bool = False) -> QuadraticPenalty:
    """L2 penalty towards the last task's weights, (λ/2)‖θ − θ*‖²: every weight matters the same.

    "Vanilla" of Lubana et al. 2022 (CoLLAs), eq. 1 with A = 1; L2 of Smith et al. 2023 (arXiv:2203.17269).
    """
    return QuadraticPenalty(Uniform(), Anchor(accumulate), lam, include_head)


@strategy("l2-fixed")
def l2_fixed(
    *, accumulate: Accumulate = "mean", when_both_zero: WhenBothZero = "freeze", include_head: bool = False
) -> ExplicitInterpolation:
    """L2 by explicit interpolation: with A = α = 1, halfway back to the anchor after every step.

    Lubana et al. 2022 (CoLLAs), section 6.
    """
    return ExplicitInterpolation(Uniform(), Anchor(accumulate), when_both_zero, include_head)
