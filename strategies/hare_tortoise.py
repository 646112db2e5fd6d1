"""Hare and tortoise: a slow copy to go back to."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from clbench.registry import Count, UnitInterval, strategy
from clbench.strategy import Learner, Strategy, grown


@strategy("hare-tortoise", family="plasticity")
class HareTortoise(Strategy):
    """Hare and tortoise: a slow average follows the fast weights, which are set back to it now and then.

    Lee et al. 2024 (arXiv:2406.02596): θ_slow ← μ·θ_slow + (1−μ)·θ at every step, and θ ← θ_slow after the first epoch
    of a stage and each ``epochs`` after, as in the authors' code, whose stages have 100. All weights go back, heads of
    other tasks too, and statistics of batch normalisation with them; the optimiser's state is kept. The fast weights
    are evaluated: where a stage has one epoch, right after they were set back.
    epochs: epochs of a stage between two resets.
    momentum: μ; the average is 1/(1−μ) steps long, which should be no more than lie between two resets.
    every: instead, steps of the run between two resets (null: ``epochs`` holds).

    Cost: a running mean of every weight each step; a copy of the network.
    """

    rewrites = True

    def __init__(self, *, momentum: UnitInterval = 0.999, epochs: Count = 10, every: Count | None = None) -> None:
        super().__init__()
        self.momentum = momentum
        self.epochs = epochs
        self.every = every
        self.epoch = 0
        self.steps = 0
        self.slow: dict[str, Tensor] = {}

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Collect the weights; what a growing classifier has new is copied."""
        named = {**dict(learner.model.named_parameters()), **dict(learner.model.named_buffers())}
        fast = {name: value.detach() for name, value in named.items() if value.is_floating_point()}
        for name, value in fast.items():
            self.slow[name] = grown(self.slow.get(name), value.clone())
        self.fast, self.tortoise = list(fast.values()), [self.slow[name] for name in fast]

        self.epoch = 0

    @torch.no_grad()
    def after_update(self, learner: Learner, **kwargs: Any) -> None:
        """Let the tortoise follow; set the hare back every so many steps, if they are counted."""
        self.steps += 1
        # θ_slow ← θ_slow + (1−μ)(θ − θ_slow)
        torch._foreach_lerp_(self.tortoise, self.fast, 1 - self.momentum)
        if self.every is not None and self.steps % self.every == 0:
            torch._foreach_copy_(self.fast, self.tortoise)

    @torch.no_grad()
    def after_training_epoch(self, learner: Learner, **kwargs: Any) -> None:
        """Set the hare back after the first epoch and every so many, if these are counted."""
        if self.every is None and self.epoch % self.epochs == 0:
            torch._foreach_copy_(self.fast, self.tortoise)
        self.epoch += 1

    def warnings(self) -> list[str]:
        """Say so if the hare never was set back."""
        if self.every is None or self.steps >= self.every:
            return []
        return [f"never fired: hare-tortoise sets the hare back every {self.every} steps, and the run had {self.steps}"]
