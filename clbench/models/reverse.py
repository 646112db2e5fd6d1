"""The way back through a network with its own weights, transposed (Xie and Thuerey 2020, arXiv:2007.00024).

From a layer's output d the input is estimated as act(norm((d − b)Wᵀ)), with the normalisation and activation that
made that input. Convolutions go back by transposed convolutions, pooling by repeating each value over its window, a
residual block by the sum of both of its ways.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _NormBase

from clbench.models.resnet import BasicBlock

NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm)
ACTIVATIONS = (nn.ReLU, nn.Tanh)
SHAPES = (nn.Flatten, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)
WEIGHTED = (nn.Linear, nn.Conv2d, BasicBlock)


class IrreversibleError(Exception):
    """A network has a module that cannot be gone back through; the message is its kind."""


@dataclass
class _Layer:
    """What makes one d: weights, then normalisation and activation; then changes of shape towards the next layer."""

    weighted: nn.Module | None  # None: the network's input
    norm: nn.Module | None = None
    activation: nn.Module | None = None
    shapes: list[nn.Module] = field(default_factory=list)

    @property
    def last(self) -> nn.Module | None:
        """The module whose output is d; None for the network's input."""
        return self.activation or self.norm or self.weighted

    def made(self, estimate: Tensor) -> Tensor:
        """act(norm(·)) of an estimate."""
        if self.norm is not None:
            estimate = _normalised(self.norm, estimate)
        return estimate if self.activation is None else self.activation(estimate)


@dataclass
class Pass:
    """One forward pass: the network's input, the head that was asked for, and inputs and outputs of its modules."""

    x: Tensor
    heads: Any
    inputs: dict[nn.Module, Tensor] = field(default_factory=dict)
    outputs: dict[nn.Module, Tensor] = field(default_factory=dict)


@dataclass
class Way:
    """A way back: (d, d') of every layer's input, the last layer's first; the network's input is the last of them."""

    pairs: list[tuple[Tensor, Tensor]]

    @property
    def error(self) -> Tensor:
        """Σ_m ½·mean (d_m − d'_m)² over samples and elements."""
        return torch.stack([functional.mse_loss(found, d) for d, found in self.pairs]).sum() / 2


