"""GDumb: a balanced memory, and a network trained from scratch on nothing else."""

from __future__ import annotations

from typing import Any

from clbench.data.tensors import TaskData
from clbench.registry import Count, strategy
from clbench.strategy import Learner, Strategy

from ._layers import forget_optimizer, renew
from ._memory import Memory


@strategy("gdumb")
class GDumb(Strategy):
    """GDumb: greedily keep a balanced memory, and train a new network on the memory alone at each stage.

    Prabhu et al. 2020 (doi:10.1007/978-3-030-58536-5_31), algorithm 1. Trained with the run's optimiser and epochs;
    steps grow with the memory until it is full. memory: how many samples it holds, the same number of each class.
    """

    exclusive = "trains on its memory alone"

    def __init__(self, *, memory: Count = 500) -> None:
        super().__init__()
        self.memory = Memory(memory, "balanced")

    def training_data(self, learner: Learner, data: TaskData) -> TaskData:
        """Take the stage's samples in, and train on what is kept."""
        self.memory.take(data, learner.random(f"memory of stage {learner.stage}"))
        assert self.memory.data is not None
        return self.memory.data

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Begin anew."""
        if learner.stage > 0:
            renew(learner, [learner.model], "new network")
            forget_optimizer(learner)
