"""FIRE: start each stage from orthogonal weights near the old ones."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from clbench.registry import Count, strategy
from clbench.strategy import Learner

from ._between import BetweenStages
from ._layers import forget_optimizer, used_layers


@strategy("fire", family="plasticity")
class Fire(BetweenStages):
    """Orthogonalise: before each later stage every weight matrix becomes the orthogonal one nearest to it, rescaled.

    Newton–Schulz iteration X ← 1.5X − 0.5XXᵀX from W/‖W‖_F (Higham 1986, doi:10.1137/0907079), then scaled by
    √(out/in); a convolution tap by tap, divided by the number of taps, as the authors of FIRE do in their code. Every
    linear and convolutional layer; the optimiser's state is dropped.
    include_head: the classifier too, as there; of heads of their own those that the stage trains.
    iterations: of Newton–Schulz.

    Cost: before each later stage a few matrix products for each layer; nothing each step.
    """

    method = "fire"

    def __init__(self, *, iterations: Count = 10, include_head: bool = True) -> None:
        super().__init__()
        self.iterations = iterations
        self.include_head = include_head

    @torch.no_grad()
    def act(self, learner: Learner) -> None:
        """Orthogonalise."""
        for layer in used_layers(learner, self.include_head):
            weight = layer.weight
            out, inputs = weight.shape[:2]
            # [taps, out, in]; a linear layer has one tap
            taps = weight.reshape(out, inputs, -1).permute(2, 0, 1)
            orthogonal = nearest_orthogonal(taps, self.iterations) * (math.sqrt(out / inputs) / len(taps))
            weight.copy_(orthogonal.permute(1, 2, 0).reshape(weight.shape))
        forget_optimizer(learner)


def nearest_orthogonal(matrices: Tensor, iterations: int) -> Tensor:
    """Newton–Schulz: X ← 1.5X − 0.5XXᵀX for each of [n, out, in]; the smaller side comes out orthonormal."""
    wide = matrices.shape[1] <= matrices.shape[2]
    x: Tensor = matrices if wide else matrices.transpose(1, 2)
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-12)
    for _ in range(iterations):
        x = 1.5 * x - 0.5 * x @ x.transpose(1, 2) @ x
    return x if wide else x.transpose(1, 2)
