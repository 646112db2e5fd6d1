"""Exemplars: as many samples of each class as of any other, the most telling first."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from clbench.data.tensors import TaskData, sent
from clbench.strategy import Learner

from ._budget import Budget, places
from ._herding import features_of, herded
from ._memory import shares
from ._reservoir import HEAD

Choice = Literal["herding", "random"]


class Exemplars:
    """A memory of fixed size, divided evenly among the classes so far (Rebuffi et al. 2017, arXiv:1611.07725).

    When a stage ends each of its classes is ranked, by herding of the network's features or at random; older classes
    keep the first of their ranking (algorithms 4 and 5). A class that comes back is ranked anew, from what is kept of
    it and the stage's samples. Places that a rare class cannot fill go to the others. ``per_class``: so many of each
    class, whatever ``memory``. ``data`` has the samples class by class, each in the order of its ranking.
    """

    def __init__(self, memory: Budget, per_class: int | None = None, choice: Choice = "herding") -> None:
        self.memory = memory
        self.per_class = per_class
        self.choice = choice
        self.with_each = 0  # bytes that are kept with each sample, its label and its head
        self.data: TaskData | None = None

    def size(self, data: TaskData) -> int:
        """How many samples like these it holds."""
        return places(self.memory, data, HEAD + self.with_each)

    def beside(self, data: TaskData) -> TaskData:
        """A stage's samples and the exemplars of all earlier ones."""
        return data if self.data is None else TaskData.concat([data, self.data])

    def take(self, learner: Learner) -> Tensor:
        """Take the samples of the stage that has ended in, and make room for them.

        Return where each one that is kept was, on the host: in the memory so far, or behind it in the stage's samples.
        """
        random = learner.random(f"exemplars of stage {learner.stage}")
        pool = learner.data if self.data is None else TaskData.concat([self.data, learner.data])
        labels = pool.told[0]
        classes, counts = labels.unique(return_counts=True)
        if self.per_class is None:
            kept = shares(counts, self.size(pool), random)
        else:
            kept = counts.clamp_max(self.per_class)
        coming = torch.isin(labels, learner.data.told[0].unique()).nonzero()[:, 0]
        features = features_of(learner.model, pool.subset(coming)) if self.choice == "herding" else None
        ranked = labels[coming]
        rows = []
        for one, count in zip(classes, kept.tolist(), strict=True):
            own = (ranked == one).nonzero()[:, 0]
            if not len(own):  # an older class: it is in order
                rows.append((labels == one).nonzero()[:count, 0])
            elif features is None:
                rows.append(coming[own[torch.randperm(len(own), generator=random)[:count]]])
            else:
                best = herded(features[sent(own, features.device)], count)
                rows.append(coming[own[best.cpu()]])
        kept_rows = torch.cat(rows)
        self.data = pool.subset(kept_rows)
        return kept_rows
