"""Experience replay with asymmetric cross-entropy."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from clbench.models.network import MASKED
from clbench.registry import Count, strategy
from clbench.strategy import Learner

from ._budget import Budget
from ._layers import head_layers
from ._online import OnlineRehearsal


@strategy("er-ace", family="memory")
class AsymmetricReplay(OnlineRehearsal):
    """ER-ACE: a batch's loss is over the classes in it alone, so that it does not push old classes down.

    Caccia et al. 2022 (arXiv:2104.05025): CE of the batch over the classes in the batch + CE of a batch from
    memory over all classes seen so far, in passes of their own. Classes seen are a set: the authors' code also lets
    every class above the largest label so far in, which is wrong where the order of classes is shuffled. Samples enter
    the memory, a reservoir, while they are trained on, in each epoch anew; images are kept as they came and augmented
    when they are replayed.
    memory: how many samples it holds, or how many bytes, as in '1.5MB'. batch: how many are drawn each step, without
    repeats (null: as many as the batch size).

    Cost: from the second step on a forward and a backward pass over a batch from memory. The images in memory.
    """

    def __init__(self, *, memory: Budget = 500, batch: Count | None = None) -> None:
        super().__init__(memory, batch)
        self.seen: Tensor | None = None  # [heads, outputs], True where a class has been trained on

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Make room for a growing classifier's new classes."""
        super().before_training_exp(learner, **kwargs)
        layers = head_layers(learner.model)
        found = torch.zeros(len(layers), max(layer.out_features for layer in layers), dtype=torch.bool)
        found = found.to(learner.device)
        if self.seen is not None:
            found[:, : self.seen.shape[1]] = self.seen
        self.seen = found

    def before_forward(self, learner: Learner, **kwargs: Any) -> None:
        """Take a batch from memory; note which classes have come."""
        super().before_forward(learner, **kwargs)
        _, labels, heads = learner.mbatch
        assert self.seen is not None
        self.seen[heads, labels] = True

    def task_loss(self, learner: Learner) -> Tensor:
        """The batch's loss over its own classes."""
        _, labels, heads = learner.mbatch
        assert self.seen is not None
        present = torch.zeros_like(self.seen)
        present[heads, labels] = True
        return over(present[heads], learner.mb_output, labels)

    def before_backward(self, learner: Learner, **kwargs: Any) -> None:
        """Add the memory's loss, over all classes so far."""
        if self.replayed:
            x, labels, heads = self.replayed
            assert self.seen is not None
            learner.loss = learner.loss + over(self.seen[heads], learner.logits(x, heads), labels)


def over(classes: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of logits [n, outputs] over the classes that are True [n, outputs] for a sample."""
    return functional.cross_entropy(logits.masked_fill(~classes, MASKED), labels)
