"""Weights that are held for earlier tasks: each goes a share of the optimiser's step, down to none."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from clbench.errors import UserError
from clbench.strategy import Learner, Strategy, Weights, copies, has_heads, values


class HoldsWeights(Strategy):
    """Base of methods that divide the network among tasks, each of which has a head of its own.

    θ ← θ + share·(what the optimiser makes of θ − θ). Of plain SGD that is the gradient times the share, as the papers
    have it; momentum, weight decay and Adam's normalised steps cannot get past it.
    """

    exclusive = "holds weights for the tasks that use them"
    holds = True
    method = ""

    def __init__(self) -> None:
        super().__init__()
        self.weights: list[nn.Parameter] = []
        self.shares: Weights = []
        self.begun: Weights = []

    def check(self, model: nn.Module) -> None:
        """Only networks with a head for each task."""
        if not has_heads(model):
            raise UserError(
                f"strategy '{self.method}' gives each task weights of its own and must be told which task a sample is "
                "of. Use a scenario whose tasks have a head each (--set scenario.incremental=task, with split-… or "
                "permuted-…)."
            )

    def before_update(self, learner: Learner, **kwargs: Any) -> None:
        """Note where the step begins."""
        self.begun = copies(self.weights)

    @torch.no_grad()
    def after_update(self, learner: Learner, **kwargs: Any) -> None:
        """Go the share of it."""
        weights = values(self.weights)
        torch._foreach_copy_(weights, torch._foreach_lerp(self.begun, weights, self.shares))
        self.begun = []
