"""Shrink and perturb: start each stage from smaller, noisier weights."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from clbench.registry import NonNegative, UnitInterval, strategy
from clbench.strategy import Learner

from ._between import BetweenStages
from ._layers import NORMS, forget_optimizer, fresh_copy, weight_layers

Noise = Literal["fresh-init", "gaussian"]


@strategy("shrink-perturb", family="plasticity")
class ShrinkPerturb(BetweenStages):
    """Shrink and perturb: before each later stage θ ← s·θ + p·θ', θ' newly drawn.

    Ash and Adams 2020 (arXiv:1910.08475). The optimiser's state is dropped.
    noise: 'fresh-init', θ' is a new initialisation, on every parameter, heads of other tasks too, and statistics of
    normalisation layers start anew, or 'gaussian', θ' ~ N(0, 1) on weights and biases of linear and convolutional
    layers alone, the variant that DASH (arXiv:2410.23495) compares with, at shrink 0.3 and perturb 0.01. shrink: s,
    what every weight is multiplied by. perturb: p, how much of θ' is added.

    Cost: a new initialisation before each later stage; nothing each step.
    """

    method = "shrink-perturb"

    def __init__(self, *, shrink: UnitInterval = 0.4, perturb: NonNegative = 0.1, noise: Noise = "fresh-init") -> None:
        super().__init__()
        self.shrink = shrink
        self.perturb = perturb
        self.noise = noise

    @torch.no_grad()
    def act(self, learner: Learner) -> None:
        """Shrink and perturb."""
        if self.noise == "fresh-init":
            self._towards(learner.model, fresh_copy(learner, "shrink-perturb"))
        else:
            random = learner.random(f"shrink-perturb of stage {learner.stage}")
            for layer in weight_layers(learner.model):
                for parameter in layer.parameters(recurse=False):
                    # θ ← s·θ + p·ε
                    noise = torch.randn(parameter.shape, generator=random)
                    parameter.mul_(self.shrink).add_(noise.to(parameter.device), alpha=self.perturb)
        forget_optimizer(learner)

    def _towards(self, model: nn.Module, fresh: nn.Module) -> None:
        # θ ← s·θ + p·θ_fresh
        for parameter, new in zip(model.parameters(), fresh.parameters(), strict=True):
            parameter.mul_(self.shrink).add_(new, alpha=self.perturb)
        for module, other in zip(model.modules(), fresh.modules(), strict=True):
            if isinstance(module, NORMS):
                for buffer, unused in zip(module.buffers(recurse=False), other.buffers(recurse=False), strict=True):
                    buffer.copy_(unused)


@strategy("shrink-only", family="plasticity")
def shrink_only(*, shrink: UnitInterval = 0.4) -> ShrinkPerturb:
    """Shrink without noise: before each later stage θ ← s·θ on every parameter.

    The control for shrink and perturb (Ash and Adams 2020, arXiv:1910.08475).
    shrink: s, what every weight is multiplied by.

    Cost: nothing each step, and nothing is kept.
    """
    made = ShrinkPerturb(shrink=shrink, perturb=0.0)
    made.method = "shrink-only"
    return made
