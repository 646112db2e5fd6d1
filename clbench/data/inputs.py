"""From samples as they are kept to what a network is given."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Encoder(Protocol):
    """Turns raw samples [n, …] into network input; one object for all of a stream, fitted to its past alone.

    ``unit``: how far the input moves for one unit of a sample's own scale (a pixel from 0 to 1, a standard deviation);
    ``low`` and ``high``: where inputs of valid samples lie; all broadcast against one input. ``blank``: the raw value
    that stands for nothing, a black pixel or a missing number. ``dtype`` is that of the input.
    """

    blank: float
    dtype: torch.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input; known once something has been seen."""

    def see(self, samples: Tensor) -> None:
        """Fit to training samples that have not been seen yet, besides all that have."""

    @property
    def unit(self) -> Tensor:
        """Input for one unit."""

    @property
    def low(self) -> Tensor:
        """Least input."""

    @property
    def high(self) -> Tensor:
        """Greatest input."""

    def __call__(self, samples: Tensor) -> Tensor:
        """Return network input of raw samples."""


class Pixels:
    """uint8 images [n, channels, height, width] times ``scale`` plus ``shift``, both float32 [channels, 1, 1].

    As the field does it, the whole dataset's mean and deviation scale every task alike.
    """

    blank = 0.0
    dtype = torch.float32

    def __init__(self, scale: Tensor, shift: Tensor, shape: tuple[int, ...] = ()) -> None:
        self.scale = scale
        self.shift = shift
        self.shape = shape

    def see(self, samples: Tensor) -> None:
        """Nothing is fitted: scale and shift are the dataset's."""

    @property
    def unit(self) -> Tensor:
        """From black to white."""
        return 255 * self.scale

    @property
    def low(self) -> Tensor:
        """Black."""
        return self.shift

    @property
    def high(self) -> Tensor:
        """White."""
        return self.shift + self.unit

    def __call__(self, samples: Tensor) -> Tensor:
        """Return the normalised images."""
        return samples.to(torch.float32).mul_(self.scale).add_(self.shift)
