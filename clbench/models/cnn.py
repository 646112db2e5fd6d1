"""Plain convolutional networks."""

from __future__ import annotations

from torch import nn

from clbench.models._activation import ACTIVATIONS, Activation, units_of
from clbench.models._norm import Norm, norm_2d
from clbench.models._shape import image_shape
from clbench.registry import Count, Shape, model


def _block(inputs: int, outputs: int, norm: Norm, activation: Activation, kernel: int = 3) -> list[nn.Module]:
    maps = units_of(activation, outputs)
    convolution = nn.Conv2d(inputs, maps, kernel, padding=kernel // 2, bias=norm != "batch")
    return [convolution, norm_2d(norm, maps), ACTIVATIONS[activation]()]


@model("cnn6")
def cnn6(shape: Shape, *, width: Count = 64, norm: Norm = "none", activation: Activation = "relu") -> nn.Module:
    """Six-layer CNN of the interpolation paper: 64-64-M-128-128-M-256-256-M, 3 × 3 kernels.

    Lubana et al. 2022 (CoLLAs), section 5. The last maps are flattened.
    width: the first pair's number of maps (64 in the paper); each 2 × 2 max-pooling doubles it. Others as for 'mlp'.
    """
    layers: list[nn.Module] = []
    channels, _, _ = image_shape("cnn6", shape)
    for maps in (width, 2 * width, 4 * width):
        layers += _block(channels, maps, norm, activation) + _block(maps, maps, norm, activation)
        layers.append(nn.MaxPool2d(2, ceil_mode=True))
        channels = maps
    return nn.Sequential(*(layer for layer in layers if not isinstance(layer, nn.Identity)), nn.Flatten())


@model("lenet")
def lenet(
    shape: Shape,
    *,
    width: Count = 16,
    units: Count = 128,
    norm: Norm = "none",
    activation: Activation = "relu",
) -> nn.Module:
    """Small CNN in the manner of LeNet-5: conv 5×5 – pool – conv 5×5 – pool – Linear.

    After LeCun et al. 1998.
    width: maps in the first layer; the second has twice as many. units: how many features follow. Others as for 'mlp'.
    """
    channels, *sides = image_shape("lenet", shape)
    layers = _block(channels, width, norm, activation, kernel=5) + [nn.MaxPool2d(2, ceil_mode=True)]
    layers += _block(width, 2 * width, norm, activation, kernel=5) + [nn.MaxPool2d(2, ceil_mode=True)]
    height, breadth = (-(-side // 4) for side in sides)
    layers += [nn.Flatten(), nn.Linear(2 * width * height * breadth, units_of(activation, units))]
    layers.append(ACTIVATIONS[activation]())
    return nn.Sequential(*(layer for layer in layers if not isinstance(layer, nn.Identity)))
