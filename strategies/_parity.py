"""What the code of Lubana et al. 2022 (CoLLAs; ``reg_based.py``, online modes) measures.

Everything is taken after the optimiser's step: the gradients are those the optimiser used – a penalty's included, and
after clipping – and the weights are those it made. All running means are ω ← κ·x + (1−κ)·ω with κ = 0.8, from 0 at each
task. Under plain SGD the path importances stay 0 while a weight goes one way only: the paper's momentum is 0.9.
"""

from __future__ import annotations

import torch

from clbench.strategy import Learner, Weights, copies, gradients, grown, values

from ._importance import Parameters, RunningMean, blend

RATE = 0.8
NEVER_ZERO = 1e-10


class ParityFisher(RunningMean):
    """Running mean of g²."""

    @torch.no_grad()
    def stepped(self, learner: Learner, weights: Parameters) -> None:
        """Take this step in."""
        found = gradients(weights)
        self.take(list(torch._foreach_mul(found, found)))


class ParitySensitivity(RunningMean):
    """Running mean of |g + ∂Σ‖f(x)‖²/∂θ|, of a second pass over the batch with the weights after the step.

    The code does not clear the gradients before that pass, so that the task's are still in them. As there, the network
    is in training mode: statistics of normalisation layers are brought up to date once more.
    """

    def stepped(self, learner: Learner, weights: Parameters) -> None:
        """Take this step in."""
        with torch.enable_grad():  # an interpolation asks from within no_grad
            objective = learner.logits(learner.mbatch[0], learner.heads).square().sum()
            found = torch.autograd.grad(objective, weights, allow_unused=True, materialize_grads=True)
        with torch.no_grad():
            mixed = torch._foreach_add(gradients(weights), found)
            self.take(list(torch._foreach_abs(mixed)))


class ParityPath(RunningMean):
    """SI: A = e/((θ−θ*)² + 1e-10), e the running mean of relu(g·(θ − θ_epoch)).

    θ_epoch are the weights at the start of the epoch, θ* those at the start of the stage.
    """

    def __init__(self) -> None:
        super().__init__(RATE)

    def begin(self, learner: Learner, weights: Parameters) -> None:
        """Remember the anchor."""
        super().begin(learner, weights)
        self.anchor = copies(weights)

    def epoch(self, learner: Learner, weights: Parameters) -> None:
        """Remember where the epoch begins."""
        self.start = copies(weights)

    @torch.no_grad()
    def stepped(self, learner: Learner, weights: Parameters) -> None:
        """Take this step in."""
        path = torch._foreach_sub(values(weights), self.start)
        torch._foreach_mul_(path, gradients(weights))
        torch._foreach_clamp_min_(path, 0.0)
        self.take(list(path))

    @torch.no_grad()
    def current(self, weights: Parameters) -> Weights:
        """A so far."""
        return self.over(self.squared_distance(weights))

    def squared_distance(self, weights: Parameters) -> Weights:
        """(θ − θ*)²."""
        distance = torch._foreach_sub(values(weights), self.anchor)
        torch._foreach_mul_(distance, distance)
        return list(distance)

    def over(self, bottom: Weights) -> Weights:
        """e / (bottom + 1e-10); writes to ``bottom``."""
        torch._foreach_add_(bottom, NEVER_ZERO)
        return list(torch._foreach_div(self.running, bottom))

    def end(self) -> None:
        """Let go of e and of where stage and epoch began."""
        super().end()
        self.anchor, self.start = [], []


class ParityWalk(ParityPath):
    """RWalk: SI's e, and a running mean f of (g·θ)² that goes on over tasks; A = f + e/(f·(θ−θ*)² + 1e-10)."""

    def __init__(self) -> None:
        super().__init__()
        self.fisher: Weights = []

    def begin(self, learner: Learner, weights: Parameters) -> None:
        """Go on with f."""
        super().begin(learner, weights)
        zeros = [torch.zeros_like(weight) for weight in weights]
        self.fisher = [grown(old, new) for old, new in zip(self.fisher or zeros, zeros, strict=True)]

    @torch.no_grad()
    def stepped(self, learner: Learner, weights: Parameters) -> None:
        """Take this step in."""
        super().stepped(learner, weights)
        found = torch._foreach_mul(gradients(weights), values(weights))
        torch._foreach_mul_(found, found)
        blend(self.fisher, list(found), RATE)

    @torch.no_grad()
    def current(self, weights: Parameters) -> Weights:
        """A so far."""
        bottom = self.squared_distance(weights)
        torch._foreach_mul_(bottom, self.fisher)
        return list(torch._foreach_add(self.fisher, self.over(bottom)))
