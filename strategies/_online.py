"""Online rehearsal: a memory that fills while it is trained on, and a batch from it at each step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from clbench.data.tensors import TaskData, sent
from clbench.errors import UserError
from clbench.registry import Count
from clbench.strategy import Ahead, Learner, Strategy

from ._budget import Budget, places
from ._memory import batch_of
from ._reservoir import HEAD, Reservoir


class Filling(Protocol):
    """A memory of at most ``size`` samples that enter step by step; its first ``filled`` places are taken."""

    size: int
    data: TaskData | None

    @property
    def filled(self) -> int:
        """How many places are taken."""

    def plan(self, learner: Learner, random: torch.Generator) -> None:
        """Draw what the coming epoch needs."""

    def write(self, learner: Learner) -> Any:
        """Let this batch's samples in, those that enter."""

    def end(self) -> None:
        """Let go of what the stage alone needed."""


class DrawsAhead:
    """Rows of a memory for each step of an epoch, none twice in a step: one copy to the device for all of them.

    ``entering``: how many samples arrive at the memory with each step. So it is known ahead how full it is, and one
    that is filling costs no more than a full one.
    """

    def __init__(
        self, memory: Filling, entering: Sequence[int], batch: int, random: torch.Generator, device: torch.device
    ) -> None:
        arrived = torch.tensor([0, *entering]).cumsum(0)[:-1]
        filled = (memory.filled + arrived).clamp_max(memory.size)
        self.counts: list[int] = filled.clamp_max(batch).tolist()
        self.drawn = sent(subsets(filled, batch, random), device)
        self.position = 0

    def rows(self) -> Tensor:
        """Rows of the coming step: as many as a batch has, or all that there are."""
        position, self.position = self.position, self.position + 1
        return self.drawn[position, : self.counts[position]]


def subsets(counts: Tensor, batch: int, random: torch.Generator) -> Tensor:
    """Draw at most ``batch`` different numbers below each count: [len(counts), batch], the rest of a row is 0.

    Floyd's algorithm (Bentley and Floyd 1987, doi:10.1145/30401.315746), for all counts side by side.
    """
    sizes = counts.clamp_max(batch)
    chosen = torch.zeros(len(counts), batch, dtype=torch.int64)
    for place in range(batch):
        last = counts - sizes + place
        drawn = (torch.rand(len(counts), generator=random, dtype=torch.float64) * (last + 1)).long()
        taken = (chosen[:, :place] == drawn[:, None]).any(1)
        chosen[:, place] = torch.where(place < sizes, torch.where(taken, last, drawn), 0)
    return chosen


class OnlineRehearsal(Strategy):
    """Base of methods whose memory fills from the first step on, and is replayed from the second.

    ``replayed`` is this step's batch from memory, inputs, labels and heads, or nothing while the memory is empty; its
    ``rows`` are where it lies there. A step draws ``drawn`` samples (null: as many as the batch size).
    """

    rows: Tensor
    beside: ClassVar[int] = HEAD  # bytes that are kept with each sample and its label

    def __init__(self, memory: Budget, drawn: Count | None) -> None:
        super().__init__()
        self.budget = memory
        self.drawn = drawn
        self.memory: Filling | None = None
        self.replayed: Sequence[Tensor] = ()
        self.replays = False

    def check_stream(self, ahead: Ahead) -> None:
        """The classes of a batch from memory must be among those that are trained on."""
        if ahead.incremental == "class" and ahead.logits == "current":
            raise UserError(
                "logits: 'current' leaves out the classes of earlier stages, which a batch from memory has. Use "
                "logits=seen or logits=all."
            )

    def empty(self, size: int) -> Filling:
        """Make the memory, before the first stage."""
        return Reservoir(size)

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Make the memory, once; draw from the run's seed."""
        if self.memory is None:
            self.memory = self.empty(places(self.budget, learner.data, self.beside))
        self.entering = learner.random(f"reservoir of stage {learner.stage}")
        self.random = learner.random(f"replay of stage {learner.stage}")

    def before_training_epoch(self, learner: Learner, **kwargs: Any) -> None:
        """Draw for all of the epoch's steps which samples enter and which are replayed."""
        assert self.memory is not None
        self.memory.plan(learner, self.entering)
        drawn = self.drawn or learner.train_mb_size
        steps, of_each = learner.batch_sizes, learner.updates
        entering = [size if step % of_each == of_each - 1 else 0 for step, size in enumerate(steps)]
        self.ahead = DrawsAhead(self.memory, entering, drawn, self.random, learner.device)

    def before_forward(self, learner: Learner, **kwargs: Any) -> None:
        """Take this step's batch from memory: once, however often the step's loss is computed."""
        assert self.memory is not None
        self.rows, self.replayed = self.ahead.rows(), ()
        if len(self.rows):
            assert self.memory.data is not None
            self.replayed = batch_of(learner, self.memory.data, self.rows)
            self.replays = True

    def after_update(self, learner: Learner, **kwargs: Any) -> None:
        """Let this batch's samples in, when it has had its updates."""
        assert self.memory is not None
        if learner.last_update:
            self.memory.write(learner)

    def after_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Let go of what the stage alone needed."""
        assert self.memory is not None
        self.memory.end()
        self.replayed = ()
        del self.ahead, self.rows

    def warnings(self) -> list[str]:
        """Whether anything was replayed."""
        return [] if self.replays else ["never fired: samples are replayed from the second step on, and there was none"]