class Reversal:
    """Goes back through the forward passes of a network, of which the latest is remembered while it is ``on``.

    full: each estimate is made from the one behind it; else ('layer-wise') from what the forward pass had there. Raises
    IrreversibleError for a network with other modules than those of mlp, lenet, cnn6 and the ResNets.
    """

    def __init__(self, model: nn.Module, full: bool = True) -> None:
        backbone: Any = model.backbone
        self.full = full
        self.model = model
        self.layers = _layers(backbone if isinstance(backbone, nn.Sequential) else [backbone])
        self.heads = [module for module in model.classifier.modules() if isinstance(module, nn.Linear)]  # type: ignore[union-attr]
        self.latest: Pass | None = None
        self._hooks: list[Any] = []

    def on(self, looking: Callable[[], bool] = lambda: True) -> None:
        """Remember forward passes for which ``looking()``."""

        def begin(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            if looking():
                self.latest = Pass(inputs[0], inputs[1] if len(inputs) > 1 else None)

        def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if looking() and self.latest is not None:
                self.latest.inputs[module], self.latest.outputs[module] = inputs[0], output

        self._hooks = [self.model.register_forward_pre_hook(begin)]
        noted = [m for m in self.model.modules() if isinstance(m, (*WEIGHTED, *NORMS, *ACTIVATIONS, *SHAPES))]
        self._hooks += [module.register_forward_hook(note) for module in noted]

    def off(self) -> None:
        """Remember none any more."""
        for hook in self._hooks:
            hook.remove()
        self._hooks, self.latest = [], None

    @contextmanager
    def remembering(self) -> Iterator[None]:
        """Be on for a while."""
        self.on()
        try:
            yield
        finally:
            self.off()

    def back(self) -> Way:
        """Go back through the latest forward pass, from its logits to its input, and let it go."""
        assert self.latest is not None
        seen, self.latest = self.latest, None  # activations that run on the way back must not be noted
        way = Way([])
        estimate = self._from_heads(seen)
        for layer in reversed(self.layers):
            for shape in reversed(layer.shapes):
                estimate = _reshaped(shape, estimate, seen.inputs[shape])
            estimate = layer.made(estimate)
            d = seen.x if layer.last is None else _full(seen.outputs[layer.last])
            way.pairs.append((d, estimate))
            start = estimate if self.full else d
            if isinstance(layer.weighted, BasicBlock):
                estimate = self._through(layer.weighted, start, seen, way)
            elif layer.weighted is not None:
                estimate = _transposed(layer.weighted, start, seen.inputs[layer.weighted])
        return way

    def _from_heads(self, seen: Pass) -> Tensor:
        """Features from logits; where a batch has samples of several heads, each from its own."""
        ran = [(number, head) for number, head in enumerate(self.heads) if head in seen.outputs]
        found = [_transposed(head, _full(seen.outputs[head]), seen.inputs[head]) for _, head in ran]
        if len(found) == 1:
            return found[0]
        own = [(seen.heads == number).unsqueeze(1) for number, _ in ran]
        return torch.stack([torch.where(mine, part, 0.0) for mine, part in zip(own, found, strict=True)]).sum(0)

    def _through(self, block: BasicBlock, d: Tensor, seen: Pass, way: Way) -> Tensor:
        """Back through a residual block; what is between its convolutions is compared on the way."""
        inner = _Layer(block.conv1, None if isinstance(block.norm1, nn.Identity) else block.norm1, block.activation1)
        estimate = inner.made(_transposed(block.conv2, d, seen.inputs[block.conv2]))
        between = _full(seen.outputs[block.activation1])
        way.pairs.append((between, estimate))
        estimate = _transposed(block.conv1, estimate if self.full else between, seen.inputs[block.conv1])
        beside = block.shortcut
        return estimate + (
            _transposed(beside[0], d, seen.inputs[beside[0]]) if isinstance(beside, nn.Sequential) else d
        )


def _full(values: Tensor) -> Tensor:
    """Out of the half precision that a pass may have had."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _layers(modules: Any) -> list[_Layer]:
    """Sort a backbone's modules into layers; the first stands for the input."""
    layers = [_Layer(None)]
    for module in modules:
        if isinstance(module, nn.Identity):
            continue
        layer = layers[-1]
        if isinstance(module, BasicBlock):
            layers.append(_Layer(module, activation=module.activation2))
        elif isinstance(module, WEIGHTED):
            layers.append(_Layer(module))
        elif isinstance(module, NORMS) and layer.weighted is not None and layer.last is layer.weighted:
            layer.norm = module
        elif isinstance(module, ACTIVATIONS) and layer.weighted is not None and layer.activation is None:
            layer.activation = module
        elif isinstance(module, SHAPES):
            layer.shapes.append(module)
        else:
            raise IrreversibleError(type(module).__name__)
    return layers


def _transposed(layer: nn.Module, d: Tensor, x: Tensor) -> Tensor:
    """(d − b)Wᵀ, in the shape of the layer's input x."""
    if isinstance(layer, nn.Linear):
        return (d if layer.bias is None else d - layer.bias) @ layer.weight
    assert isinstance(layer, nn.Conv2d)
    if layer.bias is not None:
        d = d - layer.bias.view(-1, 1, 1)
    stride, padding, kernel = layer.stride, layer.padding, layer.kernel_size
    assert not isinstance(padding, str)
    lost = [
        x.shape[2 + i] - ((d.shape[2 + i] - 1) * stride[i] - 2 * padding[i] + kernel[i]) for i in range(2)
    ]  # rows and columns that the stride did not reach
    return functional.conv_transpose2d(d, layer.weight, None, stride, padding, lost)


def _reshaped(module: nn.Module, estimate: Tensor, x: Tensor) -> Tensor:
    """Undo a change of shape: of pooling every value is repeated over its window."""
    if isinstance(module, nn.Flatten):
        return estimate.reshape(x.shape)
    return functional.interpolate(estimate, size=x.shape[2:], mode="nearest")


def _normalised(norm: nn.Module, estimate: Tensor) -> Tensor:
    """Normalise with the layer's own scale and shift; by the batch's statistics, which are not remembered."""
    if isinstance(norm, _NormBase):
        return functional.batch_norm(estimate, None, None, norm.weight, norm.bias, training=True, eps=norm.eps)
    normalised: Tensor = norm(estimate)
    return normalised
