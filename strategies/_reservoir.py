"""A reservoir: which samples of a stream are kept when there is room for a few of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from clbench.data.tensors import TaskData, sent
from clbench.strategy import Learner

from ._budget import Budget, places

HEAD = 8  # bytes


class Reservoir:
    """At most ``budget`` samples, or bytes, that enter while they are trained on, in each epoch anew.

    Counted as often as it was trained on, every sample so far is in it with the same probability (Vitter 1985,
    algorithm R), as in the code of Buzzega et al. 2020 (arXiv:2004.07211). Images are kept as they came. ``logits`` of
    each place [places, classes] are kept by methods that need them, and say in ``beside`` how many bytes they take.
    """

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.beside = 0
        self.size = budget if isinstance(budget, int) else 0  # of bytes: known with the first samples
        self.seen = 0
        self.data: TaskData | None = None
        self.logits: Tensor | None = None
        self._plan: list[tuple[int, Tensor, Tensor]] = []

    @property
    def filled(self) -> int:
        """How many places are taken: the first ones."""
        return min(self.size, self.seen)

    def plan(self, learner: Learner, random: torch.Generator) -> None:
        """Decide for every sample of the coming epoch, in the order that they will come in, where it goes."""
        self.size = self.size or places(self.budget, learner.data, HEAD + self.beside)
        sizes = learner.batch_sizes[:: learner.updates]
        slots = reservoir_slots(self.seen, sum(sizes), self.size, random)
        found = [_last_of_each(part) for part in np.split(slots, np.cumsum(sizes)[:-1])]
        lengths = [pair.shape[1] for pair in found]
        pairs = sent(torch.from_numpy(np.concatenate(found, axis=1)), learner.device).split(lengths, dim=1)
        self._plan = [(size, pair[0], pair[1]) for size, pair in zip(sizes, pairs, strict=True)]
        self._plan.reverse()

    def write(self, learner: Learner) -> tuple[Tensor, Tensor]:
        """Put the samples of this batch that enter in their places; say which they are, and the places.

        Once for each batch: after the last of its updates.
        """
        size, entering, places = self._plan.pop()
        self.seen += size
        if len(places):
            raw, (_, labels, heads) = learner.raw, learner.mbatch
            if self.data is None:
                self.data = emptied(self.size, raw, labels, learner.data)
            self.data.samples[places] = raw[entering]
            self.data.labels[places], self.data.heads[places] = labels[entering], heads[entering]
        return entering, places

    def end(self) -> None:
        """Let go of what a stage that ended inside an epoch has left of the plan."""
        self._plan = []


def emptied(size: int, images: Tensor, labels: Tensor, like: TaskData) -> TaskData:
    """Make room for so many samples that are like these."""
    places = labels.new_zeros(size)
    return TaskData(images.new_zeros(size, *images.shape[1:]), places, places.clone(), like.encode, None)


def _last_of_each(slots: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Samples of a batch that enter, and their slots [2, n]: of several for one slot the last stays."""
    entering = np.flatnonzero(slots >= 0)[::-1]
    taken, which = np.unique(slots[entering], return_index=True)
    return np.stack([entering[which], taken])


def reservoir_slots(seen: int, count: int, size: int, random: torch.Generator) -> np.ndarray[Any, Any]:
    """Slot that each of ``count`` new samples takes, −1 for none: sample i of all goes to a random one of i + 1."""
    position = seen + torch.arange(count, dtype=torch.float64)
    drawn = (torch.rand(count, generator=random, dtype=torch.float64) * (position + 1)).long()
    slots = torch.where(position < size, position.long(), drawn)
    return torch.where(slots < size, slots, -1).numpy()
