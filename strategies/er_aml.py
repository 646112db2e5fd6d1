"""Experience replay with asymmetric metric learning."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from clbench.data.tensors import sent
from clbench.registry import Count, Positive, strategy
from clbench.strategy import Learner

from ._budget import Budget
from ._contrast import features_of, kinds, normalised, refuse_without_features, supervised_contrast
from ._online import OnlineRehearsal
from ._passes import KeepsFeatures


@strategy("er-aml", family="memory")
class MetricReplay(OnlineRehearsal, KeepsFeatures):
    """ER-AML: a batch only learns features, apart from those of the batch's other classes; memory trains classes.

    Caccia et al. 2022 (arXiv:2104.05025): the supervised contrastive loss of the batch's features, normalised, + CE of
    a batch from memory. As in the authors' code for streams without known tasks, each sample of the batch draws one
    other sample of its class and one of another class *of the batch*, from the batch and the memory, with repeats;
    every sample is contrasted with all that were drawn; one that has no such pair is left out. Their factor τ/.07 is
    not. While the memory is empty the loss is cross-entropy.
    temperature: τ of the contrastive loss. memory: how many samples it holds, or how many bytes, as in '1.5MB'; a
    reservoir, filled as by 'er-ace'. batch: how many are drawn each step, without repeats (null: as many as the batch
    size).

    Cost: from the second step on forward and backward passes over a batch from memory and over two drawn samples for
    each of the batch. The images in memory.
    """

    def __init__(self, *, temperature: Positive = 0.1, memory: Budget = 500, batch: Count | None = None) -> None:
        super().__init__(memory, batch)
        self.temperature = temperature
        self.pairs: tuple[Tensor, ...] = ()

    def check(self, model: nn.Module) -> None:
        """There must be features to train."""
        refuse_without_features("er-aml", model)

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Watch the batch's features."""
        super().before_training_exp(learner, **kwargs)
        self.chances = learner.random(f"pairs of stage {learner.stage}")
        self.watch(learner.model)

    def before_training_epoch(self, learner: Learner, **kwargs: Any) -> None:
        """Draw which of those that fit will be a sample's pair, for all of the epoch."""
        super().before_training_epoch(learner, **kwargs)
        sizes = learner.batch_sizes
        drawn = torch.rand(2, sum(sizes), generator=self.chances)
        self.planned = list(sent(drawn, learner.device).split(sizes, dim=1))[::-1]

    def before_forward(self, learner: Learner, **kwargs: Any) -> None:
        """Take a batch from memory, and the batch's pairs."""
        super().before_forward(learner, **kwargs)
        chances = self.planned.pop()
        self.pairs = self._pairs(learner, chances) if self.replayed else ()

    def _pairs(self, learner: Learner, chances: Tensor) -> tuple[Tensor, ...]:
        """Inputs, heads and classes of what is drawn for the batch, twice as many; whether a sample has its pair."""
        assert self.memory is not None
        memory = self.memory.data
        assert memory is not None
        filled, arrived, raw = self.memory.filled, learner.arrived, learner.raw
        labels = torch.cat([memory.labels[:filled], learner.mbatch[1][:arrived]])
        heads = torch.cat([memory.heads[:filled], learner.mbatch[2][:arrived]])
        classes = kinds(labels, heads)
        own = classes[filled:]
        same = own[:, None] == classes
        same_sample = (
            torch.arange(len(classes), device=own.device) == filled + torch.arange(arrived, device=own.device)[:, None]
        )
        in_batch = same.any(0)
        (positive, has), (negative, has_not) = (
            one_of(fitting, chance)
            for fitting, chance in zip((same & ~same_sample, ~same & in_batch), chances, strict=True)
        )
        rows = torch.cat([positive, negative])
        old, new = memory.samples[rows.clamp_max(filled - 1)], raw[(rows - filled).clamp_min(0)]
        images = learner.augmented(torch.where((rows < filled).view(-1, *[1] * (raw.dim() - 1)), old, new))
        return memory.inputs(images), heads[rows], classes[rows], own, has & has_not

    def task_loss(self, learner: Learner) -> Tensor | None:
        """The contrastive loss of the batch, if there is a memory."""
        if not self.pairs:
            return None
        x, heads, classes, own, valid = self.pairs
        assert self.features is not None
        anchors, others = normalised(self.features[: len(own)]), normalised(features_of(learner, x, heads))
        counted = valid.repeat(2).expand(len(own), -1)
        positive = (own[:, None] == classes) & counted & valid[:, None]
        return supervised_contrast(anchors, others, positive, counted | ~valid.any(), self.temperature)

    def before_backward(self, learner: Learner, **kwargs: Any) -> None:
        """Add the memory's cross-entropy."""
        if self.replayed:
            x, labels, heads = self.replayed
            learner.loss = learner.loss + functional.cross_entropy(learner.logits(x, heads), labels)

    def after_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Let go of what the stage alone needed."""
        super().after_training_exp(learner, **kwargs)
        self.unwatch()
        self.pairs, self.planned = (), []


def one_of(fitting: Tensor, chance: Tensor) -> tuple[Tensor, Tensor]:
    """Take for each row of bool [n, m] one of its True columns, by a number [n] in [0, 1); whether there is any.

    All are as probable; a row without any gives 0.
    """
    order = fitting.cumsum(1)
    wanted = (chance * order[:, -1]).long().clamp_max(order[:, -1] - 1) + 1
    return ((order == wanted[:, None]) & fitting).long().argmax(1), order[:, -1] > 0
