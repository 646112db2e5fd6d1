"""Gradient-based sample selection."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from clbench.data.tensors import TaskData, sent
from clbench.registry import Count, strategy
from clbench.strategy import Learner

from ._budget import Budget
from ._online import DrawsAhead, OnlineRehearsal
from ._products import gradient_products
from ._reservoir import HEAD, emptied

PLANNED = 64  # steps whose noise is sent together
FIRST = 0.1  # score of the first batch's samples


class DiverseMemory:
    """At most ``size`` samples whose gradients point in different directions; ``scores`` [places] in [0, 2]."""

    def __init__(self, size: int, compare: int) -> None:
        self.size = size
        self.compare = compare
        self.filled = 0
        self.data: TaskData | None = None
        self.scores = torch.empty(0)
        self._noise: list[Tensor] = []

    def plan(self, learner: Learner, random: torch.Generator) -> None:
        """Draw for all of the epoch what each step compares with, and a number for each sample."""
        sizes = learner.batch_sizes[:: learner.updates]
        self._ahead = DrawsAhead(self, sizes, self.compare, random, learner.device)
        self._chances = list(sent(torch.rand(sum(sizes), generator=random), learner.device).split(sizes))[::-1]
        self._random = random

    def write(self, learner: Learner) -> None:
        """Let this batch's samples in: while there is room all that fit, then in the place of more similar ones."""
        samples, (labels, heads) = learner.raw, (one[: learner.arrived] for one in learner.mbatch[1:])
        if self.data is None:
            self.data = emptied(self.size, samples, labels, learner.data)
            self.scores = torch.zeros(self.size, device=labels.device)
        compared, chances = self._ahead.rows(), self._chances.pop()
        if self.filled:
            scores, whole = self._scores(learner, samples, labels, heads, compared)
        else:
            scores, whole = torch.full((len(labels),), FIRST, device=labels.device), None
        if (room := self.size - self.filled) > 0:
            count = min(room, len(labels))
            places = torch.arange(self.filled, self.filled + count, device=labels.device)
            enters = torch.ones_like(places, dtype=torch.bool)
            self.filled += count
        else:
            # Candidates P(i) = C_i/ΣC, no two alike: the largest of log C_i plus Gumbel noise.
            assert whole is not None
            count = min(self.size, len(labels))
            places = (self.scores.log() + self._gumbel()).topk(count).indices
            known = self.scores[places]
            enters = (chances[:count] < known / (known + scores[:count]).clamp_min(1e-12)) & (whole < 1)
        self._put(places, enters, samples[:count], labels[:count], heads[:count], scores[:count])

    def _put(self, places: Tensor, enters: Tensor, samples: Tensor, *columns: Tensor) -> None:
        """Write what enters; the others' places keep what they have."""
        assert self.data is not None
        old = self.data.samples[places]
        self.data.samples[places] = torch.where(enters.view(-1, *[1] * (samples.dim() - 1)), samples, old)
        for kept, new in zip((self.data.labels, self.data.heads, self.scores), columns, strict=True):
            kept[places] = torch.where(enters, new, kept[places])

    def _scores(
        self, learner: Learner, samples: Tensor, labels: Tensor, heads: Tensor, compared: Tensor
    ) -> tuple[Tensor, Tensor]:
        """c = max cos(g, g_m) + 1 over the compared samples of the memory: of each sample [n], and of their mean."""
        assert self.data is not None
        of_memory = (one[compared] for one in (self.data.samples, self.data.labels, self.data.heads))
        images, *rest = (torch.cat(pair) for pair in zip(of_memory, (samples, labels, heads), strict=True))
        products = gradient_products(learner, self.data.inputs(images), *rest)
        count = len(compared)
        lengths = products.diagonal().sqrt()
        cosines = products[count:, :count] / (lengths[count:, None] * lengths[:count]).clamp_min(1e-12)
        mean = products[count:, :count].mean(0)
        cosine = mean / (products[count:, count:].mean().clamp_min(0.0).sqrt() * lengths[:count]).clamp_min(1e-12)
        return cosines.amax(1).clamp(-1, 1) + 1, cosine.amax() + 1

    def _gumbel(self) -> Tensor:
        """A step's noise for each place."""
        if not self._noise:
            drawn = torch.rand(PLANNED, self.size, generator=self._random).clamp_min(1e-20)
            self._noise = list(sent(-(-drawn.log()).log(), self.scores.device))
        return self._noise.pop()

    def end(self) -> None:
        """Let go of what the stage alone needed."""
        self._noise, self._chances = [], []
        del self._ahead


@strategy("gss", family="memory")
class GradientSelection(OnlineRehearsal):
    """GSS-Greedy: experience replay from a memory whose samples' gradients point in different directions.

    Aljundi et al. 2019 (arXiv:1903.08671), algorithm 2: the score of a sample is c = max cos(g, g_m) + 1 over the
    gradients of ``compare`` samples drawn from the memory. While there is room samples enter. Then, if the batch's mean
    gradient has c < 1, each of its samples meets one of the memory, drawn by P(i) = C_i/ΣC, no two the same, and takes
    its place with probability C_i/(C_i + c). Gradients are of all weights, after the step, in evaluation mode and
    without augmentation. A batch with more samples than fit loses the last ones. Replay is that of 'er', from the
    second step on.
    compare: how many samples' gradients a batch's are compared with.
    memory: how many samples it holds, or how many bytes, as in '1.5MB'. batch: how many are drawn each step, without
    repeats (null: as many as the batch size).

    Cost: from the second step on batches with as many samples again; a forward and a backward pass over batch and
    compared samples, and for layers other than linear ones a gradient of each of them. The images in memory.
    """

    beside = HEAD + 4  # a score

    def __init__(self, *, compare: Count = 10, memory: Budget = 500, batch: Count | None = None) -> None:
        super().__init__(memory, batch)
        self.compare = compare

    def empty(self, size: int) -> DiverseMemory:
        """A memory that chooses."""
        return DiverseMemory(size, self.compare)

    def before_forward(self, learner: Learner, **kwargs: Any) -> None:
        """Put a batch from memory beside the current one."""
        super().before_forward(learner, **kwargs)
        if self.replayed:
            learner.mbatch = [torch.cat(pair) for pair in zip(learner.mbatch, self.replayed, strict=True)]
