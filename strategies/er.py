"""Experience replay."""

from __future__ import annotations

from typing import Any

import torch

from clbench.errors import UserError
from clbench.registry import Count, strategy
from clbench.strategy import Learner, Strategy

from ._budget import Budget
from ._memory import Draws, Memory, Selection, memory_batch
from ._reservoir import Reservoir


@strategy("er", family="memory", version=2)
class ExperienceReplay(Strategy):
    """Experience replay: beside each batch, a batch from a memory of earlier tasks; one loss over both.

    Chaudhry et al. 2019 (arXiv:1902.10486), algorithm 2 (reservoir sampling, Vitter 1985). The memory takes each
    stage's samples in when the stage ends; every sample seen so far is in it with the same probability. Images are kept
    as they came and augmented when they are replayed.
    memory: how many samples it holds, or bytes, as in 1.5MB. batch: how many are drawn each step, without repeats
    (null: as many as the batch size). selection: 'balanced' holds as many of each class instead, and gives the places
    that a rare class cannot fill to the others. per_class: how many of each class if it is balanced, whatever
    ``memory`` (null: ``memory`` holds).
    current: samples enter while they are trained on, in each epoch anew, and the stage's own are replayed too (the code
    of Buzzega et al. 2020, arXiv:2004.07211).

    Cost: batches with as many samples again as are drawn from memory, once it holds any; the images in memory.
    """

    def __init__(
        self,
        *,
        memory: Budget = 500,
        batch: Count | None = None,
        selection: Selection = "reservoir",
        per_class: Count | None = None,
        current: bool = False,
    ) -> None:
        super().__init__()
        if current and selection != "reservoir":
            raise UserError(
                "strategy.current is for a reservoir, which can fill step by step. Leave strategy.selection at "
                "'reservoir', or strategy.current at false."
            )
        self.memory = Reservoir(memory) if current else Memory(memory, selection, per_class)
        self.batch = batch
        self.replays = False

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Draw from the run's seed."""
        self.draws = Draws(learner.random(f"replay of stage {learner.stage}"))
        self.reservoir = learner.random(f"reservoir of stage {learner.stage}")

    def before_training_epoch(self, learner: Learner, **kwargs: Any) -> None:
        """Plan where samples go that enter in the epoch."""
        if isinstance(self.memory, Reservoir):
            self.memory.plan(learner, self.reservoir)

    def before_forward(self, learner: Learner, **kwargs: Any) -> None:
        """Put a batch from memory beside the current one."""
        if self.memory.data is not None:
            replayed = memory_batch(learner, self.memory.data, self.draws, self.batch, self.memory.filled)
            self.replays = True
            learner.mbatch = [torch.cat(pair) for pair in zip(learner.mbatch, replayed, strict=True)]

    def after_update(self, learner: Learner, **kwargs: Any) -> None:
        """Take the batch's samples in, if that is when they enter, and the batch has had its updates."""
        if isinstance(self.memory, Reservoir) and learner.last_update:
            self.memory.write(learner)

    def after_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Take the stage's samples into the memory, if they are not there yet; let go of the draws."""
        if isinstance(self.memory, Memory):
            self.memory.take(learner.data, self.reservoir, learner.classes_return)
        else:
            self.memory.end()
        del self.draws

    def warnings(self) -> list[str]:
        """Whether anything was replayed."""
        return [] if self.replays else ["never fired: the memory fills when a stage ends, and there is only one"]
