"""Attention over channels that is shared along a network's depth."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Attention = Literal["none", "dia"]
REDUCTION = 4


class DIAUnit(nn.Module):
    """Dense-and-implicit attention: one recurrent cell that says, block after block, how much each channel counts.

    Huang et al. 2020 (arXiv:1905.10671), section 3: an LSTM whose input is each map's mean, whose gates come from a
    bottleneck of a quarter of the channels, and whose output passes a sigmoid instead of tanh, since it scales maps.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gates = nn.Sequential(
            nn.Linear(2 * channels, max(channels // REDUCTION, 1)),
            nn.ReLU(),
            nn.Linear(max(channels // REDUCTION, 1), 4 * channels),
        )

    def forward(self, maps: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Next (h, c) [n, channels] from maps [n, channels, height, width] and the last; h are the factors."""
        h, c = state
        forget, admit, new, show = self.gates(torch.cat([maps.mean((2, 3)), h], dim=1)).chunk(4, dim=1)
        c = forget.sigmoid() * c + admit.sigmoid() * new.tanh()
        return show.sigmoid() * c.sigmoid(), c
