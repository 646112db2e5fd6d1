"""A memory of earlier samples, and batches drawn from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from clbench.data.tensors import TaskData, sent
from clbench.errors import UserError
from clbench.strategy import Learner

from ._budget import Budget, places
from ._reservoir import reservoir_slots

Selection = Literal["reservoir", "balanced"]
DRAWN_STEPS = 256
BESIDE = 16  # bytes of a sample's head and of the stage that it came with


class Memory:
    """At most ``size`` samples, or bytes, of all stages so far, taken in stage by stage.

    reservoir: every sample seen so far is in it with the same probability (Vitter 1985, algorithm R, whose use in
    replay is that of Chaudhry et al. 2019, arXiv:1902.10486, algorithm 2). balanced: as many of each class as of any
    other, where a rare class's places are left to the others (``shares``), or ``per_class`` of each. A class is a label
    of a stage: labels that are used again for something else (domain-incremental streams) are different classes. Where
    ``classes_return`` it is a label, whatever the stage.
    """

    def __init__(self, size: Budget, selection: Selection = "reservoir", per_class: int | None = None) -> None:
        if per_class is not None and selection != "balanced":
            raise UserError("strategy.per_class is for a balanced memory. Add --set strategy.selection=balanced.")
        self.size = size
        self.selection = selection
        self.per_class = per_class
        self.seen = 0
        self.data: TaskData | None = None
        self.stages = torch.empty(0, dtype=torch.int64)  # which each sample came with, or 0
        self._taken = 0

    @property
    def filled(self) -> int:
        """How many samples it holds."""
        return 0 if self.data is None else len(self.data)

    def take(self, data: TaskData, random: torch.Generator, classes_return: bool = False) -> None:
        """Take a stage's samples in."""
        old, size = self.filled, places(self.size, data, BESIDE)
        pool = data if self.data is None else TaskData.concat([self.data, data])
        stages = torch.cat([self.stages, torch.full((len(data),), 0 if classes_return else self._taken)])
        if self.selection == "balanced":
            rows = self._balanced(pool.told[0], stages, old, size, random)
        else:
            slots = reservoir_slots(self.seen, len(data), size, random)
            kept = {slot: sample for sample, slot in enumerate(slots) if slot >= 0}  # the last to take a slot stays
            filled = min(size, self.seen + len(data))
            rows = [old + kept[slot] if slot in kept else slot for slot in range(filled)]
        kept_rows = torch.tensor(rows)
        self.data, self.stages = pool.subset(kept_rows), stages[kept_rows]
        self.seen += len(data)
        self._taken += 1

    def _balanced(self, labels: Tensor, stages: Tensor, old: int, size: int, random: torch.Generator) -> list[int]:
        """Rows to keep: of each class its places, the oldest first; of the new ones any, drawn at random."""
        order = torch.cat([torch.arange(old), old + torch.randperm(len(labels) - old, generator=random)])
        _, kinds = torch.unique(torch.stack([stages, labels])[:, order], dim=1, return_inverse=True)
        counts = kinds.bincount()
        if self.per_class is None:
            kept = shares(counts, size, random)
        else:
            kept = counts.clamp_max(self.per_class)
        return [int(row) for kind, share in enumerate(kept.tolist()) for row in order[kinds == kind][:share]]


def shares(counts: Tensor, size: int, random: torch.Generator) -> Tensor:
    """How many of ``size`` places each class gets that has ``counts`` samples: the same, or all that a rare one has.

    What one class cannot fill the others do; places that do not divide go to classes drawn at random. A sampler that
    takes samples in one by one, while there is room or for one of the largest class if their own is smaller, ends here.
    """
    level, left = 0, size
    while left and (open_to := counts > level).any():
        rise = left // int(open_to.sum())
        if rise == 0:
            chosen = open_to.nonzero()[:, 0]
            more = torch.zeros_like(counts)
            more[chosen[torch.randperm(len(chosen), generator=random)[:left]]] = 1
            return counts.clamp_max(level) + more
        level = min(level + rise, int(counts[open_to].min()))
        left = size - int(counts.clamp_max(level).sum())
    return counts.clamp_max(level)


class Draws:
    """Random rows of a memory, drawn for many steps at once: one copy to the device, not one per step."""

    def __init__(self, random: torch.Generator) -> None:
        self.random = random
        self._of: tuple[int, int] | None = None
        self._ready: list[Tensor] = []

    def rows(self, count: int, batch: int, device: torch.device) -> Tensor:
        """Rows of one batch out of ``count``, none of them twice; all, if there are no more."""
        if not self._ready or self._of != (count, batch):
            self._of = (count, batch)
            self._ready = list(sent(without_repeats(count, batch, DRAWN_STEPS, self.random), device))
        return self._ready.pop()


def without_repeats(count: int, batch: int, steps: int, random: torch.Generator) -> Tensor:
    """Draw ``steps`` subsets of at most ``batch`` out of ``count``: [steps, rows].

    Floyd's algorithm (Bentley and Floyd 1987, doi:10.1145/30401.315746): of the numbers up to ``last`` one is drawn; if
    the subset has it already, ``last`` itself goes in.
    """
    size = min(batch, count)
    chosen = torch.empty(steps, size, dtype=torch.int64)
    for place, last in enumerate(range(count - size, count)):
        drawn = torch.randint(last + 1, (steps,), generator=random)
        taken = (chosen[:, :place] == drawn[:, None]).any(1)
        chosen[:, place] = torch.where(taken, last, drawn)
    return chosen


def batch_of(learner: Learner, memory: TaskData, rows: Tensor) -> Sequence[Tensor]:
    """Inputs, augmented if the run augments, labels and heads of a memory's rows."""
    images = learner.augmented(memory.samples[rows])
    return memory.inputs(images), memory.labels[rows], memory.heads[rows]


def memory_batch(
    learner: Learner, memory: TaskData, draws: Draws, batch: int | None, filled: int | None = None
) -> Sequence[Tensor]:
    """A batch drawn from memory, or its first places, as large as the run's batches unless told."""
    count = len(memory) if filled is None else filled
    return batch_of(learner, memory, draws.rows(count, batch or learner.train_mb_size, memory.labels.device))
