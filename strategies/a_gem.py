"""Averaged gradient episodic memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from clbench.registry import Count, strategy
from clbench.strategy import Learner, Strategy, Weights, gradients, named_weights

from ._memory import Draws, Memory, memory_batch


def project(found: Weights, reference: Weights) -> None:
    """In place: g ← g − (g·g_m / g_m·g_m) g_m if g·g_m < 0."""
    agreement = _dot(found, reference)
    share = agreement.clamp_max(0.0) / _dot(reference, reference).clamp_min(1e-30)
    torch._foreach_sub_(found, torch._foreach_mul(reference, share))


def _dot(one: Weights, other: Weights) -> Tensor:
    return torch.stack([(a * b).sum() for a, b in zip(one, other, strict=True)]).sum()


@strategy("a-gem")
class AveragedGem(Strategy):
    """A-GEM: the gradient is projected so that it does not raise the loss on a batch from memory.

    Chaudhry et al. 2019 (arXiv:1812.00420), eq. 11: g ← g − (g·g_m / g_m·g_m) g_m where g·g_m < 0, over all weights.
    The memory is a reservoir over all stages so far; the paper's is a share for each task.
    memory: how many samples it holds. batch: how many are drawn each step (null: as many as the batch size).
    """

    exclusive = "changes the optimiser's step"

    def __init__(self, *, memory: Count = 500, batch: Count | None = None) -> None:
        super().__init__()
        self.memory = Memory(memory)
        self.batch = batch

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Draw from the run's seed."""
        self.draws = Draws(learner.random(f"replay of stage {learner.stage}"))

    def before_update(self, learner: Learner, **kwargs: Any) -> None:
        """Project the gradient."""
        if self.memory.data is None:
            return
        x, labels, heads = memory_batch(learner, self.memory.data, self.draws, self.batch)
        weights = list(named_weights(learner.model, include_head=True).values())
        with torch.enable_grad():
            loss = functional.cross_entropy(learner.logits(x, heads), labels)
            reference = torch.autograd.grad(loss, weights, allow_unused=True)
        used = [
            (weight, old)
            for weight, old in zip(weights, reference, strict=True)
            if weight.grad is not None and old is not None
        ]
        with torch.no_grad():
            project(gradients([weight for weight, _ in used]), [old for _, old in used])

    def after_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Take the stage's samples into the memory."""
        self.memory.take(learner.data, learner.random(f"reservoir of stage {learner.stage}"))
