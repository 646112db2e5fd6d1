"""Optimisers and learning-rate schedules by name."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import nn

from clbench.avalanche import SupervisedPlugin
from clbench.errors import UserError, did_you_mean
from clbench.registry import Declared, NonNegative, Positive, Share

Reset = Literal["each-task", "never"]
Schedule = Literal["constant", "linear", "cosine"]


def _fused(device: torch.device) -> bool:
    return device.type in ("cpu", "cuda")


def sgd(
    parameters: list[nn.Parameter],
    device: torch.device,
    *,
    lr: Positive = 0.05,
    momentum: Share = 0.0,
    nesterov: bool = False,
    weight_decay: NonNegative = 0.0,
    reset: Reset = "each-task",
    schedule: Schedule = "constant",
    agc: Positive | None = None,
) -> torch.optim.Optimizer:
    """Stochastic gradient descent with momentum.

    lr: learning rate. momentum: share of the last step that goes on. nesterov: look ahead along the momentum.
    weight_decay: pull towards 0, times each weight. reset: whether its state begins anew with each task.
    schedule: how the learning rate falls over each stage, to 0. agc: clip each unit's gradient to so many times the
    norm of its weights (null: not at all).
    """
    if nesterov and momentum == 0:
        raise UserError("optimizer.nesterov needs a momentum: set optimizer.momentum, for instance to 0.9.")
    # Not fused: torch's fused SGD fails when a head gets its first gradient while others have momentum already.
    return torch.optim.SGD(parameters, lr, momentum, weight_decay=weight_decay, nesterov=nesterov, foreach=True)


def adam(
    parameters: list[nn.Parameter],
    device: torch.device,
    *,
    lr: Positive = 1e-3,
    beta1: Share = 0.9,
    beta2: Share = 0.999,
    weight_decay: NonNegative = 0.0,
    reset: Reset = "each-task",
    schedule: Schedule = "constant",
    agc: Positive | None = None,
) -> torch.optim.Optimizer:
    """Adam (Kingma and Ba 2015, arXiv:1412.6980).

    beta1, beta2: how much of the running means of gradients, and of their squares, stays at each step.
    """
    return torch.optim.Adam(parameters, lr, (beta1, beta2), weight_decay=weight_decay, fused=_fused(device))


def adamw(
    parameters: list[nn.Parameter],
    device: torch.device,
    *,
    lr: Positive = 1e-3,
    beta1: Share = 0.9,
    beta2: Share = 0.999,
    weight_decay: NonNegative = 0.01,
    reset: Reset = "each-task",
    schedule: Schedule = "constant",
    agc: Positive | None = None,
) -> torch.optim.Optimizer:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, arXiv:1711.05101)."""
    return torch.optim.AdamW(parameters, lr, (beta1, beta2), weight_decay=weight_decay, fused=_fused(device))


class Sam(torch.optim.SGD):
    """SGD whose gradient the learner takes at θ + ρ·g/‖g‖, the highest point nearby."""

    rho: float = 0.05

    @torch.no_grad()
    def climb(self) -> None:
        """θ ← θ + ρ·g/‖g‖, and no gradients."""
        used = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        found = [p.grad for p in used]
        norm = torch.stack(list(torch._foreach_norm(found))).norm()
        steps = torch._foreach_mul(found, self.rho / (norm + 1e-12))
        torch._foreach_add_(used, steps)
        self._climbed = used, steps
        self.zero_grad()

    @torch.no_grad()
    def descend(self) -> None:
        """Back to where climb began, exactly but for rounding."""
        torch._foreach_sub_(*self._climbed)


def sam(
    parameters: list[nn.Parameter],
    device: torch.device,
    *,
    lr: Positive = 0.05,
    rho: Positive = 0.05,
    momentum: Share = 0.0,
    weight_decay: NonNegative = 0.0,
    reset: Reset = "each-task",
    schedule: Schedule = "constant",
    agc: Positive | None = None,
) -> torch.optim.Optimizer:
    """Sharpness-aware minimisation over SGD (Foret et al. 2021, arXiv:2010.01412): two passes per step.

    rho: how far away the highest point nearby is looked for.
    """
    made = Sam(parameters, lr, momentum, weight_decay=weight_decay, foreach=True)
    made.rho = rho
    return made


OPTIMIZERS = {
    name: Declared(name, make) for name, make in (("sgd", sgd), ("adam", adam), ("adamw", adamw), ("sam", sam))
}


def declared(name: str) -> Declared:
    """Return an optimiser by name; UserError with the nearest one."""
    if name not in OPTIMIZERS:
        raise UserError(
            f"optimizer.name: unknown optimiser '{name}'.{did_you_mean(name, OPTIMIZERS)} "
            f"Use one of {', '.join(OPTIMIZERS)}."
        )
    return OPTIMIZERS[name]


class ScheduleLearningRate(SupervisedPlugin):
    """Lower the learning rate from its full value to 0 over each stage's steps, linearly or along a cosine."""

    def __init__(self, schedule: Schedule, lr: float) -> None:
        super().__init__()
        self.schedule = schedule
        self.lr = lr

    def before_training_iteration(self, learner: Any, **kwargs: Any) -> None:
        """Set the rate of this step, before any strategy reads it."""
        progress = learner.clock.train_exp_iterations / learner.stage_steps
        left = 1 - progress if self.schedule == "linear" else (1 + math.cos(math.pi * progress)) / 2
        for group in learner.optimizer.param_groups:
            group["lr"] = self.lr * left


class AdaptiveGradientClipping(SupervisedPlugin):
    """Clip each unit's gradient g to ‖g‖ ≤ τ·max(‖w‖, 10⁻³), w being the unit's weights (agc is τ).

    Brock et al. 2021 (arXiv:2102.06171), eq. 3. Units are a weight's first dimension; a bias, or a gain, is one unit as
    a whole, as in the authors' code. The classifier is left alone, as the paper recommends. It comes after all
    strategies, penalties included.
    """

    def __init__(self, tau: float) -> None:
        super().__init__()
        self.tau = tau

    def before_training_exp(self, learner: Any, **kwargs: Any) -> None:
        """Collect the weights."""
        named = learner.model.named_parameters()
        self.weights = [weight for name, weight in named if not name.startswith("classifier")]

    @torch.no_grad()
    def before_update(self, learner: Any, **kwargs: Any) -> None:
        """Clip."""
        for weight in self.weights:
            if weight.grad is None:
                continue
            norms, found = (_unit_norms(tensor) for tensor in (weight, weight.grad))
            weight.grad.mul_((self.tau * norms.clamp_min(1e-3) / found.clamp_min(1e-6)).clamp_max(1.0))


def _unit_norms(tensor: torch.Tensor) -> torch.Tensor:
    """Norm of each unit's weights, in a shape that multiplies the tensor; what is a vector at heart is one unit."""
    dims = None if tensor.squeeze().dim() <= 1 else list(range(1, tensor.dim()))
    norms: torch.Tensor = torch.linalg.vector_norm(tensor, dim=dims, keepdim=True)
    return norms
