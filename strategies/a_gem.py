"""Averaged gradient episodic memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from clbench.registry import Count, strategy
from clbench.strategy import Learner, Strategy, Weights, gradients, named_weights

from ._budget import Budget
from ._memory import Draws, Memory, memory_batch


def project(found: Weights, reference: Weights) -> Tensor:
    """In place: g ← g − (g·g_m / g_m·g_m) g_m if g·g_m < 0; return whether it was."""
    agreement = _dot(found, reference)
    share = agreement.clamp_max(0.0) / _dot(reference, reference).clamp_min(1e-30)
    torch._foreach_sub_(found, torch._foreach_mul(reference, share))
    return agreement < 0


def _dot(one: Weights, other: Weights) -> Tensor:
    return torch.stack([(a * b).sum() for a, b in zip(one, other, strict=True)]).sum()


@strategy("a-gem", family="memory", version=2)
class AveragedGem(Strategy):
    """A-GEM: the gradient is projected so that it does not raise the loss on a batch from memory.

    Chaudhry et al. 2019 (arXiv:1812.00420), eq. 11: g ← g − (g·g_m / g_m·g_m) g_m where g·g_m < 0, over all weights. Of
    a head that the batch does not use g is 0: it gets −(g·g_m / g_m·g_m) g_m, or 0 where nothing conflicts, so momentum
    and weight decay act on old heads too, as in the authors' code.
    The memory is a reservoir over all stages so far; the paper's is a share for each task. Images are kept as they came
    and augmented when they are drawn.
    memory: how many samples it holds, or bytes, as in 1.5MB. batch: how many are drawn each step, without repeats
    (null: as many as the batch size).

    Cost: from the second stage on a forward and a backward pass over a batch from memory each step; the images in
    memory.
    """

    exclusive = "changes the optimiser's step"

    def __init__(self, *, memory: Budget = 500, batch: Count | None = None) -> None:
        super().__init__()
        self.memory = Memory(memory)
        self.batch = batch
        self.conflicts: Tensor | None = None  # steps in which the gradient was projected

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Draw from the run's seed; collect the weights that the memory's loss depends on."""
        self.draws = Draws(learner.random(f"replay of stage {learner.stage}"))
        self.weights: list[nn.Parameter] = []
        if self.memory.data is not None:
            heads = self.memory.data.told[1].unique().tolist()
            unused = _head_names(learner.model, without=heads)
            named = named_weights(learner.model, include_head=True)
            self.weights = [weight for name, weight in named.items() if not name.startswith(unused)]

    def before_update(self, learner: Learner, **kwargs: Any) -> None:
        """Project the gradient."""
        if self.memory.data is None:
            return
        x, labels, heads = memory_batch(learner, self.memory.data, self.draws, self.batch)
        with torch.enable_grad():
            loss = functional.cross_entropy(learner.logits(x, heads), labels)
            reference = torch.autograd.grad(loss, self.weights, materialize_grads=True)
        with torch.no_grad():
            conflict = project(gradients(self.weights), list(reference))
            self.conflicts = conflict.long() if self.conflicts is None else self.conflicts + conflict

    def after_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Take the stage's samples into the memory; let go of the draws."""
        self.memory.take(learner.data, learner.random(f"reservoir of stage {learner.stage}"))
        del self.draws

    def warnings(self) -> list[str]:
        """Whether any gradient was projected."""
        if self.conflicts is None:
            return ["never fired: the memory fills when a stage ends, and there is only one"]
        return [] if int(self.conflicts) else ["never fired: no step's gradient was against the memory's"]


def _head_names(model: nn.Module, without: list[int]) -> tuple[str, ...]:
    """How the names of weights begin that belong to heads of their own, all but the given ones."""
    heads = model.classifier
    if not isinstance(heads, nn.ModuleList):
        return ()
    return tuple(f"classifier.{head}." for head in range(len(heads)) if head not in without)
