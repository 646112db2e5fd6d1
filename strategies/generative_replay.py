"""Generative replay on embeddings."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from clbench.data.tensors import sent
from clbench.models.network import MASKED
from clbench.registry import Count, NonNegative, Positive, strategy
from clbench.strategy import Learner, Strategy, evaluating

from ._flow import Flow, class_vectors
from ._teacher import frozen_copy, head_logits

BATCH = 256
LEARNING_RATE = 3e-3
POOL_STEPS = 64
NOISE = 0.2  # in standard deviations: rectified features have atoms at 0, which have no density
HEADS = 100_000  # a class is label + HEADS · head


@strategy("generative-replay", family="memory", version=2)
class GenerativeReplay(Strategy):
    """Generative replay on embeddings: a flow per run invents old features, which the old classifier labels.

    Shin et al. 2017 (arXiv:1705.08690) on penultimate features rather than images (van de Ven et al. 2020,
    doi:10.1038/s41467-020-17866-2, replay their hidden layers), with a class-conditional RealNVP (arXiv:1605.08803).
    After each stage the flow learns the stage's features and, in the same number for each class, its own samples of
    older ones. Later stages add μ·τ²·KL(old classifier ‖ classifier) on a batch of sampled features.
    With a head for each task old heads do not move anyway, and nothing is changed. Features that drift make old
    samples worthless: compose with 'feature-distill', or freeze them ('frozen-backbone').
    mu: strength. temperature: τ, which softens both classifiers' answers.
    flow_steps: optimiser steps (Adam 3e-3, batch 256) of the flow after each stage.

    Cost: from the second stage on the classifier's pass over a batch of sampled features each step; ``flow_steps``
    steps of a small flow after each stage; the flow and a copy of the network.
    """

    def __init__(self, *, mu: NonNegative = 1.0, temperature: Positive = 1.0, flow_steps: Count = 300) -> None:
        super().__init__()
        self.mu = mu
        self.temperature = temperature
        self.flow_steps = flow_steps
        self.flow: Flow | None = None
        self.old: Any = None
        self.classes: list[int] = []
        self.own_heads = False

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Draw from the run's seed; put each old head's labels and class vectors on the device."""
        self.random = learner.random(f"generated in stage {learner.stage}")
        self.own_heads = isinstance(learner.model.classifier, nn.ModuleList)
        self.pool: list[tuple[int, Tensor, Tensor]] = []
        self.sampled: tuple[int, Tensor, Tensor] | None = None
        self.known: list[tuple[int, Tensor, Tensor]] = []
        for head in sorted({number // HEADS for number in self.classes}):
            own = torch.tensor([number for number in self.classes if number // HEADS == head])
            self.known.append((head, sent(own % HEADS, learner.device), class_vectors(own, learner.device)))

    def before_forward(self, learner: Learner, **kwargs: Any) -> None:
        """Take the step's sampled features, of one head: once, however often the loss is computed."""
        if self.flow is not None and self.mu:
            if not self.pool:
                self._refill(learner)
            self.sampled = self.pool.pop()

    def before_backward(self, learner: Learner, **kwargs: Any) -> None:
        """Add the distance between the classifiers' answers to them."""
        if self.sampled is None:
            return
        head, features, target = self.sampled
        tau = self.temperature
        logits = head_logits(learner.model, features, head)
        still_to_come = logits.shape[1] - target.shape[1]  # where the classifier grows
        target = functional.pad(target, (0, still_to_come), value=MASKED)
        loss = functional.kl_div((logits / tau).log_softmax(1), target, reduction="batchmean", log_target=True)
        learner.loss = learner.loss + self.mu * tau**2 * loss

    @torch.no_grad()
    def _refill(self, learner: Learner) -> None:
        """Sample features for many steps at once, and what the old classifier says of them."""
        assert self.flow is not None
        for step in range(POOL_STEPS):
            head, labels, vectors = self.known[step % len(self.known)]
            drawn = torch.randint(len(labels), (learner.train_mb_size,), generator=self.random)
            features = self.flow.sample(vectors[sent(drawn, learner.device)], self.random)
            logits = head_logits(self.old, features, head) / self.temperature
            known = torch.full_like(logits, MASKED).index_copy(1, labels, logits.index_select(1, labels))
            self.pool.append((head, features, known.log_softmax(1)))

    def warnings(self) -> list[str]:
        """Whether there was a classifier to hold."""
        if self.own_heads:
            return ["never fired: with a head for each task there is no old classifier that moves"]
        return []

    def after_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Teach the flow the stage's features beside its own of older classes."""
        data, random = learner.data, learner.random(f"flow of stage {learner.stage}")
        backbone: Any = learner.model.backbone
        with torch.no_grad(), evaluating(learner.model):
            found = torch.cat([backbone(x).float() for x, _, _ in data.batches(BATCH)])
        labels, heads = data.told
        classes = labels + HEADS * heads
        if self.flow is not None and self.classes:
            numbers = torch.tensor(self.classes)
            old = numbers.repeat_interleave(max(len(data) // len(classes.unique()), 1))
            with torch.no_grad():
                found = torch.cat([found, self.flow.sample(class_vectors(old, learner.device), random)])
            classes = torch.cat([classes, old])
        self.pool, self.sampled, self.known = [], None, []
        self._fit(found, classes, random)
        self.classes = sorted({*self.classes, *classes.unique().tolist()})
        self.old = frozen_copy(learner.model)

    @torch.enable_grad()
    def _fit(self, features: Tensor, classes: Tensor, random: torch.Generator) -> None:
        if self.flow is None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(random.initial_seed())
                self.flow = Flow(features.shape[1]).to(features.device)
        flow = self.flow
        flow.standardise(features)
        optimizer = torch.optim.Adam(flow.parameters(), LEARNING_RATE)
        vectors = class_vectors(classes, features.device)
        for _ in range(self.flow_steps):
            rows = sent(torch.randint(len(features), (BATCH,), generator=random), features.device)
            noise = sent(torch.randn(BATCH, features.shape[1], generator=random), features.device)
            noisy = features[rows] + NOISE * flow.std * noise
            loss = -flow.log_likelihood(noisy, vectors[rows]).mean() / features.shape[1]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
