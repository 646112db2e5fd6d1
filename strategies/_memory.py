"""A memory of earlier samples, and batches drawn from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from clbench.data.tensors import TaskData
from clbench.errors import UserError
from clbench.strategy import Learner

Selection = Literal["reservoir", "balanced"]
DRAWN_STEPS = 256


class Memory:
    """At most ``size`` samples of all stages so far, taken in stage by stage.

    reservoir: every sample seen so far is in it with the same probability (Vitter 1985, algorithm R, whose use in
    replay is that of Chaudhry et al. 2019, arXiv:1902.10486, algorithm 2). balanced: as many of each class as of any
    other, ``size`` divided by the classes seen, or ``per_class`` of each. A class is a label of a stage: labels that
    are used again for something else (domain-incremental streams) are different classes.
    """

    def __init__(self, size: int, selection: Selection = "reservoir", per_class: int | None = None) -> None:
        if per_class is not None and selection != "balanced":
            raise UserError("strategy.per_class is for a balanced memory. Add --set strategy.selection=balanced.")
        self.size = size
        self.selection = selection
        self.per_class = per_class
        self.seen = 0
        self.data: TaskData | None = None
        self.stages = torch.empty(0, dtype=torch.int64)  # which stage each sample came with
        self._taken = 0

    def take(self, data: TaskData, random: torch.Generator) -> None:
        """Take a stage's samples in."""
        old = 0 if self.data is None else len(self.data)
        pool = data if self.data is None else TaskData.concat([self.data, data])
        stages = torch.cat([self.stages, torch.full((len(data),), self._taken)])
        if self.selection == "balanced":
            rows = self._balanced(pool.labels.cpu(), stages, old, random)
        else:
            slots = reservoir_slots(self.seen, len(data), self.size, random)
            kept = {slot: sample for sample, slot in enumerate(slots) if slot >= 0}  # the last to take a slot stays
            filled = min(self.size, self.seen + len(data))
            rows = [old + kept[slot] if slot in kept else slot for slot in range(filled)]
        kept_rows = torch.tensor(rows)
        self.data, self.stages = pool.subset(kept_rows.to(data.labels.device)), stages[kept_rows]
        self.seen += len(data)
        self._taken += 1

    def _balanced(self, labels: Tensor, stages: Tensor, old: int, random: torch.Generator) -> list[int]:
        """Rows to keep: of each class its share, the oldest first; of the new ones any, drawn at random."""
        order = torch.cat([torch.arange(old), old + torch.randperm(len(labels) - old, generator=random)])
        _, kinds = torch.unique(torch.stack([stages, labels])[:, order], dim=1, return_inverse=True)
        count = int(kinds.max()) + 1
        share = self.per_class or max(self.size // count, 1)
        rows = [int(row) for kind in range(count) for row in order[kinds == kind][:share]]
        if self.per_class or len(rows) <= self.size:
            return rows
        # More classes than places: some go without.
        return [rows[place] for place in sorted(torch.randperm(len(rows), generator=random)[: self.size].tolist())]


def reservoir_slots(seen: int, count: int, size: int, random: torch.Generator) -> np.ndarray[Any, Any]:
    """Slot that each of ``count`` new samples takes, −1 for none: sample i of all goes to a random one of i + 1."""
    position = seen + torch.arange(count, dtype=torch.float64)
    drawn = (torch.rand(count, generator=random, dtype=torch.float64) * (position + 1)).long()
    slots = torch.where(position < size, position.long(), drawn)
    return torch.where(slots < size, slots, -1).numpy()


class Draws:
    """Random rows of a memory, drawn for many steps at once: one copy to the device, not one per step."""

    def __init__(self, random: torch.Generator) -> None:
        self.random = random
        self._ready: list[Tensor] = []

    def rows(self, count: int, batch: int, device: torch.device) -> Tensor:
        """Rows of one batch, drawn with repeats out of ``count``; both are the same throughout a stage."""
        if not self._ready:
            drawn = torch.randint(count, (DRAWN_STEPS, batch), generator=self.random)
            self._ready = list(drawn.to(device))
        return self._ready.pop()


def batch_of(memory: TaskData, rows: Tensor) -> Sequence[Tensor]:
    """Inputs, labels and heads of a memory's rows."""
    return memory.inputs(memory.images[rows]), memory.labels[rows], memory.heads[rows]


def memory_batch(learner: Learner, memory: TaskData, draws: Draws, batch: int | None) -> Sequence[Tensor]:
    """A batch drawn from memory, as large as the run's batches unless told."""
    return batch_of(memory, draws.rows(len(memory), batch or learner.train_mb_size, memory.labels.device))
