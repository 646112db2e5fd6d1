"""A plain training loop, and remedies of plasticity written out in loops over units, to compare the strategies with.

Nothing here calls the code that it checks. Networks are lists of layers that follow one another, in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

Batches = Sequence[tuple[Tensor, Tensor]]


@dataclass
class Stage:
    """What a stage trains on: the head that it uses, and the batches of each epoch."""

    head: int
    epochs: Sequence[Batches]


@dataclass
class Plain:
    """SGD with momentum, parameter by parameter; the hooks say what a method does beside."""

    model: nn.Module
    lr: float
    momentum: float
    penalty: Callable[[], Tensor | float] = lambda: 0.0
    change: Callable[[dict[str, Tensor]], None] = lambda gradients: None
    stepped: Callable[[], None] = lambda: None
    epoch_ended: Callable[[int], None] = lambda epoch: None
    stage_begins: Callable[[int, Stage], None] = lambda number, stage: None
    momenta: dict[str, Tensor] = field(default_factory=dict)
    x: Tensor = field(default_factory=lambda: torch.empty(0))  # of the step under way
    head: int = 0

    def train(self, stages: Sequence[Stage]) -> None:
        """Train them all."""
        for number, stage in enumerate(stages):
            self.stage_begins(number, stage)
            for epoch, batches in enumerate(stage.epochs):
                for x, labels in batches:
                    self.step(x, labels, stage.head)
                self.epoch_ended(epoch)

    def step(self, x: Tensor, labels: Tensor, head: int) -> None:
        """v ← mv + g, θ ← θ − lr·v for every weight that the loss depends on."""
        self.x, self.head = x, head
        named = dict(self.model.named_parameters())
        output: Any = self.model(x, head)
        penalty = self.penalty()
        found = torch.autograd.grad(
            nn.functional.cross_entropy(output, labels), list(named.values()), allow_unused=True
        )
        gradients = {name: g.clone() for name, g in zip(named, found, strict=True) if g is not None}
        if isinstance(penalty, Tensor):
            more = torch.autograd.grad(penalty, list(named.values()), allow_unused=True)
            for name, g in zip(named, more, strict=True):
                if g is not None and name in gradients:
                    gradients[name] += g
        self.change(gradients)
        with torch.no_grad():
            for name, g in gradients.items():
                v = self.momentum * self.momenta[name] + g if name in self.momenta else g
                self.momenta[name] = v
                named[name].sub_(self.lr * v)
        self.stepped()


@dataclass
class Units:
    """A hidden layer of a plain network, by the names of its weights and of those that read it."""

    name: str
    readers: list[str]
    read: Callable[[Tensor], Tensor]  # what the readers read, [n, units, …], from the network's input

    def values(self, x: Tensor) -> list[Tensor]:
        """For each unit what its readers read, [samples and places]."""
        return [value.flatten() for value in self.read(x).unbind(1)]


class Replacing:
    """Weights of units, one at a time, as replacing methods change them."""

    def __init__(self, plain: Plain, layers: list[Units]) -> None:
        self.plain = plain
        self.layers = layers
        self.named = dict(plain.model.named_parameters())
        self.random = torch.Generator()

    def columns(self, layer: Units, unit: int) -> list[tuple[str, list[int]]]:
        """The inputs of each reader that a unit feeds."""
        found = []
        for reader in layer.readers:
            inputs, units = self.named[reader + ".weight"].shape[1], len(self.named[layer.name + ".weight"])
            places = inputs // units
            found.append((reader, [unit * places + place for place in range(places)]))
        return found

    @torch.no_grad()
    def replace(self, layer: Units, units: list[int], zero_bias: bool) -> None:
        """New weights in, none out, and no momentum of either."""
        weight, bias = self.named[layer.name + ".weight"], self.named[layer.name + ".bias"]
        bound = 1 / math.sqrt(weight[0].numel())
        drawn = (2 * torch.rand(weight.shape, generator=self.random) - 1) * bound
        drawn_bias = (2 * torch.rand(bias.shape, generator=self.random) - 1) * bound
        momenta = self.plain.momenta
        for unit in units:
            weight[unit] = drawn[unit].to(weight)
            bias[unit] = 0.0 if zero_bias else float(drawn_bias[unit])
            momenta[layer.name + ".weight"][unit] = 0.0
            momenta[layer.name + ".bias"][unit] = 0.0
            for reader, columns in self.columns(layer, unit):
                for column in columns:
                    self.named[reader + ".weight"][:, column] = 0.0
                    if reader + ".weight" in momenta:
                        momenta[reader + ".weight"][:, column] = 0.0
