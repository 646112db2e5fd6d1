"""Activations by name, and how many outputs each has per unit."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from clbench.errors import UserError

Activation = Literal["relu", "tanh", "crelu", "deep-fourier"]


class ConcatenatedReLU(nn.Module):
    """[relu(z), relu(−z)] along the channels: no unit can be dead (Abbas et al. 2023, arXiv:2303.07507)."""

    def forward(self, z: Tensor) -> Tensor:
        """Return [n, 2c, …] for [n, c, …]."""
        return torch.cat([z, -z], dim=1).relu_()


class DeepFourier(nn.Module):
    """[sin z, cos z] along the channels: one always has a slope (Lewandowski et al. 2024, arXiv:2410.20634)."""

    def forward(self, z: Tensor) -> Tensor:
        """Return [n, 2c, …] for [n, c, …]."""
        return torch.cat([z.sin(), z.cos()], dim=1)


ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "crelu": ConcatenatedReLU,
    "deep-fourier": DeepFourier,
}
PAIRED = (ConcatenatedReLU, DeepFourier)


def units_of(kind: Activation, width: int) -> int:
    """Return how many units make ``width`` outputs: half as many where each has two, so that layers keep their size.

    Raises UserError for an odd width that cannot be halved.
    """
    if not issubclass(ACTIVATIONS[kind], PAIRED):
        return width
    if width % 2:
        raise UserError(
            f"model.activation: {kind} makes two outputs of each unit, so {width} outputs need an even width."
        )
    return width // 2
