"""Jumpstart: no unit dead, none linear."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from clbench.errors import UserError
from clbench.registry import NonNegative, UnitInterval, strategy
from clbench.strategy import Learner

from ._passes import LooksAtPasses


@strategy("jumpstart", family="regulariser", version=2)
class Jumpstart(LooksAtPasses):
    """Jumpstart: every rectified unit must be on for some samples and off for others, and every sample likewise.

    Riera et al. 2022 (arXiv:2201.12795): on pre-activations z, ρ·relu(1 − max z) + (1−ρ)·relu(1 + min z), with the
    extremes over the batch for each unit and over the units for each sample; means over units and over samples, summed
    over layers, times λ. Places of a map belong to its unit and to its sample; of equal extremes each has its share of
    the gradient. Works with networks that have ReLU.
    lam: λ, the strength. rho: ρ, the share of the term that wants units and samples to be on.

    Cost: a look at what goes into each ReLU, forward and backward, each step; nothing is kept.
    """

    def __init__(self, *, lam: NonNegative = 0.3, rho: UnitInterval = 0.5) -> None:
        super().__init__()
        self.lam = lam
        self.rho = rho
        self.hooks: list[Any] = []
        self.pulled = torch.zeros(())

    def check(self, model: nn.Module) -> None:
        """Only networks with ReLU."""
        if not _rectified(model):
            raise UserError(
                "strategy 'jumpstart' looks at the units of ReLU layers, and this network has none. Use mlp, lenet or "
                "cnn6 with activation relu, or resnet18 or slim-resnet18."
            )

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Watch what goes into each ReLU."""
        self.pulled = self.pulled.to(learner.device)
        self.hooks = [module.register_forward_pre_hook(self._watch) for module in _rectified(learner.model)]

    def _watch(self, module: nn.Module, inputs: tuple[Tensor]) -> None:
        """Have the penalty's gradient added where the loss's arrives."""
        z = inputs[0]
        if self.looking and self.lam and z.requires_grad:
            added, pulled = gradient(z.detach().to(torch.promote_types(z.dtype, torch.float32)), self.lam, self.rho)
            self.pulled += pulled
            z.register_hook(lambda found: found + added.to(found.dtype))

    def after_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Stop watching."""
        for hook in self.hooks:
            hook.remove()
        self.hooks = []

    def warnings(self) -> list[str]:
        """Say so if the penalty was 0 throughout."""
        if not self.lam or self.pulled:
            return []
        return ["never fired: jumpstart found every unit and every sample on and off by a margin, in every step"]


def gradient(z: Tensor, lam: float, rho: float) -> tuple[Tensor, Tensor]:
    """λ·∂penalty/∂z of a layer's pre-activations [samples, units, …], and how many units and samples have a penalty.

    It is at the extremes, shared among equal ones, so that their weights sum to 1 as in any subgradient. Spelt out,
    since that of ``amax`` would pass over z three times for each; and comparisons write numbers, since those that write
    truth values are ten times as slow.
    """
    places = range(2, z.dim())
    pulled = z.new_zeros(())
    found, there = torch.zeros_like(z), torch.empty_like(z)
    for kept in (0, 1):
        dims = [1 - kept, *places]
        high, low = z.amax(dims, keepdim=True), z.amin(dims, keepdim=True)
        for extreme, pulls, weight in ((high, high < 1, -rho), (low, low > -1, 1 - rho)):
            torch.eq(z, torch.where(pulls, extreme, math.inf), out=there)
            equal = there.sum(dims, keepdim=True).clamp_min_(1.0)
            found.addcdiv_(there, equal, value=lam * weight / extreme.numel())
            pulled += pulls.sum()
    return found, pulled


def _rectified(model: nn.Module) -> list[nn.Module]:
    return [module for module in model.modules() if isinstance(module, nn.ReLU)]
