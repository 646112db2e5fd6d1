"""Tables as network input: numbers scaled and categories coded by what the stream has shown so far, and no more."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from clbench.data.dataset import Shape
from clbench.data.running import Running

SLOTS = 64
FURTHEST = 10.0  # standard deviations from the mean; what lies further is put there
CHUNK = 1 << 16  # rows looked at together


class Rows:
    """float32 samples [n, …] → (x − mean) / std of what was trained on so far, and a slot for each category's value.

    METHODS §8: nothing of a later period may touch an earlier one. ``see`` takes in the training samples of tasks as
    they come, each once; from then on everything, replayed samples too, is scaled by all that was seen. Statistics are
    per position of a vector, or per channel of anything larger. A missing number becomes the mean; numbers that were
    missing in the first samples seen have an input more that says so. A value of a category gets a slot of its own when
    it is first seen, the most frequent first, until they are taken; there are twice as many as values in the first
    samples, at most ``slots``; all others share slot 0.
    """

    blank = float("nan")
    dtype = torch.float32

    def __init__(self, shape: Shape, categories: int, slots: int, scaled: bool, device: torch.device) -> None:
        self._shape = shape
        self._numbers = shape[0] - categories
        self._categories = categories
        self._slots = slots
        self._scaled = scaled
        self._device = device
        self._running = Running(self._numbers)
        self._coders: list[_Coder] = []
        self._flagged = torch.empty(0, dtype=torch.int64)
        self._scale = self._shift = torch.empty(0)
        self._table = self._starts = self._last = torch.empty(0, dtype=torch.int64)
        self.shape: Shape = ()
        self.unit = torch.ones((), device=device)  # a standard deviation
        self.low, self.high = (torch.full((), end, device=device) for end in (-FURTHEST, FURTHEST))

    def see(self, samples: Tensor) -> None:
        """Take in training samples that have not been seen yet."""
        first = not self.shape
        gaps = np.zeros(self._numbers, bool)
        counts = [np.zeros(0, np.int64) for _ in range(self._categories)]
        for block in _blocks(samples):
            gaps |= self._gaps(block[:, : self._numbers])
            for place in range(self._categories):
                counts[place] = _added(counts[place], block[:, self._numbers + place].astype(np.int64))
        if first:
            self._coders = [_Coder(min(self._slots, 2 * int((one > 0).sum()) + 1)) for one in counts]
            self._flagged = torch.from_numpy(np.flatnonzero(gaps)).to(self._device)
            width = self._numbers + len(self._flagged) + sum(coder.slots for coder in self._coders)
            self.shape = (width, *self._shape[1:])
        for coder, one in zip(self._coders, counts, strict=True):
            coder.see(one)
        self._refresh()

    def _gaps(self, numbers: np.ndarray) -> np.ndarray:
        """Add a block to the statistics; return where numbers are missing."""
        flat = np.moveaxis(numbers, 1, -1).astype(np.float64)
        flat = flat.reshape(math.prod(flat.shape[:-1]), self._numbers)
        return ~np.asarray(self._running.add(flat).all(0))

    def _refresh(self) -> None:
        """Turn what was seen into tensors."""
        running = self._running
        spread = np.where(running.constant, 1.0, running.spread)  # what never changes becomes 0, not noise
        scale = 1 / spread if self._scaled else np.ones_like(spread)
        shift = -running.mean * scale if self._scaled else np.zeros_like(spread)
        place = (-1, *[1] * (len(self._shape) - 1))
        self._scale, self._shift = (
            torch.tensor(one, dtype=torch.float32, device=self._device).reshape(place) for one in (scale, shift)
        )
        tables: list[np.ndarray] = []
        starts, base = [], self._numbers + len(self._flagged)
        for coder in self._coders:
            starts.append(sum(len(one) for one in tables))
            tables.append(np.append(coder.slot_of, 0) + base)  # the last stands for values never seen
            base += coder.slots
        if tables:
            self._table = torch.from_numpy(np.concatenate(tables)).to(self._device)
            self._starts = torch.tensor(starts, device=self._device)
            self._last = torch.tensor([len(one) - 1 for one in tables], device=self._device)

    def __call__(self, samples: Tensor) -> Tensor:
        """Return network input of raw samples."""
        numbers = samples[:, : self._numbers] if self._categories else samples
        scaled = torch.addcmul(self._shift, numbers, self._scale)
        scaled = (scaled.clamp_(-FURTHEST, FURTHEST) if self._scaled else scaled).nan_to_num_(0.0)
        if not self._categories and not len(self._flagged):
            return scaled
        found = scaled.new_zeros(len(samples), *self.shape)
        found[:, : self._numbers] = scaled
        if len(self._flagged):
            found[:, self._numbers : self._numbers + len(self._flagged)] = numbers[:, self._flagged].isnan()
        if self._categories:
            # A code that was never seen is past the end of its table.
            codes = samples[:, self._numbers :].nan_to_num(0.0).to(torch.int64)
            found.scatter_(1, self._table[self._starts + torch.minimum(codes, self._last)], 1.0)
        return found


class Codes:
    """Integers that a network's embedding looks up: handed on as they are, int64."""

    blank = 0.0
    dtype = torch.int64

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.unit = self.low = self.high = torch.zeros(())

    def see(self, samples: Tensor) -> None:
        """Nothing is fitted."""

    def __call__(self, samples: Tensor) -> Tensor:
        """Return the codes."""
        return samples.to(self.dtype)


class _Coder:
    """Slots of one category: ``slot_of[code]`` is the slot of a value, 0 where it shares."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.slot_of = np.zeros(0, np.int64)
        self._taken = 1

    def see(self, counts: np.ndarray) -> None:
        """Give slots that are left to values without one, the most frequent first."""
        known = np.zeros(max(len(counts), len(self.slot_of)), np.int64)
        known[: len(self.slot_of)] = self.slot_of
        counts = np.pad(counts, (0, len(known) - len(counts)))
        waiting = np.flatnonzero((known == 0) & (counts > 0))
        given = waiting[np.argsort(-counts[waiting], kind="stable")][: self.slots - self._taken]
        known[given] = self._taken + np.arange(len(given))
        self._taken += len(given)
        self.slot_of = known


def _added(counts: np.ndarray, codes: np.ndarray) -> np.ndarray:
    found = np.bincount(codes, minlength=len(counts))
    found[: len(counts)] += counts
    return found


def _blocks(samples: Tensor) -> Iterator[np.ndarray]:
    """Rows as arrays on the host, so many at a time that none takes much memory."""
    for block in samples.split(CHUNK):
        yield block.cpu().numpy()
