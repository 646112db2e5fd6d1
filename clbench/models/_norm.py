"""Normalisation layers by name, for images and for vectors."""

from __future__ import annotations

from typing import Literal

from torch import nn

Norm = Literal["none", "batch", "group", "layer"]
GROUPS = 8


def _groups(channels: int) -> int:
    """8 groups where that leaves at least two channels in each, else one."""
    return GROUPS if channels % GROUPS == 0 and channels > GROUPS else 1


def norm_2d(kind: Norm, channels: int) -> nn.Module:
    """Return the layer for [n, channels, height, width]; 'group' has 8 groups where they divide the channels."""
    match kind:
        case "none":
            return nn.Identity()
        case "batch":
            return nn.BatchNorm2d(channels)
        case "group":
            return nn.GroupNorm(_groups(channels), channels)
        case "layer":
            return nn.GroupNorm(1, channels)


def norm_1d(kind: Norm, features: int) -> nn.Module:
    """Return the layer for [n, features]."""
    match kind:
        case "none":
            return nn.Identity()
        case "batch":
            return nn.BatchNorm1d(features)
        case "group":
            return nn.GroupNorm(_groups(features), features)
        case "layer":
            return nn.LayerNorm(features)
