"""Feature distillation: penultimate features stay where they were."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from clbench.registry import strategy

from ._teacher import Distillation, Strength


@strategy("feature-distill", family="distillation")
class FeatureDistillation(Distillation):
    """Feature distillation: μ·MSE between the penultimate features of the last stage's network and this one's.

    Smith et al. 2023 (arXiv:2203.17269), section 3; on the new stage's data, mean over samples and features.
    mu: strength, one number, or a list with one for each stage, whose last holds on.

    Cost: from the second stage on a forward pass of the last stage's network each step; a copy of the network.
    """

    method = "feature-distill"

    def __init__(self, *, mu: Strength = 3.0) -> None:
        super().__init__(mu)

    def distance(self, model: nn.Module, student: Tensor, teacher: Tensor) -> Tensor:
        """Mean squared difference."""
        return functional.mse_loss(student, teacher)
