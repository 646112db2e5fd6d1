"""Hare and tortoise: a slow copy to go back to."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from clbench.registry import Count, UnitInterval, strategy
from clbench.strategy import Learner, Strategy, grown


@strategy("hare-tortoise")
class HareTortoise(Strategy):
    """Hare and tortoise: a slow average follows the fast weights, which are set back to it every so many steps.

    Lee et al. 2024 (arXiv:2406.02596): θ_slow ← μ·θ_slow + (1−μ)·θ, and θ ← θ_slow every ``every`` steps. Statistics
    of batch normalisation go with the weights; the optimiser's state is kept. The fast weights are evaluated.
    """

    def __init__(self, *, momentum: UnitInterval = 0.999, every: Count = 1000) -> None:
        super().__init__()
        self.momentum = momentum
        self.every = every
        self.steps = 0
        self.slow: dict[str, Tensor] = {}

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Collect the weights; what a growing classifier has new is copied."""
        named = {**dict(learner.model.named_parameters()), **dict(learner.model.named_buffers())}
        fast = {name: value.detach() for name, value in named.items() if value.is_floating_point()}
        for name, value in fast.items():
            self.slow[name] = grown(self.slow.get(name), value.clone())
        self.fast, self.tortoise = list(fast.values()), [self.slow[name] for name in fast]

    @torch.no_grad()
    def after_update(self, learner: Learner, **kwargs: Any) -> None:
        """Let the tortoise follow; set the hare back every so many steps."""
        self.steps += 1
        # θ_slow ← θ_slow + (1−μ)(θ − θ_slow)
        torch._foreach_lerp_(self.tortoise, self.fast, 1 - self.momentum)
        if self.steps % self.every == 0:
            torch._foreach_copy_(self.fast, self.tortoise)
