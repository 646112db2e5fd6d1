"""Friendly training: easy inputs first."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from clbench.registry import Count, NonNegative, Positive, strategy
from clbench.strategy import Learner, Strategy, evaluating

from ._inputs import input_gradient
from ._simplifier import Simplifier, simplifier, simplifier_step


@strategy("friendly-training", family="regulariser")
class FriendlyTraining(Strategy):
    """Friendly training: at first each batch is moved to where the network finds it easier, less and less.

    Marullo et al. 2021 (arXiv:2106.10974): before a weight step the inputs take ⌊n·s⌋ gradient steps that lower their
    loss, x ← x − β∇_x, from the batch as it is, where s = (1 − t/T)² at step t of the stage and T is a quarter of the
    stage: from there on the inputs are the batch itself. Gradients are taken in evaluation mode.
    With ``by=network`` neural friendly training (Marullo et al. 2022, arXiv:2112.09968): x̂ = x + s·(g(x) − x), where
    the auxiliary network g takes a step (Adam) before each of the classifier's, on the classifier's loss of x̂ plus
    η‖x̂ − x‖². g begins as the identity and goes on from stage to stage; nothing of it is left at test.
    by: 'gradient' (steps of the inputs) or 'network' (an auxiliary network).
    most: n, how many steps the inputs take at first. beta: the size of a step, for inputs as the network gets them.
    eta: η, with which easier inputs are held near the batch, by=network. width: units, or maps for images, of g's one
    hidden layer. rate: g's learning rate.

    Cost: in the first quarter of each stage up to ``most`` forward and backward passes more each step; nothing is kept.
    By a network one pass more in these steps, and g's: two layers, 4 bytes a weight, and Adam's moments in a stage.
    """

    def __init__(
        self,
        *,
        by: Literal["gradient", "network"] = "gradient",
        most: Count = 10,
        beta: Positive = 0.01,
        eta: NonNegative = 0.01,
        width: Count = 32,
        rate: Positive = 0.001,
    ) -> None:
        super().__init__()
        self.by = by
        self.most = most
        self.beta = beta
        self.eta = eta
        self.width = width
        self.rate = rate
        self.step = 0
        self.g: Simplifier | None = None
        self.optimizer: torch.optim.Optimizer | None = None

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Begin to count; the auxiliary network's optimiser begins anew, as the run's does by default."""
        self.step = 0
        if self.by == "network":
            self.g = self.g or simplifier(learner, self.width)
            self.optimizer = torch.optim.Adam(self.g.parameters(), self.rate)

    def share(self, whole: int) -> float:
        """s before this step of a stage with so many."""
        left = 1 - self.step / (whole / 4)
        return left**2 if left > 0 else 0.0

    def steps(self, whole: int) -> int:
        """How many steps the inputs take before this step of a stage with so many."""
        return int(self.most * self.share(whole))

    def before_forward(self, learner: Learner, **kwargs: Any) -> None:
        """Move the batch."""
        share, count = self.share(learner.stage_steps), self.steps(learner.stage_steps)
        self.step += 1
        if self.by == "network" and share:
            learner.mbatch[0] = self._by_network(learner, learner.mbatch[0], share)
        elif self.by == "gradient" and count:
            x = learner.mbatch[0]
            with evaluating(learner.model):
                for _ in range(count):
                    x = x - self.beta * input_gradient(learner, x)
            learner.mbatch[0] = x

    def _by_network(self, learner: Learner, x: Tensor, share: float) -> Tensor:
        """x̂ of the auxiliary network after its step."""
        assert self.g is not None
        assert self.optimizer is not None
        simplifier_step(learner, self.g, self.optimizer, x, share, self.eta)
        with torch.no_grad():
            easier: Tensor = self.g(x)
            return x + share * (easier - x)

    def after_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """The stage's optimiser is not kept; nor are the auxiliary network's gradients."""
        self.optimizer = None
        if self.g is not None:
            self.g.zero_grad()
