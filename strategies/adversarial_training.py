"""Adversarial training: the worst inputs nearby."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from clbench.registry import Count, NonNegative, strategy
from clbench.strategy import Learner, Strategy, evaluating

from ._inputs import input_gradient

Norm = Literal["l2", "linf"]


@strategy("adversarial-training", family="regulariser")
class AdversarialTraining(Strategy):
    """Adversarial training: each batch is moved by projected gradient ascent to where its loss is higher.

    Madry et al. 2018 (arXiv:1706.06083), eq. 2.1; its features transfer better (Utrera et al. 2021, arXiv:2007.05869).
    ``steps`` steps of 2.5·eps/steps, up the gradient ('l2') or its sign ('linf'), from the sample itself, projected to
    the ball of radius eps and to valid samples. Gradients are taken in evaluation mode.
    eps: radius of the ball, for pixels from 0 to 1; of vectors in standard deviations.
    steps: how many steps of ascent.
    norm: 'l2' or 'linf', the ball's norm.

    Cost: ``steps`` forward and backward passes more each step; nothing is kept.
    """

    def __init__(self, *, eps: NonNegative = 0.03, steps: Count = 3, norm: Norm = "l2") -> None:
        super().__init__()
        self.eps = eps
        self.steps = steps
        self.norm = norm

    def before_forward(self, learner: Learner, **kwargs: Any) -> None:
        """Move the batch."""
        if not self.eps:
            return
        encode = learner.data.encode
        scale, low, high = encode.unit, encode.low, encode.high
        clean = learner.mbatch[0]
        moved = torch.zeros_like(clean)  # in units of the samples' own scale
        with evaluating(learner.model):
            for _ in range(self.steps):
                gradient = input_gradient(learner, clean + moved * scale) * scale
                moved = self._projected(moved + 2.5 * self.eps / self.steps * self._direction(gradient))
                moved = ((clean + moved * scale).clamp(low, high) - clean) / scale
        learner.mbatch[0] = clean + moved * scale

    def _direction(self, gradient: Tensor) -> Tensor:
        return gradient.sign() if self.norm == "linf" else gradient / _lengths(gradient)

    def _projected(self, moved: Tensor) -> Tensor:
        if self.norm == "linf":
            return moved.clamp(-self.eps, self.eps)
        return moved * (self.eps / _lengths(moved)).clamp_max(1.0)


def _lengths(x: Tensor) -> Tensor:
    """ℓ2 norm of each sample, to divide by."""
    lengths: Tensor = x.flatten(1).norm(dim=1).clamp_min(1e-12)
    return lengths.view(-1, *[1] * (x.dim() - 1))
