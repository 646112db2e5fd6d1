"""DASH: shrink each group of weights by how little it points along the descent direction."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from clbench.data.tensors import Batch
from clbench.registry import Count, UnitInterval, strategy
from clbench.strategy import Learner, evaluating, weight_groups

from ._between import BetweenStages
from ._layers import forget_optimizer, weight_layers

PART = 1000


@strategy("dash", family="plasticity")
class Dash(BetweenStages):
    """Direction-aware shrinking: before each later stage w ← clamp(cos(−∇L, w), λ, 1)·w for each group of weights.

    Shin et al. 2024 (arXiv:2410.23495). G ← (1−α)G + α(−∇L) over one pass through the stage's data, oldest
    first, a chunk at a time, in evaluation mode. A group is a linear layer's output row, a convolution's
    kernel for one (output, input) pair, or a whole bias; layers of normalisation are left alone, and so are heads that
    the data do not use. A 1×1 convolution has groups of one weight, whose cosine is ±1. The optimiser's state is kept
    unless ``reset_optimizer``.
    alpha: weight of the newest ∇L in G. floor: λ, the least factor. reset_optimizer: whether the optimiser's state is
    dropped.
    batch_size: samples that make one ∇L (null: a chunk, as in the authors' code; as many as the first stage had, and no
    smaller rest).

    Cost: before each later stage a forward and a backward pass over its data, and meanwhile a gradient for each weight;
    nothing each step.
    """

    method = "dash"

    def __init__(
        self,
        *,
        alpha: UnitInterval = 0.3,
        floor: UnitInterval = 0.3,
        batch_size: Count | None = None,
        reset_optimizer: bool = False,
    ) -> None:
        super().__init__()
        self.alpha = alpha
        self.floor = floor
        self.batch_size = batch_size
        self.reset_optimizer = reset_optimizer
        self.first = 0  # samples of the first stage

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Note how large a chunk is, and act."""
        self.first = self.first or len(learner.data)
        super().before_training_exp(learner)

    def act(self, learner: Learner) -> None:
        """Shrink."""
        parameters = [p for layer in weight_layers(learner.model) for p in layer.parameters(recurse=False)]
        with evaluating(learner.model):
            directions = self._directions(learner, parameters)
        for parameter, direction in zip(parameters, directions, strict=True):
            if direction is not None:
                shrink(parameter, direction, self.floor)
        if self.reset_optimizer:
            forget_optimizer(learner)

    def _directions(self, learner: Learner, parameters: list[nn.Parameter]) -> list[Tensor | None]:
        """Smoothed −∇L of each parameter; None where the loss does not depend on it."""
        data = learner.data
        smoothed: list[Tensor | None] = [None] * len(parameters)
        for chunk in data.batches(self.batch_size or chunk_size(len(data), self.first)):
            for index, found in enumerate(_chunk_gradient(learner, chunk, parameters)):
                if found is not None:
                    before = smoothed[index]
                    # G ← (1−α)G + α(−∇L), from 0
                    old = torch.zeros_like(found) if before is None else before
                    smoothed[index] = old.mul_(1 - self.alpha).sub_(found, alpha=self.alpha)
        return smoothed


def _chunk_gradient(learner: Learner, chunk: Batch, parameters: list[nn.Parameter]) -> list[Tensor | None]:
    """∇L of a chunk's mean loss, from parts of it: the same but for rounding, in less memory."""
    total: list[Tensor | None] = [None] * len(parameters)
    for x, labels, heads in zip(*(part.split(PART) for part in chunk), strict=True):
        loss = functional.cross_entropy(learner.logits(x, learner.data.shared(heads)), labels)
        loss = loss * (len(labels) / len(chunk[1]))
        for index, found in enumerate(torch.autograd.grad(loss, parameters, allow_unused=True)):
            before = total[index]
            total[index] = found if before is None or found is None else before.add_(found)
    return total


def chunk_size(samples: int, first: int) -> int:
    """Samples to a chunk, so that all chunks are about as large as the first stage."""
    return math.ceil(samples / max(1, round(samples / first)))


@torch.no_grad()
def shrink(parameter: Tensor, direction: Tensor, floor: float) -> None:
    """Scale each group of a parameter by clamp(cos(direction, parameter), floor, 1), in place."""
    groups = weight_groups(parameter)
    scale = functional.cosine_similarity(weight_groups(direction), groups, dim=-1).clamp(floor, 1.0)
    parameter.copy_((groups * scale.unsqueeze(-1)).reshape(parameter.shape))
