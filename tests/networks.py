"""Networks as their authors write them, for tests that train anybody's: a file given as ``--model networks.py:…``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn


class Act(nn.Module):
    """Holds what no file can."""

    def __init__(self) -> None:
        super().__init__()
        self.function: Callable[[Tensor], Tensor] = lambda x: x.relu()

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Net(nn.Module):
    """Convolution, batch norm, dropout in place, a parameter and buffers of its own, one exchanged at each step."""

    running: Tensor
    steps: Tensor

    def __init__(self, width: int = 4, drop: float = 0.1, norm: Any = nn.BatchNorm2d) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, width, 3, padding=1)
        self.norm = norm(width)
        self.act = Act()
        self.bounded = partial(torch.clamp, max=6.0)
        self.drop = nn.Dropout(drop, inplace=True)
        self.token = nn.Parameter(0.1 * torch.randn(width))
        self.register_buffer("running", torch.zeros(width))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.calls = 0
        self.fc = nn.Linear(width * 16, 10)

    def forward(self, x: Tensor) -> Tensor:
        h = self.bounded(self.act(self.norm(self.conv(x))))
        if self.training:
            self.calls += 1
            self.steps += 1
            self.running = 0.9 * self.running + 0.1 * h.detach().mean((0, 2, 3))
        h = h + (self.token - self.running / (1 + self.steps))[:, None, None]
        y: Tensor = self.fc(self.drop(nn.functional.max_pool2d(h, 2).view(len(h), -1)))
        return y


class Flat(nn.Module):
    """One linear layer; those below do something else with it."""

    def __init__(self, inputs: int = 64) -> None:
        super().__init__()
        self.fc = nn.Linear(inputs, 10)

    def forward(self, x: Tensor) -> Any:
        return self.fc(x.flatten(1))


class Softmax(Flat):
    def forward(self, x: Tensor) -> Any:
        return self.fc(x.flatten(1)).log_softmax(1)


class Pair(Flat):
    def forward(self, x: Tensor) -> Any:
        return self.fc(x.flatten(1)), x


class PairInTraining(Flat):
    def forward(self, x: Tensor) -> Any:
        logits = self.fc(x.flatten(1))
        return (logits, logits) if self.training else logits


class ChangesInput(Flat):
    def forward(self, x: Tensor) -> Any:
        return self.fc(x.mul_(2).flatten(1))


class AsksTheLayer(Flat):
    def forward(self, x: Tensor) -> Any:
        return self.fc(x.flatten(1).to(self.fc.weight.dtype))


class Maps(Flat):
    def forward(self, x: Tensor) -> Any:
        return self.fc(x.flatten(2))


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(64, 64)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc(self.fc(x.flatten(1)))
        return y


class Hidden(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(64, 8)
        self.fc = nn.Linear(8, 10)


class SpoilsGradients(Hidden):
    def forward(self, x: Tensor) -> Tensor:
        h = self.hidden(x.flatten(1)).sigmoid()
        squares = h * h
        h.mul_(2)
        y: Tensor = self.fc(squares)
        return y


class KeepsFloats(Hidden):
    """Mixes what a layer makes with what it makes itself, which autocast does not know."""

    def forward(self, x: Tensor) -> Tensor:
        rows = torch.arange(len(x), device=x.device)
        y: Tensor = self.fc(x.new_zeros(len(x), 8).index_add(0, rows, self.hidden(x.flatten(1))))
        return y


class Convolutional(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Conv2d(1, 10, 8), nn.Flatten())


class Lazy(nn.Sequential):
    """Layers that learn their size when they are called."""

    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.LazyLinear(6), nn.LazyBatchNorm1d(), nn.ReLU(inplace=True), nn.LazyLinear(3))


class Shaped(nn.Sequential):
    """Is told the shape of a sample, and has an option; others go on."""

    def __init__(self, shape: tuple[int, ...], *, width: int = 5, **others: bool) -> None:
        self.others = others
        layers = [nn.Linear(torch.Size(shape).numel(), width, **others), nn.ReLU(), nn.Linear(width, 4)]
        super().__init__(nn.Flatten(), *layers)


class Raises(nn.Module):
    def __init__(self, width: int) -> None:
        raise ValueError("no such width.")


class Fetches(Flat):
    def __init__(self, weights: str | None = None) -> None:
        super().__init__()
        if weights:
            import urllib.request

            urllib.request.urlopen("http://weights.invalid/")


def wide(width: int = 3) -> nn.Module:
    """A factory."""
    return Net(width)


made = Flat()
text = "no network"
