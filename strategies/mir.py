"""Maximally interfered retrieval."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from clbench.registry import Count, strategy
from clbench.strategy import Learner, evaluating, named_weights

from ._budget import Budget
from ._online import OnlineRehearsal


@strategy("mir", family="memory")
class InterferedRetrieval(OnlineRehearsal):
    """MIR: of some samples of the memory those are replayed whose loss the coming step would raise most.

    Aljundi et al. 2019 (arXiv:1908.04742), algorithm 1: θ_v = θ − η·∇L(batch), one virtual step of plain SGD at the
    run's learning rate; of ``candidates`` drawn from the memory the ``batch`` with the largest ℓ(θ_v) − ℓ(θ) are
    replayed; CE of the batch + CE of these. Candidates' losses are computed in evaluation mode and in float32, since a
    step changes them little.
    candidates: how many samples are drawn each step, without repeats (the authors' code: 50; Avalanche's: 200).
    batch: how many of them are replayed (null: as many as the batch size).
    memory: how many samples it holds, or how many bytes, as in '1.5MB'; a reservoir, filled as by 'er-ace'.

    Cost: from the second step on a second backward pass over the batch, two forward passes over the candidates, and a
    forward and a backward pass over the replayed samples. The images in memory, and the virtual weights during a step.
    """

    def __init__(self, *, candidates: Count = 200, memory: Budget = 500, batch: Count | None = None) -> None:
        super().__init__(memory, candidates)
        self.batch = batch

    def after_forward(self, learner: Learner, **kwargs: Any) -> None:
        """Choose: once for the step, however often its loss is computed."""
        if not self.replayed:
            return
        x, labels, heads = self.replayed
        batch = min(self.batch or learner.train_mb_size, len(labels))
        if batch < len(labels):
            chosen = self._rise(learner, x, labels, heads).topk(batch).indices
            self.replayed = x[chosen], labels[chosen], heads[chosen]

    def _rise(self, learner: Learner, x: Tensor, labels: Tensor, heads: Tensor) -> Tensor:
        """How much the loss of each candidate would rise."""
        weights = named_weights(learner.model, include_head=True)
        loss = functional.cross_entropy(learner.mb_output, learner.mbatch[1])
        found = torch.autograd.grad(loss, list(weights.values()), retain_graph=True, materialize_grads=True)
        with torch.no_grad(), evaluating(learner.model):
            now = {name: weight.detach() for name, weight in weights.items()}
            moved = torch._foreach_sub(list(now.values()), found, alpha=learner.optimizer.param_groups[0]["lr"])
            before, after = (
                functional.cross_entropy(learner.logits(x, heads, parameters), labels, reduction="none")
                for parameters in (now, dict(zip(now, moved, strict=True)))
            )
        return after - before

    def before_backward(self, learner: Learner, **kwargs: Any) -> None:
        """Add the loss of those that were chosen."""
        if self.replayed:
            x, labels, heads = self.replayed
            learner.loss = learner.loss + functional.cross_entropy(learner.logits(x, heads), labels)
