"""Dynamically expandable representation: a backbone for each stage, joined under one classifier."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from clbench.data.tensors import TaskData, sent
from clbench.errors import UserError
from clbench.registry import NonNegative, Positive, strategy
from clbench.strategy import Learner, Strategy, evaluating, has_heads, named_weights

from ._budget import Budget, places
from ._joined import Joined, grow, linear_of
from ._memory import BESIDE, Memory
from ._passes import KeepsFeatures
from ._units import drawn_anew

AUXILIARY = "classifier_auxiliary"  # with a classifier's name, so that nobody takes it for the backbone's
EPOCHS, BATCH, RATE = 30, 128, 0.1  # of the classifier on the balanced memory, as in the paper
EVALUATED = 1024  # samples of which features are computed at once


@strategy("expandable", family="network")
class Expandable(KeepsFeatures):
    """Expandable representation: each stage adds a backbone to the frozen ones, and one classifier reads all features.

    DER of Yan et al. 2021 (arXiv:2103.16788), under another name, since 'der++' is of another. The new backbone begins
    as a copy of the last one and is trained on the stage's samples and a class-balanced memory, with cross-entropy of
    the whole + λ·cross-entropy of an auxiliary classifier on the new features alone, which tells the stage's classes
    apart, all others being one (eq. 4). From the second stage on the classifier is then drawn anew and trained on the
    memory alone, with logits divided by a temperature (section 3.4), for 30 epochs of SGD that begins at .1. The
    paper's pruning of backbones (section 3.3) is left out: they stay whole.
    For one classifier; the network grows with stages, beside the memory's budget.
    memory: how many samples it holds, as many of each class, or how many bytes ('1.5MB'). auxiliary: λ.
    temperature: what logits are divided by when the classifier is trained alone; 5 in the paper for CIFAR-100, 1 for
    ImageNet.

    Cost: in stage t forward passes of t backbones and the gradient of one, over the stage's samples and the memory; a
    copy of the backbone each stage; the images in memory.
    """

    exclusive = "keeps exemplars, with a loss of its own"

    def __init__(self, *, memory: Budget = 500, auxiliary: NonNegative = 1.0, temperature: Positive = 5.0) -> None:
        super().__init__()
        self.budget = memory
        self.auxiliary = auxiliary
        self.temperature = temperature
        self.memory: Memory | None = None
        self.own = torch.empty(0, dtype=torch.int64)  # [labels], the auxiliary classifier's label of each
        self.width = 0
        self.grew = False

    def check(self, model: nn.Module) -> None:
        """Only networks with one classifier, and something to expand."""
        if has_heads(model):
            raise UserError(
                "strategy 'expandable' joins features under one classifier, and here each task has a head of its own. "
                "Use --set scenario.incremental=class, or a scenario such as split-class-…; 'packnet' and 'hat' are "
                "for heads."
            )
        if not named_weights(model):
            raise UserError(
                "strategy 'expandable' adds a backbone a stage, and this network has no weight before its classifier. "
                "Use one with hidden layers, for instance --model mlp."
            )

    def before_train_dataset_adaptation(self, learner: Learner, **kwargs: Any) -> None:
        """Grow before the optimiser looks for new weights."""
        if self.memory is None:
            _check_composition(learner)
            self.memory = Memory(self.budget, "balanced")
        labels = torch.cat([data.told[0] for data in (learner.data, self.memory.data) if data is not None])
        outputs = max(linear_of(learner.model).out_features, int(labels.max()) + 1)
        self._check_room(outputs, places(self.budget, learner.data, BESIDE))
        if learner.stage == 0:
            return
        self.grew = True
        grow(learner.model, learner.random(f"classifier of stage {learner.stage}"))
        present = learner.data.told[0].unique()
        own = torch.zeros(outputs, dtype=torch.int64)
        own[present] = torch.arange(1, len(present) + 1)
        self.own = sent(own, learner.device)
        self.width = linear_of(learner.model).in_features // (learner.stage + 1)
        auxiliary = nn.utils.skip_init(nn.Linear, self.width, len(present) + 1, device=learner.device)
        _draw(auxiliary, learner.random(f"auxiliary classifier of stage {learner.stage}"))
        setattr(learner.model, AUXILIARY, auxiliary)

    def training_data(self, learner: Learner, data: TaskData) -> TaskData:
        """The memory's samples beside the stage's."""
        assert self.memory is not None
        return data if self.memory.data is None else TaskData.concat([data, self.memory.data])

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Watch the features that the network computes anyway."""
        self.watch(learner.model)

    def before_backward(self, learner: Learner, **kwargs: Any) -> None:
        """+ λ·cross-entropy of the auxiliary classifier on the new features."""
        if learner.stage > 0 and self.auxiliary:
            assert self.features is not None
            auxiliary: Any = getattr(learner.model, AUXILIARY)
            told = auxiliary(self.features[:, -self.width :].float())
            learner.loss = learner.loss + self.auxiliary * functional.cross_entropy(told, self.own[learner.mbatch[1]])

    def after_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Take the stage's samples in; from the second stage on, train the classifier on equal classes."""
        assert self.memory is not None
        self.unwatch()
        self.own = torch.empty(0, dtype=torch.int64)
        self.memory.take(learner.data, learner.random(f"memory of stage {learner.stage}"), learner.classes_return)
        if isinstance(learner.model.backbone, Joined):
            delattr(learner.model, AUXILIARY)
            self._balance(learner, learner.random(f"balanced classifier of stage {learner.stage}"))

    def _balance(self, learner: Learner, random: torch.Generator) -> None:
        """Draw the classifier anew and train it on the memory, whose features do not change meanwhile."""
        assert self.memory is not None
        assert self.memory.data is not None
        data, layer = self.memory.data, linear_of(learner.model)
        backbone: Any = learner.model.backbone
        with evaluating(learner.model), torch.no_grad():
            features = torch.cat([backbone(x).float() for x, *_ in data.batches(EVALUATED)])
        _draw(layer, random)
        learner.optimizer.state.pop(layer.weight, None)
        learner.optimizer.state.pop(layer.bias, None)
        optimizer = torch.optim.SGD(layer.parameters(), RATE, momentum=0.9, weight_decay=5e-4)
        orders = torch.stack([torch.randperm(len(data), generator=random) for _ in range(EPOCHS)]).to(learner.device)
        for epoch, order in enumerate(orders):
            optimizer.param_groups[0]["lr"] = RATE if epoch < EPOCHS // 2 else RATE / 10
            for rows in order.split(BATCH):
                optimizer.zero_grad()
                logits = layer(features[rows]) / self.temperature
                functional.cross_entropy(logits, data.labels[rows]).backward()
                optimizer.step()
        optimizer.zero_grad()

    def _check_room(self, classes: int, room: int) -> None:
        if room < classes:
            raise UserError(
                f"strategy.memory: {self.budget} holds {room} samples, and 'expandable' keeps at least one "
                f"of each of {classes} classes. Give more, for instance {20 * classes}."
            )

    def warnings(self) -> list[str]:
        """Say so if the network never grew."""
        if self.grew:
            return []
        return ["never fired: 'expandable' grows when a second stage begins, and there was only one"]


def _check_composition(learner: Learner) -> None:
    """Refuse methods that hold weights by their names, which change as the network grows."""
    for part in learner.plugins:
        if isinstance(part, Strategy) and type(part).protection is not Strategy.protection:
            raise UserError(
                f"strategy: 'expandable' freezes what earlier stages learnt and adds weights, so there is nothing for "
                f"{type(part).__name__} to hold. Leave one of the two out."
            )


@torch.no_grad()
def _draw(layer: nn.Linear, random: torch.Generator) -> None:
    """Draw a linear layer as PyTorch does, on the host, so that it is the same on every device."""
    weight, bias = drawn_anew(layer, random)
    layer.weight.copy_(weight)
    if bias is not None:
        layer.bias.copy_(bias)
