"""Multi-layer perceptron."""

from __future__ import annotations

import math
from typing import Annotated

from annotated_types import Len
from torch import nn

from clbench.models._activation import ACTIVATIONS, Activation, units_of
from clbench.models._norm import Norm, norm_1d
from clbench.registry import Count, Shape, model


@model("mlp")
def mlp(
    shape: Shape,
    *,
    widths: Annotated[tuple[Count, ...], Len(1)] = (256, 256),
    norm: Norm = "none",
    activation: Activation = "relu",
) -> nn.Module:
    """Multi-layer perceptron: flattened samples, then Linear → norm → activation per width.

    PyTorch's default initialisation.
    widths: the hidden layers' outputs. norm: what normalises a layer's output before its activation, if anything.
    activation: after each layer; 'crelu' [relu(z), relu(−z)] (arXiv:2303.07507) and 'deep-fourier' [sin z, cos z]
    (arXiv:2410.20634) make two outputs of each unit, of which there are half as many.
    """
    layers: list[nn.Module] = [nn.Flatten()]
    features = math.prod(shape)
    for width in widths:
        hidden = units_of(activation, width)
        layers += [nn.Linear(features, hidden), norm_1d(norm, hidden), ACTIVATIONS[activation]()]
        features = width
    return nn.Sequential(*(layer for layer in layers if not isinstance(layer, nn.Identity)))
