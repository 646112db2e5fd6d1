"""Dark experience replay: a memory of samples with the logits that they had."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from clbench.registry import Count, NonNegative, strategy
from clbench.strategy import Learner, Strategy

from ._memory import Draws, reservoir_slots

ABSENT = -1e9  # as the learner masks logits of classes that a run leaves out


@strategy("der++")
class DarkExperienceReplay(Strategy):
    """DER++: beside each batch, a batch from memory that must keep its logits, and one that must keep its labels.

    Buzzega et al. 2020 (arXiv:2004.07211), eq. 6: + α·MSE(f(x'), z') + β·CE(f(x''), y''), two draws from one reservoir.
    Samples enter while they are trained on, in each epoch anew as in the authors' code, with their logits z of that
    moment. A logit that a sample did not have then, or that the run masks now, is left out of the mean.
    memory: how many samples it holds. batch: how many are drawn each time (null: as many as the batch size).
    """

    def __init__(
        self, *, alpha: NonNegative = 0.5, beta: NonNegative = 0.5, memory: Count = 500, batch: Count | None = None
    ) -> None:
        super().__init__()
        self.alpha = alpha
        self.beta = beta
        self.size = memory
        self.batch = batch
        self.seen = 0
        self.x: Tensor | None = None

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Draw from the run's seed."""
        self.draws = Draws(learner.random(f"replay of stage {learner.stage}"))
        self.reservoir = learner.random(f"reservoir of stage {learner.stage}")
        self.filled = min(self.size, self.seen)

    def before_training_epoch(self, learner: Learner, **kwargs: Any) -> None:
        """Decide for every sample of the epoch, in the order that they will come in, where it goes."""
        count, batch = len(learner.data), learner.train_mb_size
        slots = reservoir_slots(self.seen, count, self.size, self.reservoir)
        self.writes: list[tuple[int, Tensor, Tensor]] = []
        for start in range(0, count, batch):
            last = {int(slot): place for place, slot in enumerate(slots[start : start + batch]) if slot >= 0}
            pair = torch.tensor([list(last.values()), list(last)], dtype=torch.int64, device=learner.device)
            self.writes.append((min(batch, count - start), pair[0], pair[1]))
        self.writes.reverse()

    def before_backward(self, learner: Learner, **kwargs: Any) -> None:
        """Add both losses over the places that were filled when the stage began."""
        if not self.filled or self.x is None:
            return
        batch = self.batch or learner.train_mb_size
        rows = self.draws.rows(self.filled, batch, learner.device)
        now, then = learner.logits(self.x[rows], self.heads[rows]), self.z[rows]
        then = functional.pad(then, (0, now.shape[1] - then.shape[1]), value=ABSENT)
        both = ((now > ABSENT / 2) & (then > ABSENT / 2)).float()
        matched = (both * (now - then)).square().sum() / both.sum().clamp_min(1.0)
        rows = self.draws.rows(self.filled, batch, learner.device)
        labelled = functional.cross_entropy(learner.logits(self.x[rows], self.heads[rows]), self.labels[rows])
        learner.loss = learner.loss + self.alpha * matched + self.beta * labelled

    @torch.no_grad()
    def after_update(self, learner: Learner, **kwargs: Any) -> None:
        """Write this batch's samples to their places, with the logits that they had."""
        if not self.writes:
            return
        count, places, slots = self.writes.pop()
        self.seen += count
        x, labels, heads = learner.mbatch
        logits = learner.mb_output.detach()
        self._make_room(x, logits, labels)
        assert self.x is not None
        self.x[slots], self.labels[slots], self.heads[slots] = x[places], labels[places], heads[places]
        self.z[slots] = ABSENT
        self.z[slots, : logits.shape[1]] = logits[places]

    def _make_room(self, x: Tensor, logits: Tensor, labels: Tensor) -> None:
        if self.x is None:
            self.x = x.new_zeros(self.size, *x.shape[1:])
            self.labels, self.heads = (labels.new_zeros(self.size) for _ in range(2))
            self.z = logits.new_full((self.size, logits.shape[1]), ABSENT)
        elif self.z.shape[1] < logits.shape[1]:  # a growing classifier
            self.z = functional.pad(self.z, (0, logits.shape[1] - self.z.shape[1]), value=ABSENT)
