"""Experience replay with a reservoir."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from clbench.data.tensors import TaskData
from clbench.registry import Count, strategy
from clbench.strategy import Learner, Strategy

DRAWN_STEPS = 256


@strategy("er")
class ExperienceReplay(Strategy):
    """Experience replay: beside each batch, a batch from a memory of earlier tasks; one loss over both.

    Chaudhry et al. 2019 (arXiv:1902.10486), algorithm 2 (reservoir sampling, Vitter 1985). The memory takes each
    stage's samples in when the stage ends; every sample seen so far is in it with the same probability.
    memory: how many samples it holds. batch: how many are drawn each step (null: as many as the batch size).
    """

    def __init__(self, *, memory: Count = 500, batch: Count | None = None) -> None:
        super().__init__()
        self.size = memory
        self.batch = batch
        self.seen = 0
        self.memory: TaskData | None = None

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Draw from the run's seed."""
        self.draws = learner.random(f"replay of stage {learner.stage}")
        self.drawn: list[torch.Tensor] = []

    def before_forward(self, learner: Learner, **kwargs: Any) -> None:
        """Put a batch from memory beside the current one."""
        memory = self.memory
        if memory is None:
            return
        if not self.drawn:  # for many steps at once: one copy to the device, not one per step
            shape = (DRAWN_STEPS, self.batch or learner.train_mb_size)
            drawn = torch.randint(len(memory), shape, generator=self.draws)
            self.drawn = list(drawn.to(memory.labels.device))
        chosen = self.drawn.pop()
        x, labels, heads = learner.mbatch
        learner.mbatch = [
            torch.cat([x, memory.inputs(memory.images[chosen])]),
            torch.cat([labels, memory.labels[chosen]]),
            torch.cat([heads, memory.heads[chosen]]),
        ]

    def after_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Take the stage's samples into the reservoir."""
        data = learner.data
        slots = self._slots(len(data), learner.random(f"reservoir of stage {learner.stage}"))
        kept = {slot: sample for sample, slot in enumerate(slots) if slot >= 0}  # the last one to take a slot stays
        pool = data if self.memory is None else TaskData.concat([self.memory, data])
        old = 0 if self.memory is None else len(self.memory)
        filled = min(self.size, self.seen + len(data))
        rows = [old + kept[slot] if slot in kept else slot for slot in range(filled)]
        self.memory = pool.subset(torch.tensor(rows, device=data.labels.device))
        self.seen += len(data)

    def _slots(self, count: int, random: torch.Generator) -> np.ndarray[Any, Any]:
        """Slot that each new sample takes, −1 for none: sample i of the stream goes to a random one of i + 1."""
        position = self.seen + torch.arange(count, dtype=torch.float64)
        drawn = (torch.rand(count, generator=random, dtype=torch.float64) * (position + 1)).long()
        slots = torch.where(position < self.size, position.long(), drawn)
        return torch.where(slots < self.size, slots, -1).numpy()
