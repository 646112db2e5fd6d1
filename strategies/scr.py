"""Supervised contrastive replay."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from clbench.data.tensors import TaskData
from clbench.errors import UserError
from clbench.models.network import MASKED
from clbench.registry import Count, Positive, strategy
from clbench.strategy import Ahead, Learner, evaluating

from ._budget import Budget
from ._contrast import features_of, kinds, normalised, refuse_without_features, supervised_contrast
from ._layers import head_layers
from ._memory import batch_of
from ._online import OnlineRehearsal
from ._passes import KeepsFeatures

PROJECTED = 128  # outputs of the projection
BATCH = 1024


@strategy("scr", family="memory")
class ContrastiveReplay(OnlineRehearsal, KeepsFeatures):
    """SCR: features learn by a contrast of batch and memory; the nearest class mean of the memory answers.

    Mai et al. 2021 (arXiv:2103.13885), algorithm 1: the supervised contrastive loss of batch and memory batch in two
    views, projected by a small network (d → d → 128, rectified) and normalised; the answer is the class whose mean of
    normalised features, normalised again, is nearest. Here both views are augmented as the run augments. Without
    augmentation, and so for vectors, two views would be one: there is one, and a sample's positives are the others of
    its class. The projection learns by plain SGD with the run's learning rate. The classifier is not trained and
    answers only before there is a memory, so online accuracy, which asks it, says nothing.
    temperature: τ of the contrastive loss. memory: how many samples it holds, or how many bytes, as in '1.5MB'; a
    reservoir, filled as by 'er-ace'. batch: how many are drawn each step, without repeats (null: as many as the batch
    size).

    Cost: steps with two views of the batch and of ``batch`` more samples: at the paper's batches of 10 and 100, 22
    times as many; features of the memory at each evaluation, and tested samples pass twice. The images in memory; the
    projection.
    """

    def __init__(self, *, temperature: Positive = 0.1, memory: Budget = 500, batch: Count | None = 100) -> None:
        super().__init__(memory, batch)
        self.temperature = temperature
        self.classes = 0
        self.projection: nn.Sequential | None = None
        self.means: Tensor | None = None  # [heads, classes, features] while tasks are evaluated

    def check(self, model: nn.Module) -> None:
        """There must be features to train."""
        refuse_without_features("scr", model)

    def check_stream(self, ahead: Ahead) -> None:
        """Note how many classes there will be, which a growing classifier does not know."""
        self.classes = ahead.outputs

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Make the projection, once; watch the features."""
        super().before_training_exp(learner, **kwargs)
        if self.projection is None:
            layers = head_layers(learner.model)
            self._refuse_few_places(max(self.classes, sum(layer.out_features for layer in layers)))
            features = layers[0].in_features
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(learner.random("projection").initial_seed())
                made = nn.Sequential(nn.Linear(features, features), nn.ReLU(), nn.Linear(features, PROJECTED))
            self.projection = made.to(learner.device)
        self.watch(learner.model)

    def _refuse_few_places(self, classes: int) -> None:
        assert self.memory is not None
        if self.memory.size < classes:
            raise UserError(
                f"strategy.memory: {self.budget} holds {self.memory.size} samples, and the stream has {classes} "
                "classes: 'scr' answers by the classes' means in the memory, and some would have none. Give it at "
                "least one place for each class, better ten."
            )

    def before_forward(self, learner: Learner, **kwargs: Any) -> None:
        """Put memory, and second views of both, beside the batch."""
        super().before_forward(learner, **kwargs)
        parts = [learner.mbatch]
        if self.replayed:
            parts.append([*self.replayed])
        raw = learner.raw
        second = learner.augmented(raw)
        if second is not raw:
            parts.append([learner.data.inputs(second), *(own[: len(raw)] for own in learner.mbatch[1:])])
            if self.replayed:
                assert self.memory is not None
                assert self.memory.data is not None
                parts.append([*batch_of(learner, self.memory.data, self.rows)])
        learner.mbatch = [torch.cat(column) for column in zip(*parts, strict=True)]

    def task_loss(self, learner: Learner) -> Tensor:
        """The contrastive loss of all of them."""
        assert self.projection is not None
        assert self.features is not None
        self.projection.zero_grad()  # a sharpness-aware step has been here before
        projected = normalised(self.projection(self.features.float()))
        classes = kinds(*learner.mbatch[1:])
        others = ~torch.eye(len(classes), dtype=torch.bool, device=classes.device)
        positive = (classes[:, None] == classes) & others
        return supervised_contrast(projected, projected, positive, others, self.temperature)

    @torch.no_grad()
    def after_update(self, learner: Learner, **kwargs: Any) -> None:
        """Step the projection; let samples in."""
        assert self.projection is not None
        for weight in self.projection.parameters():
            assert weight.grad is not None
            weight.sub_(weight.grad, alpha=learner.optimizer.param_groups[0]["lr"])
            weight.grad = None
        super().after_update(learner, **kwargs)

    @torch.no_grad()
    def before_eval(self, learner: Learner, **kwargs: Any) -> None:
        """Find the classes' means, with the weights that are evaluated."""
        if self.memory is None or self.memory.data is None:
            return
        data, found = self.memory.data.subset(torch.arange(self.memory.filled, device=learner.device)), []
        with evaluating(learner.model):
            for x, _, heads in data.batches(BATCH):
                found.append(normalised(features_of(learner, x, heads)))
        layers = head_layers(learner.model)
        self.means = class_means(torch.cat(found), data, len(layers), max(layer.out_features for layer in layers))

    def after_eval_forward(self, learner: Learner, **kwargs: Any) -> None:
        """Answer with the nearest mean: of rows of length 1 that with the largest product."""
        if self.means is not None:
            head = learner.heads if isinstance(learner.heads, int) else 0
            means = self.means[head]
            near = normalised(features_of(learner, learner.mbatch[0], learner.heads)) @ means.T
            learner.mb_output = near.masked_fill(means.isnan().any(1), MASKED)

    def after_eval(self, learner: Learner, **kwargs: Any) -> None:
        """Let go of the means."""
        self.means = None

    def after_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Let go of what the stage alone needed."""
        super().after_training_exp(learner, **kwargs)
        self.unwatch()


def class_means(features: Tensor, data: TaskData, heads: int, classes: int) -> Tensor:
    """Mean of each class's features [n, d], of length 1: [heads, classes, d], NaN where a class has none."""
    sums = features.new_zeros(heads * classes, features.shape[1])
    sums.index_add_(0, data.heads * classes + data.labels, features)
    lengths = sums.norm(dim=1, keepdim=True)
    return torch.where(lengths > 0, sums / lengths, torch.nan).view(heads, classes, -1)
