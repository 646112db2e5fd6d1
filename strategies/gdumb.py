"""GDumb: a balanced memory, and a network trained from scratch on nothing else."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from clbench.data.tensors import TaskData
from clbench.registry import Count, UnitInterval, strategy
from clbench.strategy import Learner, Strategy

from ._budget import Budget
from ._cutmix import CutMix
from ._layers import forget_optimizer, renew
from ._memory import Memory

LOWEST = 0.01  # of the optimiser's rate: the paper's rates are .05 and .0005


@strategy("gdumb", family="memory", version=2)
class GDumb(Strategy):
    """GDumb: greedily keep a balanced memory, and train a new network on the memory alone at each stage.

    Prabhu et al. 2020 (doi:10.1007/978-3-030-58536-5_31), algorithm 1: a sample enters while there is room, or if its
    class has fewer than the largest one, a random sample of which goes. So classes are balanced, and what a rare class
    cannot fill the others do, where the algorithm's cap of an equal share for each would leave places empty.
    The network trains for as many epochs of its own as ``epochs`` says, whatever the run's epochs or steps, with the
    run's optimiser and batch size (the paper's: SGD, momentum .9, batches of 16); the learning rate restarts from the
    optimiser's at epochs 1, 2, 4, 8, … and falls along a cosine to a hundredth (SGDR, Loshchilov and Hutter 2017,
    arXiv:1608.03983), after a first epoch at a tenth. A schedule of the optimiser's, if the run has one, replaces it.
    memory: how many samples it holds, or bytes, as in 1.5MB. epochs: how many it trains for at each stage; 256 in the
    paper, 128 in its code for MNIST; a power of two ends a cycle.
    cutmix: share of steps whose batch is mixed with itself (Yun et al. 2019, arXiv:1905.04899); in the paper .5, for
    MNIST 0.

    Cost: ``epochs`` epochs over the memory at each stage, whatever the run's; the images in memory.
    """

    exclusive = "trains on its memory alone"

    def __init__(self, *, memory: Budget = 500, epochs: Count = 256, cutmix: UnitInterval = 0.0) -> None:
        super().__init__()
        self.memory = Memory(memory, "balanced")
        self.length = epochs
        self.mix = CutMix(cutmix) if cutmix else None
        self.epoch = 0
        self.rates: list[float] = []  # the optimiser's own

    def training_data(self, learner: Learner, data: TaskData) -> TaskData:
        """Take the stage's samples in, and train on what is kept."""
        self.memory.take(data, learner.random(f"memory of stage {learner.stage}"), learner.classes_return)
        assert self.memory.data is not None
        return self.memory.data

    def stage_epochs(self, learner: Learner) -> int:
        """The method's own."""
        return self.length

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Begin anew."""
        if learner.stage > 0:
            renew(learner, [learner.model], "new network")
            forget_optimizer(learner)
        self.rates = self.rates or [group["lr"] for group in learner.optimizer.param_groups]
        self.epoch = 0
        self.random = learner.random(f"cutmix of stage {learner.stage}")

    def before_training_epoch(self, learner: Learner, **kwargs: Any) -> None:
        """Set the epoch's learning rate; draw what its batches are mixed with."""
        share = restarted(self.epoch)
        for group, rate in zip(learner.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * share
        self.epoch += 1
        if self.mix is not None:
            self.mix.plan(learner, self.random)

    def before_forward(self, learner: Learner, **kwargs: Any) -> None:
        """Mix the batch."""
        if self.mix is not None:
            self.mix.apply(learner)

    @property
    def own_loss(self) -> bool:
        """Where batches are mixed."""
        return self.mix is not None

    def task_loss(self, learner: Learner) -> Tensor | None:
        """The mixed batch's loss."""
        return None if self.mix is None else self.mix.loss(learner)

    def after_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Give the optimiser its rate back."""
        for group, rate in zip(learner.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate


def restarted(epoch: int) -> float:
    """Share of the learning rate in an epoch, counted from 0: a tenth, then cosines over 1, 2, 4, 8, … epochs.

    LOWEST + (1 − LOWEST)·½(1 + cos(π·t/T)) in epoch t of a cycle of T.
    """
    if epoch == 0:
        return 0.1
    cycle: int = 1 << (epoch.bit_length() - 1)
    return LOWEST + (1 - LOWEST) * 0.5 * (1 + math.cos(math.pi * (epoch - cycle) / cycle))
