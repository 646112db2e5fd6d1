"""Hidden units, for methods that watch and replace them one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from clbench.data.tensors import sent
from clbench.errors import UserError
from clbench.strategy import Learner, as_units

from ._passes import LooksAtPasses

ELEMENTWISE = (nn.ReLU, nn.Tanh)
PASSED = (nn.MaxPool2d, nn.AvgPool2d, nn.Flatten, nn.Identity)
SUITABLE = "Use a network whose layers follow one another (mlp, lenet, cnn6) with activation relu or tanh."


@dataclass(frozen=True)
class HiddenLayer:
    """A layer of units: the layer that makes them, its normalisation, and the layers that read them.

    One unit is a row of a linear layer or a map of a convolution; it feeds ``spread`` inputs of each reader. ``read``
    is the module whose output they read: the pooling or flattening behind the activation, or the activation itself.
    """

    incoming: nn.Linear | nn.Conv2d
    norm: nn.Module | None
    read: nn.Module
    outgoing: list[nn.Linear | nn.Conv2d]

    @property
    def units(self) -> int:
        """How many there are."""
        return len(self.incoming.weight)

    def by_unit(self, output: Tensor) -> Tensor:
        """What readers read as [samples, units, inputs that a unit feeds]; places of a map are samples of its unit."""
        if output.dim() == 2:
            return output.reshape(len(output), self.units, -1)
        return as_units(output).unsqueeze(2)

    def spread(self, values: Tensor) -> Tensor:
        """Repeat a value of each unit for every input of a reader that it feeds."""
        return values.repeat_interleave(self.outgoing[0].weight.shape[1] // self.units)


def hidden_layers(model: nn.Module, method: str) -> list[HiddenLayer]:
    """Return the hidden layers of a network whose layers follow one another.

    Raises UserError that names the layer if the network is of another kind.
    """
    backbone, classifier = model.backbone, model.classifier
    assert isinstance(classifier, nn.Module)
    heads = [module for module in classifier.modules() if isinstance(module, nn.Linear)]
    found: list[tuple[nn.Linear | nn.Conv2d, nn.Module | None, nn.Module]] = []
    layer: nn.Linear | nn.Conv2d | None = None
    norm: nn.Module | None = None
    for module in backbone if isinstance(backbone, nn.Sequential) else [backbone]:
        if isinstance(module, nn.Linear | nn.Conv2d) and layer is None:
            layer, norm = module, None
        elif isinstance(module, _NormBase | nn.GroupNorm | nn.LayerNorm) and layer is not None:
            norm = module
        elif isinstance(module, ELEMENTWISE) and layer is not None:
            found.append((layer, norm, module))
            layer = None
        elif isinstance(module, PASSED) and layer is None:
            found[-1:] = [(*last[:2], module) for last in found[-1:]]
        elif not isinstance(module, PASSED):
            raise UserError(
                f"strategy '{method}' replaces single units and does not know what a {type(module).__name__} does with "
                f"them. {SUITABLE}"
            )
    if not found or layer is not None:
        trouble = "ends in units without an activation" if layer is not None else "has none before its classifier"
        raise UserError(f"strategy '{method}' replaces single units, and this network {trouble}. {SUITABLE}")
    readers = [[one[0]] for one in found[1:]] + [heads]
    return [HiddenLayer(*one, outgoing=list(after)) for one, after in zip(found, readers, strict=True)]


class Activity:
    """Catches what the readers of hidden layers read, as [samples, units, inputs that a unit feeds], until it is off.

    Passes for which ``looking()`` is false are passed over.
    """

    def __init__(self, layers: Sequence[HiddenLayer], looking: Callable[[], bool] = lambda: True) -> None:
        self.outputs: list[Tensor] = [torch.empty(0)] * len(layers)
        self._hooks = [
            layer.read.register_forward_hook(self._catch(i, layer, looking)) for i, layer in enumerate(layers)
        ]

    def _catch(self, index: int, layer: HiddenLayer, looking: Callable[[], bool]):  # type: ignore[no-untyped-def]
        def catch(module: nn.Module, inputs: object, output: Tensor) -> None:
            if looking():
                self.outputs[index] = layer.by_unit(output.detach())

        return catch

    def off(self) -> None:
        """Catch nothing any more."""
        for hook in self._hooks:
            hook.remove()


class WatchesUnits(LooksAtPasses):
    """Base of methods that see every unit's outputs at every step: ``layers`` and their ``activity``."""

    method = ""

    def check(self, model: nn.Module) -> None:
        """Only networks whose units can be told apart."""
        hidden_layers(model, self.method)

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Find the layers, whose readers a growing classifier changes, and begin to watch."""
        self.layers = hidden_layers(learner.model, self.method)
        self.activity = Activity(self.layers, lambda: self.looking)

    def after_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Stop watching, and let go of the last batch's outputs."""
        self.activity.off()
        self.activity.outputs = []


@torch.no_grad()
def drawn_anew(layer: nn.Linear | nn.Conv2d, random: torch.Generator) -> tuple[Tensor, Tensor | None]:
    """Return weight and bias of a new initialisation, PyTorch's own: U(±1/√fan_in)."""
    bound = layer.weight[0].numel() ** -0.5

    def draw(like: Tensor) -> Tensor:
        drawn: Tensor = (2 * torch.rand(like.shape, generator=random) - 1) * bound
        return sent(drawn, like.device).to(like)

    return draw(layer.weight), None if layer.bias is None else draw(layer.bias)


@torch.no_grad()
def replace_units(
    learner: Learner, layer: HiddenLayer, chosen: Tensor, random: torch.Generator, zero_bias: bool = False
) -> None:
    """Give the chosen units (a mask) new incoming and zero outgoing weights; forget the optimiser's state of both.

    A unit's scale, shift and statistics in a normalisation begin anew too. ``zero_bias``: biases become 0 instead of
    drawn. Nothing is read back from the device.
    """
    state = learner.optimizer.state
    weight, bias = drawn_anew(layer.incoming, random)
    if bias is not None and zero_bias:
        bias.zero_()
    _exchange(layer.incoming.weight, weight, chosen, state)
    if bias is not None and layer.incoming.bias is not None:
        _exchange(layer.incoming.bias, bias, chosen, state)
    if layer.norm is not None:
        for name, begun in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
            values = getattr(layer.norm, name, None)
            if values is not None:
                _exchange(values, torch.full_like(values, begun), chosen, state)
    for reader in layer.outgoing:
        fed = layer.spread(chosen)
        _exchange(reader.weight, torch.zeros_like(reader.weight), fed, state, dim=1)


def _exchange(
    values: Tensor, new: Tensor, chosen: Tensor, state: dict[Tensor, dict[str, Tensor]], dim: int = 0
) -> None:
    """Put new values at chosen places along a dimension, and zeros into the optimiser's state of them."""
    shape = [1] * values.dim()
    shape[dim] = -1
    mask = chosen.view(shape)
    values.copy_(torch.where(mask, new, values))
    for kept in state.get(values, {}).values():
        if isinstance(kept, Tensor) and kept.shape == values.shape:
            kept.masked_fill_(mask, 0.0)
