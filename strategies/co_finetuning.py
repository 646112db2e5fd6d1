"""Co-finetuning: an upstream dataset beside every task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from clbench.errors import UserError
from clbench.registry import Count, NonNegative, strategy
from clbench.strategy import Learner, Strategy, Upstream

from ._layers import head_layers
from ._memory import Draws, memory_batch


@strategy("co-finetuning", family="regulariser", version=2)
class CoFinetuning(Strategy):
    """Co-finetuning: beside each batch, one of an upstream dataset, with a classifier of its own on the same features.

    Arnab et al. 2022 (arXiv:2207.03807): + μ·cross-entropy of the upstream batch. Its classifier learns by plain SGD
    with the run's learning rate and is not evaluated. Upstream images are augmented as the stream's are.
    upstream: a dataset (see 'clbench list datasets'), brought to the stream's image size. classes: its first so many
    (null: all). batch: images of it in each step, without repeats (null: as many as the batch size).
    mu: strength of the upstream loss.

    Cost: a forward and a backward pass over an upstream batch each step; the upstream dataset and its classifier in
    memory.
    """

    def __init__(
        self,
        *,
        upstream: str | None = None,
        classes: Count | None = None,
        mu: NonNegative = 1.0,
        batch: Count | None = None,
    ) -> None:
        super().__init__()
        self.name = upstream
        self.classes = classes
        self.mu = mu
        self.batch = batch
        self.head: nn.Linear | None = None
        self.drawn: Sequence[Tensor] = ()

    def upstream(self) -> Upstream:
        """The dataset that was named."""
        if self.name is None:
            raise UserError(
                "strategy 'co-finetuning' needs a dataset beside the stream. Name one, for instance --set "
                "strategy.upstream=cifar10; 'clbench list datasets' shows them."
            )
        return Upstream(self.name, self.classes)

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Make the upstream classifier, once; draw from the run's seed."""
        assert learner.upstream is not None
        self.draws = Draws(learner.random(f"upstream of stage {learner.stage}"))
        if self.head is None:
            features = head_layers(learner.model)[0].in_features
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(learner.random("upstream classifier").initial_seed())
                self.head = nn.Linear(features, int(learner.upstream.told[0].max()) + 1).to(learner.device)

    def before_forward(self, learner: Learner, **kwargs: Any) -> None:
        """Draw the upstream batch: once for the step, however often its loss is computed."""
        if self.mu:
            assert learner.upstream is not None
            self.drawn = memory_batch(learner, learner.upstream, self.draws, self.batch)

    def before_backward(self, learner: Learner, **kwargs: Any) -> None:
        """Add its loss."""
        if self.mu:
            assert self.head is not None
            self.head.zero_grad()  # a sharpness-aware step has been here before
            network: Any = learner.model
            x, labels, _ = self.drawn
            learner.loss = learner.loss + self.mu * functional.cross_entropy(
                self.head(network.features(x).float()), labels
            )

    @torch.no_grad()
    def after_update(self, learner: Learner, **kwargs: Any) -> None:
        """Step the upstream classifier."""
        assert self.head is not None
        for weight in self.head.parameters():
            if weight.grad is not None:
                weight.sub_(weight.grad, alpha=learner.optimizer.param_groups[0]["lr"])
                weight.grad = None

    def after_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Let go of what the stage alone needed."""
        self.drawn = ()
        del self.draws
