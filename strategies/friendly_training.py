"""Friendly training: easy inputs first."""

from __future__ import annotations

from typing import Any

from clbench.registry import Count, Positive, strategy
from clbench.strategy import Learner, Strategy, evaluating

from ._inputs import input_gradient


@strategy("friendly-training", family="regulariser")
class FriendlyTraining(Strategy):
    """Friendly training: at first each batch is moved to where the network finds it easier, less and less.

    Marullo et al. 2021 (arXiv:2106.10974): before a weight step the inputs take ⌊n·s⌋ gradient steps that lower their
    loss, x ← x − β∇_x, from the batch as it is, where s = (1 − t/T)² at step t of the stage and T is a quarter of the
    stage: from there on the inputs are the batch itself. Gradients are taken in evaluation mode.
    most: n, how many steps the inputs take at first. beta: the size of a step, for inputs as the network gets them.

    Cost: in the first quarter of each stage up to ``most`` forward and backward passes more each step; nothing is kept.
    """

    def __init__(self, *, most: Count = 10, beta: Positive = 0.01) -> None:
        super().__init__()
        self.most = most
        self.beta = beta
        self.step = 0

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Begin to count."""
        self.step = 0

    def steps(self, whole: int) -> int:
        """How many steps the inputs take before this step of a stage with so many."""
        left = 1 - self.step / (whole / 4)
        return int(self.most * left**2) if left > 0 else 0

    def before_forward(self, learner: Learner, **kwargs: Any) -> None:
        """Move the batch."""
        count = self.steps(learner.stage_steps)
        self.step += 1
        if count:
            x = learner.mbatch[0]
            with evaluating(learner.model):
                for _ in range(count):
                    x = x - self.beta * input_gradient(learner, x)
            learner.mbatch[0] = x
