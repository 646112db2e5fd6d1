"""Jumpstart: no unit dead, none linear."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from clbench.errors import UserError
from clbench.registry import NonNegative, UnitInterval, strategy
from clbench.strategy import Learner, Strategy


@strategy("jumpstart")
class Jumpstart(Strategy):
    """Jumpstart: every rectified unit must be on for some samples and off for others, and every sample likewise.

    Riera et al. 2022 (arXiv:2201.12795): on pre-activations z, ρ·relu(1 − max z) + (1−ρ)·relu(1 + min z), with the
    extremes over the batch for each unit and over the units for each sample; means over units and over samples, summed
    over layers, times λ. Places of a map belong to its unit and to its sample. Works with networks that have ReLU.
    """

    def __init__(self, *, lam: NonNegative = 0.1, rho: UnitInterval = 0.5) -> None:
        super().__init__()
        self.lam = lam
        self.rho = rho
        self.seen: dict[str, Tensor] = {}
        self.hooks: list[Any] = []

    def check(self, model: nn.Module) -> None:
        """Only networks with ReLU."""
        if not _rectified(model):
            raise UserError(
                "strategy 'jumpstart' looks at the units of ReLU layers, and this network has none. Use mlp, lenet or "
                "cnn6 with activation relu, or resnet18 or slim-resnet18."
            )

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Watch what goes into each ReLU."""
        self.hooks = [
            module.register_forward_pre_hook(lambda _, inputs, name=name: self.seen.__setitem__(name, inputs[0]))
            for name, module in _rectified(learner.model).items()
        ]

    def before_backward(self, learner: Learner, **kwargs: Any) -> None:
        """Add the penalty to the loss."""
        if self.lam:
            penalty = torch.stack([penalty_of(z.float(), self.rho) for z in self.seen.values()]).sum()
            learner.loss = learner.loss + self.lam * penalty

    def after_backward(self, learner: Learner, **kwargs: Any) -> None:
        """Let the batch go."""
        self.seen.clear()

    def after_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Stop watching."""
        for hook in self.hooks:
            hook.remove()
        self.hooks = []


def penalty_of(z: Tensor, rho: float) -> Tensor:
    """Of a layer's pre-activations [samples, units] or [samples, units, height, width]."""
    z = z.flatten(2) if z.dim() > 2 else z.unsqueeze(2)
    high, low = z.max(2).values, z.min(2).values
    return torch.stack([_outside(high.max(i).values, low.min(i).values, rho) for i in (0, 1)]).sum()


def _outside(high: Tensor, low: Tensor, rho: float) -> Tensor:
    return (rho * functional.relu(1 - high) + (1 - rho) * functional.relu(1 + low)).mean()


def _rectified(model: nn.Module) -> dict[str, nn.Module]:
    return {name: module for name, module in model.named_modules() if isinstance(module, nn.ReLU)}
