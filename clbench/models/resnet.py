"""ResNet-18 for small images (He et al. 2016, arXiv:1512.03385)."""

from __future__ import annotations

from torch import Tensor, nn

from clbench.models._attention import Attention, DIAUnit
from clbench.models._norm import Norm, norm_2d
from clbench.models._shape import image_shape
from clbench.registry import Count, Shape, model


class BasicBlock(nn.Module):
    """Two 3 × 3 convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int, norm: Norm) -> None:
        super().__init__()
        bias = norm == "none"
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=bias)
        self.norm1 = norm_2d(norm, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=bias)
        self.norm2 = norm_2d(norm, outputs)
        self.activation1, self.activation2 = nn.ReLU(), nn.ReLU()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=bias), norm_2d(norm, outputs))

    def branch(self, x: Tensor) -> Tensor:
        """What the convolutions add to the shortcut."""
        added: Tensor = self.norm2(self.conv2(self.activation1(self.norm1(self.conv1(x)))))
        return added

    def forward(self, x: Tensor) -> Tensor:
        """Return maps [n, outputs, height, width]."""
        output: Tensor = self.activation2(self.branch(x) + self.shortcut(x))
        return output


class SharedAttention(nn.Module):
    """Residual blocks of equally many channels in a row; what each adds is scaled by one unit that they share."""

    def __init__(self, blocks: list[BasicBlock], channels: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.unit = DIAUnit(channels)
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        """Return maps [n, channels, height, width]; the unit's state begins at 0 for each batch."""
        state = (x.new_zeros(len(x), self.channels), x.new_zeros(len(x), self.channels))
        for block in self.blocks:
            added = block.branch(x)  # type: ignore[operator]
            state = self.unit(added, state)
            x = block.activation2(added * state[0][:, :, None, None] + block.shortcut(x))  # type: ignore[operator]
        return x


def _resnet18(channels: int, width: int, norm: Norm, attention: Attention) -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1, bias=norm == "none")]
    layers += [norm_2d(norm, width), nn.ReLU()]
    inputs = width
    for stage in range(4):
        outputs = width * 2**stage
        first = BasicBlock(inputs, outputs, 1 if stage == 0 else 2, norm)
        blocks = [first, BasicBlock(outputs, outputs, 1, norm)]
        layers += blocks if attention == "none" else [SharedAttention(blocks, outputs)]
        inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


@model("resnet18")
def resnet18(shape: Shape, *, width: Count = 64, norm: Norm = "batch", attention: Attention = "none") -> nn.Module:
    """ResNet-18 in its CIFAR form: 3 × 3 stem without pooling, 64-128-256-512 maps.

    He et al. 2016 (arXiv:1512.03385); 11.2 million parameters at width 64.
    width: maps of the stem; each later stage has twice as many as the one before. norm: after each convolution.
    attention: 'dia' scales the maps of each stage's blocks by one recurrent unit that they share (arXiv:1905.10671).
    """
    return _resnet18(image_shape("resnet18", shape)[0], width, norm, attention)


@model("slim-resnet18")
def slim_resnet18(shape: Shape, *, width: Count = 20, norm: Norm = "batch", attention: Attention = "none") -> nn.Module:
    """ResNet-18 with 20-40-80-160 maps, the network of GEM and most class-incremental work.

    Lopez-Paz and Ranzato 2017 (arXiv:1706.08840); 1.1 million parameters at width 20. Others as for 'resnet18'.
    """
    return _resnet18(image_shape("slim-resnet18", shape)[0], width, norm, attention)
