"""Random importances: the control that asks whether importances matter."""

from __future__ import annotations

import torch

from clbench.registry import NonNegative, strategy
from clbench.strategy import Learner, Weights

from ._anchor import Accumulate, IncludeHead, Scope, anchor_of
from ._importance import Importance, Parameters
from ._quadratic import ExplicitInterpolation, QuadraticPenalty, WhenBothZero


class Random(Importance):
    """A ~ U(0, 1), drawn once per stage from the run's seed.

    ``each_step`` draws α anew at each step, and A apart from it, as the code of Lubana et al. 2022 does.
    """

    def __init__(self, each_step: bool = False) -> None:
        self.each_step = each_step

    def begin(self, learner: Learner, weights: Parameters) -> None:
        """Draw the stage's importances."""
        self.steps = 0
        self.drawn = self._draw(learner, weights, f"importance of stage {learner.stage}")

    def stepped(self, learner: Learner, weights: Parameters) -> None:
        """Draw the step's."""
        if self.each_step:
            self.steps += 1
            self.drawn = self._draw(learner, weights, f"importance of stage {learner.stage}, step {self.steps}")

    def current(self, weights: Parameters) -> Weights:
        """What was drawn."""
        return self.drawn

    def finish(self, learner: Learner, weights: Parameters) -> Weights:
        """The stage's draw."""
        return self._draw(learner, weights, f"importance of stage {learner.stage}")

    def end(self) -> None:
        """Let go of what was drawn."""
        self.drawn = []

    def _draw(self, learner: Learner, weights: Parameters, purpose: str) -> Weights:
        random = learner.random(purpose)
        return [torch.rand(weight.shape, generator=random).to(weight) for weight in weights]


@strategy("random", family="penalty", version=2, concerns=("parity", "clamp"), role="control")
def random(
    *,
    lam: NonNegative = 0.1,
    accumulate: Accumulate = "mean",
    clamp: bool = False,
    balanced: bool = False,
    include_head: IncludeHead = "auto",
    include_norm: bool = True,
    parity: bool = False,
) -> QuadraticPenalty:
    """Quadratic penalty with random importances A ~ U(0, 1).

    Control of Lubana et al. 2022 (CoLLAs), section 5. parity: no ½, and importances averaged. Others as for 'ewc'.

    Cost: as for 'l2'.
    """
    anchor = anchor_of(accumulate, parity=parity, online=False)
    scope = Scope(include_head, include_norm, balanced)
    return QuadraticPenalty(Random(), anchor, lam, scope, clamp=clamp, doubled=parity)


@strategy("random-fixed", family="interpolation", version=2, concerns=("parity",), role="control")
def random_fixed(
    *,
    accumulate: Accumulate = "mean",
    when_both_zero: WhenBothZero = "freeze",
    balanced: bool = False,
    include_head: IncludeHead = "auto",
    include_norm: bool = True,
    parity: bool = False,
) -> ExplicitInterpolation:
    """Explicit interpolation with random importances; α is the current stage's draw.

    Lubana et al. 2022 (CoLLAs), section 6. parity: as in the authors' code, α is drawn anew at each step. Others as for
    'ewc-fixed'.

    Cost: an interpolation of every weight each step; A, α and an anchor for each weight, however many tasks.
    """
    anchor = anchor_of(accumulate, parity=parity, online=False)
    return ExplicitInterpolation(
        Random(each_step=parity), anchor, when_both_zero, Scope(include_head, include_norm, balanced)
    )
