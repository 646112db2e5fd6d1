"""How many samples a network is trained on: a count that no load of the machine changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch._C._functorch import get_unwrapped, is_functorch_wrapped_tensor


class Rows:
    """Counts the samples that go through a network's features with gradients enabled, however a strategy sends them.

    The replayed ones, both passes of a sharpness-aware step, the steps that inputs take, a batch of another dataset:
    all are work. Evaluation and a teacher's answers are computed without gradients. Nothing is asked of the device.
    """

    def __init__(self) -> None:
        self.count = 0
        self._paused = False

    def note(self, x: Tensor) -> None:
        """Count a batch. Called by the network itself: a hook would cost each step some per cent."""
        if torch.is_grad_enabled() and not self._paused:
            self.count += rows_of(x)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Count nothing meanwhile: what the harness measures is no work of the strategy."""
        self._paused = True
        try:
            yield
        finally:
            self._paused = False


def rows_of(x: Tensor) -> int:
    """Samples of a batch [n, …]; under ``torch.func.vmap`` those of all the batches that it stands for."""
    whole = x
    while is_functorch_wrapped_tensor(whole):
        whole = get_unwrapped(whole)
    return len(x) if whole is x else len(x) * whole.numel() // x.numel()
