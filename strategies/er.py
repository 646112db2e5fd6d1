"""Experience replay."""

from __future__ import annotations

from typing import Any

import torch

from clbench.registry import Count, strategy
from clbench.strategy import Learner, Strategy

from ._memory import Draws, Memory, Selection, memory_batch


@strategy("er")
class ExperienceReplay(Strategy):
    """Experience replay: beside each batch, a batch from a memory of earlier tasks; one loss over both.

    Chaudhry et al. 2019 (arXiv:1902.10486), algorithm 2 (reservoir sampling, Vitter 1985). The memory takes each
    stage's samples in when the stage ends; every sample seen so far is in it with the same probability.
    memory: how many samples it holds. batch: how many are drawn each step (null: as many as the batch size).
    selection: 'balanced' holds as many of each class instead; then per_class, if given, is how many, whatever 'memory'.
    """

    def __init__(
        self,
        *,
        memory: Count = 500,
        batch: Count | None = None,
        selection: Selection = "reservoir",
        per_class: Count | None = None,
    ) -> None:
        super().__init__()
        self.memory = Memory(memory, selection, per_class)
        self.batch = batch

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Draw from the run's seed."""
        self.draws = Draws(learner.random(f"replay of stage {learner.stage}"))

    def before_forward(self, learner: Learner, **kwargs: Any) -> None:
        """Put a batch from memory beside the current one."""
        if self.memory.data is not None:
            replayed = memory_batch(learner, self.memory.data, self.draws, self.batch)
            learner.mbatch = [torch.cat(pair) for pair in zip(learner.mbatch, replayed, strict=True)]

    def after_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Take the stage's samples into the memory."""
        self.memory.take(learner.data, learner.random(f"reservoir of stage {learner.stage}"))
