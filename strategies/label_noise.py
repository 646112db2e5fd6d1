"""Fresh noise on the labels at every step."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from clbench.data.tensors import sent
from clbench.registry import NonNegative, UnitInterval, strategy
from clbench.strategy import Learner, Strategy

Loss = Literal["mse", "cross-entropy"]
OUT = -1e8  # logits of classes that the run leaves out are far below


@strategy("label-noise", family="regulariser")
class LabelNoise(Strategy):
    """Label noise: fresh noise on the targets at every step, which adds an implicit penalty to the gradient.

    Blanc et al. 2020 (arXiv:1904.09080). loss 'mse': ½‖f(x) − (y + z)‖², mean over the batch, y one-hot and
    z ~ N(0, sigma²) drawn anew for each step, sample and class. With batches of B and learning rate η it drifts like
    the penalty (ησ²/4B)·mean_i‖∇_θ f(x_i)‖². 'cross-entropy': instead a share ``flip`` of the labels is drawn anew
    from all classes. Online accuracy is of the true labels.
    loss: 'mse' or 'cross-entropy', and with it the noise. sigma: spread of the noise on targets, with 'mse'. flip:
    share of labels that are drawn anew, with 'cross-entropy'.

    Cost: the drawing of the noise each step; nothing is kept.
    """

    def __init__(self, *, loss: Loss = "mse", sigma: NonNegative = 0.1, flip: UnitInterval = 0.1) -> None:
        super().__init__()
        self.loss = loss
        self.sigma = sigma
        self.flip = flip

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Draw from the run's seed."""
        self.draws = learner.random(f"label noise of stage {learner.stage}")

    def after_forward(self, learner: Learner, **kwargs: Any) -> None:
        """Make the batch's target."""
        logits, labels = learner.mb_output.detach(), learner.mbatch[1]
        if self.loss == "mse":
            noise = sent(torch.randn(logits.shape, generator=self.draws).mul_(self.sigma), logits.device)
            self.target = noise.add_(functional.one_hot(labels, logits.shape[1]))
            return
        chosen = sent(torch.rand(len(labels), generator=self.draws), logits.device) < self.flip
        scores = sent(torch.rand(logits.shape, generator=self.draws), logits.device)
        drawn = scores.masked_fill_(logits < OUT, -1.0).argmax(1)
        self.target = torch.where(chosen, drawn, labels)

    def task_loss(self, learner: Learner) -> Tensor:
        """The loss for that target; classes that are left out count nothing."""
        logits = learner.mb_output
        if self.loss == "cross-entropy":
            return functional.cross_entropy(logits, self.target)
        missed = torch.where(logits < OUT, 0.0, logits - self.target)
        return missed.square().sum() / (2 * len(logits))

    def after_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Let go of the last batch's target."""
        del self.target
