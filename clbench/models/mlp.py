"""Multi-layer perceptron."""

from __future__ import annotations

import math
from typing import Annotated

from annotated_types import Len
from torch import nn

from clbench.models._norm import Norm, norm_1d
from clbench.registry import Count, model


@model("mlp")
def mlp(
    shape: tuple[int, int, int],
    *,
    widths: Annotated[tuple[Count, ...], Len(1)] = (256, 256),
    norm: Norm = "none",
) -> nn.Module:
    """Multi-layer perceptron: flattened pixels, then Linear → norm → ReLU per width.

    ``widths`` are the hidden layers' units. PyTorch's default initialisation.
    """
    layers: list[nn.Module] = [nn.Flatten()]
    features = math.prod(shape)
    for width in widths:
        layers += [nn.Linear(features, width), norm_1d(norm, width), nn.ReLU()]
        features = width
    return nn.Sequential(*(layer for layer in layers if not isinstance(layer, nn.Identity)))
