"""What an importance is: one number ≥ 0 per weight, measured after a stage or kept up to date during it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

from clbench.strategy import Learner, Weights, copies, gradients, values

Parameters = Sequence[nn.Parameter]
Form = Literal["batch", "online"]


class Importance:
    """Base class: every hook gets the learner and the weights that are protected, in a fixed order.

    ``begin`` comes with each stage and ``epoch`` with each pass over its data. During a step: ``forwarded`` (logits are
    there, no backward pass yet), ``observe`` (the task's own gradient is there), ``stepped`` (the optimiser has moved
    the weights). ``current`` is the importance of the stage so far, ``finish`` that of the whole stage. After
    ``end`` only what later stages need is kept.
    """

    def begin(self, learner: Learner, weights: Parameters) -> None:
        """A stage begins."""

    def epoch(self, learner: Learner, weights: Parameters) -> None:
        """A pass over the stage's data begins."""

    def forwarded(self, learner: Learner, weights: Parameters) -> None:
        """Use the logits of this step."""

    def observe(self, learner: Learner, weights: Parameters) -> None:
        """Use the task's gradient of this step."""

    def stepped(self, learner: Learner, weights: Parameters) -> None:
        """Use the optimiser's step."""

    def current(self, weights: Parameters) -> Weights:
        """Importance of the stage so far; only for importances with an online form."""
        raise NotImplementedError

    def finish(self, learner: Learner, weights: Parameters) -> Weights:
        """Importance of the stage, in tensors of the caller's own."""
        return [importance.clone() for importance in self.current(weights)]

    def end(self) -> None:
        """Let go of what the stage alone needed."""


class RunningMean(Importance):
    """ω ← κ·x + (1−κ)·ω of what each step gives, from 0 at each stage."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def begin(self, learner: Learner, weights: Parameters) -> None:
        """Start from nothing."""
        self.running = [torch.zeros_like(weight) for weight in weights]

    def take(self, found: Weights) -> None:
        """Take a step's x in."""
        blend(self.running, found, self.rate)

    def current(self, weights: Parameters) -> Weights:
        """ω."""
        return self.running

    def end(self) -> None:
        """Let go of ω."""
        self.running = []


def blend(running: Weights, found: Weights, rate: float) -> None:
    """ω ← κ·x + (1−κ)·ω, in place."""
    torch._foreach_mul_(running, 1 - rate)
    torch._foreach_add_(running, found, alpha=rate)


class RunningThenBatch(Importance):
    """The running form while a stage lasts, the batch form of the whole stage at its end."""

    def __init__(self, running: Importance, batch: Importance) -> None:
        self.running = running
        self.batch = batch

    def begin(self, learner: Learner, weights: Parameters) -> None:
        """Begin the running form."""
        self.running.begin(learner, weights)

    def epoch(self, learner: Learner, weights: Parameters) -> None:
        """Let the running form know."""
        self.running.epoch(learner, weights)

    def forwarded(self, learner: Learner, weights: Parameters) -> None:
        """Let the running form see the logits."""
        self.running.forwarded(learner, weights)

    def observe(self, learner: Learner, weights: Parameters) -> None:
        """Let the running form see the gradient."""
        self.running.observe(learner, weights)

    def stepped(self, learner: Learner, weights: Parameters) -> None:
        """Let the running form see the step."""
        self.running.stepped(learner, weights)

    def current(self, weights: Parameters) -> Weights:
        """The running form."""
        return self.running.current(weights)

    def finish(self, learner: Learner, weights: Parameters) -> Weights:
        """The batch form."""
        return self.batch.finish(learner, weights)

    def end(self) -> None:
        """Let go of the running form."""
        self.running.end()


class PathIntegral(Importance):
    """Keeps −g·Δθ of each step, g being the task's gradient alone and Δθ the optimiser's whole move."""

    def begin(self, learner: Learner, weights: Parameters) -> None:
        """Remember where the stage begins."""
        self.start = copies(weights)
        self.before = copies(weights)
        self.gradient = [torch.zeros_like(weight) for weight in weights]

    def observe(self, learner: Learner, weights: Parameters) -> None:
        """Keep gradient and weights: a penalty may change the former and the step the latter."""
        torch._foreach_copy_(self.before, values(weights))
        torch._foreach_copy_(self.gradient, gradients(weights))

    def path(self, weights: Parameters) -> Weights:
        """−g·Δθ of the last step."""
        move = torch._foreach_sub(self.before, values(weights))
        torch._foreach_mul_(move, self.gradient)
        return list(move)

    def end(self) -> None:
        """Let go of the path."""
        self.start, self.before, self.gradient = [], [], []
