"""iCaRL: exemplars, distillation by binary cross-entropy, and answers by the nearest mean of exemplars."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional

from clbench.data.tensors import TaskData
from clbench.registry import Count, strategy
from clbench.strategy import Learner

from ._budget import Budget
from ._exemplars import Choice
from ._herding import class_means, features_of
from ._memory import Memory
from ._passes import KeepsFeatures
from ._rehearsal import Classes, Rehearsal


@strategy("icarl", family="memory")
class ICaRL(Rehearsal, KeepsFeatures):
    """iCaRL: exemplars by herding, binary cross-entropy with the old network's answers, nearest mean of exemplars.

    Rebuffi et al. 2017 (arXiv:1611.07725), algorithms 1 to 5. Each stage trains on its samples and the exemplars with
    Σ_{y new} BCE(f_y, one-hot) + Σ_{y old} BCE(f_y, sigmoid of the old network's f_y), the mean over samples; the
    authors' code divides by the classes too. Old are classes learnt before that the stage does not bring: one that
    comes back is learnt from its labels. A sample is answered with the class whose exemplars' mean feature is nearest,
    all L2-normalised; inside a stage the means of its classes come from a balanced part of its samples.
    memory: how many exemplars of all classes, or bytes, as in 1.5MB. per_class: how many of each class, whatever
    ``memory`` (null: ``memory`` divided by the classes so far). selection: 'herding' or 'random'.

    Cost: each stage trains on the exemplars too; from the second stage on a forward pass of the last stage's network
    each step; after each stage a forward pass over its samples, and one over the exemplars for each evaluation. A copy
    of the network; the exemplars.
    """

    method = "icarl"

    def __init__(self, *, memory: Budget = 500, per_class: Count | None = None, selection: Choice = "herding") -> None:
        super().__init__(memory, per_class, selection)
        self.under_way: TaskData | None = None  # a part of the stage's samples, in the place of exemplars
        self.means: Tensor | None = None

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Divide the classes; draw what stands for the stage's exemplars until they are chosen."""
        super().before_training_exp(learner, **kwargs)
        part = Memory(self.exemplars.size(learner.data), "balanced")
        part.take(learner.data, learner.random(f"under way in stage {learner.stage}"))
        self.under_way = part.data

    def loss(self, logits: Tensor, targets: Tensor, classes: Classes) -> Tensor:
        """Sums over classes, the mean over samples."""
        wanted = functional.one_hot(targets, logits.shape[1]).to(logits.dtype)
        if self.taught is not None:
            wanted[:, classes.old_columns] = self.taught.index_select(1, classes.old).sigmoid()
        return functional.binary_cross_entropy_with_logits(logits, wanted, reduction="sum") / len(logits)

    def after_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Choose exemplars."""
        super().after_training_exp(learner, **kwargs)
        self.under_way = None

    def before_eval(self, learner: Learner, **kwargs: Any) -> None:
        """Compute the classes' means of the network as it is, and look at features."""
        super().before_eval(learner, **kwargs)
        parts = [part for part in (self.exemplars.data, self.under_way) if part is not None]
        if self.answers is not None and parts:
            shown = TaskData.concat(parts)
            self.means = class_means(features_of(learner.model, shown), shown.labels, self.answers)
            self.watch(learner.model)

    def after_eval_forward(self, learner: Learner, **kwargs: Any) -> None:
        """Answer with the nearest mean: of unit vectors the one with the largest product."""
        if self.means is not None:
            assert self.features is not None
            scores = functional.normalize(self.features.float()) @ self.means.T
            learner.mb_output = self.only_seen(learner.mb_output, scores)

    def after_eval(self, learner: Learner, **kwargs: Any) -> None:
        """Let go of the means."""
        super().after_eval(learner, **kwargs)
        if self.means is not None:
            self.unwatch()
            self.means = None
