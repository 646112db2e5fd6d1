"""How often each label was given each answer, counted on the device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from clbench.metrics import Confusion

MOST_CELLS = 2**20  # labels × outputs that are counted for one task: 8 MiB


class Counts:
    """The confusion matrix of one task, a batch at a time; the host waits for nothing until ``values`` are read.

    A row for each of the task's ``labels``, a column for each of the ``outputs``. Samples with another label (−1: a
    class that the stream does not know) are in no cell. Tasks of more than MOST_CELLS cells are not counted.
    """

    def __init__(self, labels: Sequence[int], outputs: int, device: torch.device) -> None:
        self.labels, self.outputs = list(labels), outputs
        self.size = len(self.labels) * outputs
        self.within = self.size <= MOST_CELLS
        if not self.within:
            self.size = 0
        # Where a label's row begins; all others, −1 among them, share one behind the last, which nobody reads.
        begins = torch.full((outputs + 1,), self.size)
        if self.within:
            begins[self.labels] = torch.arange(len(self.labels)) * outputs
        self._begins = begins.to(device)
        self._counts = torch.zeros(self.size + outputs, dtype=torch.int64, device=device)
        self._one = torch.ones((), dtype=torch.int64, device=device)

    def add(self, labels: Tensor, answers: Tensor) -> None:
        """Count a batch: int64 [n] each."""
        # Not bincount, which asks a GPU for the largest number and waits.
        self._counts.scatter_add_(0, self._begins[labels] + answers, self._one.expand(len(labels)))

    @property
    def values(self) -> Tensor:
        """The counts on the device, row after row: int64 [labels · outputs]; empty if nothing is counted."""
        return self._counts[: self.size]

    def cells(self, values: Tensor) -> Confusion | None:
        """Return the cells that are not empty, given ``values`` on the host; None if nothing is counted."""
        if not self.within:
            return None
        table = values.reshape(len(self.labels), self.outputs)
        rows, columns = table.nonzero(as_tuple=True)
        counts = table[rows, columns].tolist()
        return [(self.labels[row], *cell) for row, *cell in zip(rows.tolist(), columns.tolist(), counts, strict=True)]
