"""Distillation: the network at the end of the last stage as a teacher of the one that goes on."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from clbench.data.tensors import sent
from clbench.models.copies import bare_copy
from clbench.registry import NonNegative
from clbench.strategy import Learner

from ._passes import KeepsFeatures

Strength = NonNegative | list[NonNegative]


def frozen_copy(model: nn.Module) -> nn.Module:
    """A copy in evaluation mode whose weights take no gradient."""
    return bare_copy(model).eval().requires_grad_(False)


def head_logits(model: nn.Module, features: Tensor, head: int) -> Tensor:
    """Logits of one head from features."""
    classifier: Any = model.classifier
    logits: Tensor = classifier[head](features) if isinstance(classifier, nn.ModuleList) else classifier(features)
    return logits


def divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """τ²·KL(softmax(teacher/τ) ‖ softmax(student/τ)), the mean over samples; both logits [n, classes]."""
    log_p, log_q = (student / temperature).log_softmax(1), (teacher / temperature).log_softmax(1)
    return temperature**2 * functional.kl_div(log_p, log_q, reduction="batchmean", log_target=True)


class Distillation(KeepsFeatures):
    """Adds μ·distance(teacher, student) to the loss of every stage but the first, on the stage's own batches.

    ``mu``: one strength for all stages, or one for each, the last of which holds on. ``learnt`` has the labels that
    each head has learnt so far, ``known`` the same in order on the device.
    """

    method = ""

    def __init__(self, mu: float | list[float]) -> None:
        super().__init__()
        self.strengths = mu if isinstance(mu, list) else [mu]
        self.teacher: Any = None
        self.learnt: dict[int, set[int]] = {}
        self.known: dict[int, Tensor] = {}
        self.mu = 0.0
        self.taught = False

    def repeats(self) -> bool:
        """Each step does the same to the same tensors."""
        return True

    @abstractmethod
    def distance(self, model: nn.Module, student: Tensor, teacher: Tensor) -> Tensor:
        """Mean over the batch, from the features [n, features] of both."""

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Watch the features that the network computes anyway."""
        self.taught |= self.teacher is not None
        self.mu = self.strengths[min(learner.stage, len(self.strengths) - 1)] if self.teacher is not None else 0.0
        self.watch(learner.model)

    def before_backward(self, learner: Learner, **kwargs: Any) -> None:
        """Add the distance to the loss."""
        if self.mu == 0:
            return
        assert self.features is not None
        with torch.no_grad():
            taught = self.teacher.backbone(learner.mbatch[0])
        learner.loss = learner.loss + self.mu * self.distance(learner.model, self.features.float(), taught)

    def warnings(self) -> list[str]:
        """Say so if there never was a teacher."""
        if self.taught:
            return []
        return [f"never fired: {self.method} distils what earlier stages learnt, and the run had one stage"]

    def after_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Keep the network as the next stage's teacher, and what it has learnt."""
        self.unwatch()
        self.teacher = frozen_copy(learner.model)
        labels, heads = learner.data.told
        for head in heads.unique().tolist():
            self.learnt[head] = {*labels[heads == head].unique().tolist()} | self.learnt.get(head, set())
            self.known[head] = sent(torch.tensor(sorted(self.learnt[head])), learner.device)
