"""Random importances: the control that asks whether importances matter."""

from __future__ import annotations

import torch

from clbench.registry import NonNegative, strategy
from clbench.strategy import Learner, Weights

from ._anchor import Accumulate, Anchor, Scope
from ._importance import Importance, Parameters
from ._quadratic import ExplicitInterpolation, QuadraticPenalty, WhenBothZero


class Random(Importance):
    """A ~ U(0, 1), drawn once per stage from the run's seed."""

    def begin(self, learner: Learner, weights: Parameters) -> None:
        """Draw the stage's importances."""
        random = learner.random(f"importance of stage {learner.stage}")
        self.drawn = [torch.rand(weight.shape, generator=random).to(weight.device) for weight in weights]

    def current(self, weights: Parameters) -> Weights:
        """What was drawn."""
        return self.drawn


@strategy("random")
def random(
    *,
    lam: NonNegative = 0.1,
    accumulate: Accumulate = "mean",
    clamp: bool = False,
    balanced: bool = False,
    include_head: bool = False,
    include_norm: bool = True,
    parity: bool = False,
) -> QuadraticPenalty:
    """Quadratic penalty with random importances A ~ U(0, 1).

    Control of Lubana et al. 2022 (CoLLAs), section 5. Options as for 'ewc'.
    """
    anchor = Anchor(accumulate, halve_first=parity)
    scope = Scope(include_head, include_norm, balanced)
    return QuadraticPenalty(Random(), anchor, lam, scope, clamp=clamp, doubled=parity)


@strategy("random-fixed")
def random_fixed(
    *,
    accumulate: Accumulate = "mean",
    when_both_zero: WhenBothZero = "freeze",
    balanced: bool = False,
    include_head: bool = False,
    include_norm: bool = True,
    parity: bool = False,
) -> ExplicitInterpolation:
    """Explicit interpolation with random importances; α is the current stage's draw.

    Lubana et al. 2022 (CoLLAs), section 6.
    """
    anchor = Anchor(accumulate, halve_first=parity)
    return ExplicitInterpolation(Random(), anchor, when_both_zero, Scope(include_head, include_norm, balanced))
