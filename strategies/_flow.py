"""A class-conditional invertible flow on feature vectors."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from clbench.data.tensors import sent

HIDDEN = 128
LAYERS = 4
CONDITION = 16


class Coupling(nn.Module):
    """Affine coupling (Dinh et al. 2017, RealNVP, arXiv:1605.08803, eqs. 4 and 5), conditioned on a class vector."""

    mask: Tensor

    def __init__(self, features: int, even: bool) -> None:
        super().__init__()
        self.register_buffer("mask", (torch.arange(features) % 2 == int(even)).float())
        self.net = nn.Sequential(
            nn.Linear(features + CONDITION, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2 * features)
        )  # fmt: skip

    def _scale_and_shift(self, kept: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        scale, shift = self.net(torch.cat([kept, condition], 1)).chunk(2, 1)
        free = 1.0 - self.mask
        return scale.tanh() * free, shift * free

    def forward(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Data to noise: y and log |det ∂y/∂x|, [n]."""
        scale, shift = self._scale_and_shift(x * self.mask, condition)
        return x * scale.exp() + shift, scale.sum(1)

    def inverse(self, y: Tensor, condition: Tensor) -> Tensor:
        """Noise to data."""
        scale, shift = self._scale_and_shift(y * self.mask, condition)
        return (y - shift) * (-scale).exp()


class Flow(nn.Module):
    """RealNVP: features [n, d] ⇄ standard normal noise, given a class vector [n, 16].

    A class's vector is drawn from its number alone, so that classes may be added without end. Features are
    standardised by what ``standardise`` has seen last.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Coupling(features, even=index % 2 == 0) for index in range(LAYERS))
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))

    def standardise(self, x: Tensor) -> None:
        """Take mean and standard deviation of features."""
        self.mean, self.std = x.mean(0), x.std(0) + 1e-2

    def log_likelihood(self, x: Tensor, condition: Tensor) -> Tensor:
        """log p(x | class) of each sample, [n]."""
        z = (x - self.mean) / self.std
        total = -self.std.log().sum().expand(len(x))
        for layer in self.layers:
            z, change = layer(z, condition)
            total = total + change
        return total - 0.5 * (z.square() + math.log(2 * math.pi)).sum(1)

    def sample(self, condition: Tensor, random: torch.Generator) -> Tensor:
        """Draw one sample for each class vector."""
        z = sent(torch.randn(len(condition), len(self.mean), generator=random), condition.device)
        for layer in reversed(list(self.layers)):
            z = layer.inverse(z, condition)  # type: ignore[operator]
        found: Tensor = z * self.std + self.mean
        return found


def class_vectors(classes: Tensor, device: torch.device) -> Tensor:
    """Class numbers [n], on the host, as vectors [n, 16] on a device that depend on the number alone."""
    drawn = {
        number: torch.randn(CONDITION, generator=torch.Generator().manual_seed(number))
        for number in classes.unique().tolist()
    }
    table = torch.stack(list(drawn.values()))
    return sent(table[torch.searchsorted(torch.tensor(list(drawn)), classes)], device)
