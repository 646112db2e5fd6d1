"""Complementary learning systems: two slow copies of the network beside experience replay."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from clbench.registry import Count, NonNegative, UnitInterval, strategy
from clbench.strategy import Learner, evaluating, grown

from ._budget import Budget
from ._online import OnlineRehearsal

Values = dict[str, Tensor]


class Average:
    """A running mean of a network's weights, and of its statistics, that follows now and then."""

    def __init__(self, momentum: float, frequency: float) -> None:
        self.momentum = momentum
        self.frequency = frequency
        self.values: Values = {}
        self._due: list[bool] = []

    def begin(self, live: Values) -> None:
        """Start at the network, once; what a growing classifier has new is copied."""
        for name, value in live.items():
            self.values[name] = grown(self.values.get(name), value.clone())

    def plan(self, steps: int, random: torch.Generator) -> None:
        """Draw after which steps of the coming epoch it follows."""
        self._due = (torch.rand(steps, generator=random) < self.frequency).tolist()[::-1]

    def follow(self, live: Values, step: int) -> None:
        """θ̄ ← αθ̄ + (1−α)θ with α = min(1 − 1/(step+1), momentum), if it is time; steps count from 1."""
        if self._due.pop():
            alpha = min(1 - 1 / (step + 1), self.momentum)
            torch._foreach_lerp_([self.values[name] for name in live], list(live.values()), 1 - alpha)


@strategy("cls-er", family="memory")
class ComplementaryReplay(OnlineRehearsal):
    """CLS-ER: two slow averages of the network say what memory samples should give; the slower one answers.

    Arani et al. 2022 (arXiv:2201.12604), algorithm 1: CE over batch and memory together + λ·MSE between the network's
    logits of the memory batch and those of the average, plastic or stable, that gives the true class the higher
    probability. After a step each average follows with its probability. As in the authors' code both are means with
    the same momentum, no longer than the run so far, and the stable one is evaluated. Statistics of batch
    normalisation are averaged with the weights, and the averages always run in evaluation mode; the network's logits
    are those of the joint pass.
    consistency: λ, its strength. momentum: α of both averages. plastic: probability that the plastic average
    follows after a step. stable: that of the stable one.
    memory: how many samples it holds, or how many bytes, as in '1.5MB'; a reservoir, filled as by 'er-ace'. batch: how
    many are drawn each step, without repeats (null: as many as the batch size).

    Cost: from the second step on batches with as many samples again, two forward passes over a batch from memory, and
    a running mean of every weight, twice; a second pass in evaluation. The images in memory; two copies of the network.
    """

    def __init__(
        self,
        *,
        consistency: NonNegative = 0.1,
        momentum: UnitInterval = 0.999,
        plastic: UnitInterval = 0.9,
        stable: UnitInterval = 0.7,
        memory: Budget = 500,
        batch: Count | None = None,
    ) -> None:
        super().__init__(memory, batch)
        self.consistency = consistency
        self.plastic = Average(momentum, plastic)
        self.stable = Average(momentum, stable)
        self.steps = 0
        self.place = 0

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Collect the weights."""
        super().before_training_exp(learner, **kwargs)
        self.chances = learner.random(f"averages of stage {learner.stage}")
        named = {**dict(learner.model.named_parameters()), **dict(learner.model.named_buffers())}
        self.live = {name: value.detach() for name, value in named.items() if value.is_floating_point()}
        for average in (self.plastic, self.stable):
            average.begin(self.live)

    def before_training_epoch(self, learner: Learner, **kwargs: Any) -> None:
        """Draw when the averages follow."""
        super().before_training_epoch(learner, **kwargs)
        for average in (self.plastic, self.stable):
            average.plan(len(learner.batch_sizes), self.chances)

    def before_forward(self, learner: Learner, **kwargs: Any) -> None:
        """Put a batch from memory beside the current one, and ask the averages."""
        super().before_forward(learner, **kwargs)
        if self.replayed:
            self.place = len(learner.mbatch[1])
            self.taught = self._taught(learner)
            learner.mbatch = [torch.cat(pair) for pair in zip(learner.mbatch, self.replayed, strict=True)]

    @torch.no_grad()
    def _taught(self, learner: Learner) -> Tensor:
        """Logits [n, outputs] of the average that is surer of a sample's class."""
        x, labels, heads = self.replayed
        plastic, stable = (answers(learner, x, heads, one.values) for one in (self.plastic, self.stable))
        sure, surer = (logits.log_softmax(1).gather(1, labels[:, None]) for logits in (plastic, stable))
        return torch.where(surer > sure, stable, plastic)

    def before_backward(self, learner: Learner, **kwargs: Any) -> None:
        """Add the distance to them."""
        if self.replayed:
            now = learner.mb_output[self.place : self.place + len(self.taught)]
            learner.loss = learner.loss + self.consistency * functional.mse_loss(now, self.taught)

    @torch.no_grad()
    def after_update(self, learner: Learner, **kwargs: Any) -> None:
        """Let samples in, and the averages follow."""
        super().after_update(learner, **kwargs)
        self.steps += 1
        for average in (self.plastic, self.stable):
            average.follow(self.live, self.steps)

    def after_eval_forward(self, learner: Learner, **kwargs: Any) -> None:
        """Answer with the stable average."""
        if self.stable.values:
            learner.mb_output = answers(learner, learner.mbatch[0], learner.heads, self.stable.values)

    def after_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Let go of what the stage alone needed."""
        super().after_training_exp(learner, **kwargs)
        self.taught, self.live = torch.empty(0), {}


@torch.no_grad()
def answers(learner: Learner, x: Tensor, heads: Tensor | int, values: Values) -> Tensor:
    """Logits of the network with these values in the place of its own, in evaluation mode."""
    with evaluating(learner.model):
        return learner.logits(x, heads, values)
