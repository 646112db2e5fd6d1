"""A network that grows: several backbones side by side, of which the last one learns, and one classifier over all."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from clbench.models.copies import bare_copy

from ._layers import head_layers


class Joined(nn.Module):
    """Features of several backbones, one behind the other; all but the last are frozen, their statistics too."""

    def __init__(self, parts: list[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Tensor:
        """Return features [n, parts · features] of inputs."""
        return torch.cat([part(x) for part in self.parts], dim=1)

    def train(self, mode: bool = True) -> Joined:
        """Frozen parts stay as in evaluation."""
        super().train(mode)
        for part in list(self.parts)[:-1]:
            part.eval()
        return self


def linear_of(model: nn.Module) -> nn.Linear:
    """The linear layer of a network's one classifier, which a growing one has inside."""
    (layer,) = head_layers(model)
    return layer


@torch.no_grad()
def grow(model: nn.Module, random: torch.Generator) -> None:
    """Freeze the backbone, put a copy of its last part beside it that learns, and widen the classifier.

    Weights on old features stay as they are; those on new ones are drawn as PyTorch draws a linear layer's, ±1/√fan-in.
    """
    backbone: Any = model.backbone
    parts = [*backbone.parts] if isinstance(backbone, Joined) else [backbone]
    new = bare_copy(parts[-1])
    joined = Joined([*(part.requires_grad_(False) for part in parts), new])
    model.backbone = joined.train(backbone.training)
    old = linear_of(model)
    width = old.in_features // len(parts)
    bound = (old.in_features + width) ** -0.5
    drawn = (2 * torch.rand(old.out_features, width, generator=random) - 1) * bound
    old.weight = nn.Parameter(torch.cat([old.weight, drawn.to(old.weight)], dim=1))
    old.in_features += width
