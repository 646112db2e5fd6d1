"""Dark experience replay: a memory of samples with the logits that they had."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from clbench.models.network import MASKED
from clbench.registry import Count, NonNegative, strategy
from clbench.strategy import Ahead, Learner, Strategy

from ._budget import Budget
from ._memory import Draws, batch_of
from ._reservoir import Reservoir

LOGIT = 4  # bytes


def matched(now: Tensor, then: Tensor) -> Tensor:
    """The mean square difference of logits [n, classes] over what neither side lacks."""
    both = ((now > MASKED / 2) & (then > MASKED / 2)).float()
    return (both * (now - then)).square().sum() / both.sum().clamp_min(1.0)


@strategy("der++", family="memory", version=2)
class DarkExperienceReplay(Strategy):
    """DER++: beside each batch, a batch from memory that must keep its logits, and one that must keep its labels.

    Buzzega et al. 2020 (arXiv:2004.07211), eq. 6: + α·MSE(f(x'), z') + β·CE(f(x''), y''), two draws from one reservoir.
    As in the authors' code samples enter while they are trained on, in each epoch anew, with their logits z of that
    moment; images are kept as they came and augmented when they are replayed; a batch has no sample twice. A logit that
    a sample did not have then, or that the run masks now, is left out of the mean.
    alpha: strength of the logits' loss. beta: strength of the labels' loss.
    memory: how many samples it holds, or bytes, as in 1.5MB. batch: how many are drawn each time (null: as many as the
    batch size).
    current: replay from the first stage's second step on, from all places that are filled (the authors' code); false:
    from the second stage on, from the places that were filled when the stage began.

    Cost: two forward passes over batches from memory each step, and their backward pass; the images in memory with
    their logits.
    """

    def __init__(
        self,
        *,
        alpha: NonNegative = 0.5,
        beta: NonNegative = 0.5,
        memory: Budget = 500,
        batch: Count | None = None,
        current: bool = True,
    ) -> None:
        super().__init__()
        self.alpha = alpha
        self.beta = beta
        self.memory = Reservoir(memory)
        self.batch = batch
        self.current = current
        self.replays = False
        self.replayed: list[tuple[Tensor, ...]] = []

    def check_stream(self, ahead: Ahead) -> None:
        """Refuse nothing; a budget in bytes holds logits too."""
        self.memory.beside = LOGIT * ahead.outputs

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Draw from the run's seed."""
        self.draws = Draws(learner.random(f"replay of stage {learner.stage}"))
        self.reservoir = learner.random(f"reservoir of stage {learner.stage}")
        self.old = self.memory.filled

    def before_training_epoch(self, learner: Learner, **kwargs: Any) -> None:
        """Plan where the epoch's samples go."""
        self.memory.plan(learner, self.reservoir)

    def before_forward(self, learner: Learner, **kwargs: Any) -> None:
        """Draw both batches: once for the step, however often its loss is computed."""
        filled = self.memory.filled if self.current else self.old
        self.replayed = []
        if filled:
            assert self.memory.data is not None
            assert self.memory.logits is not None
            self.replays = True
            for _ in range(2):
                rows = self.draws.rows(filled, self.batch or learner.train_mb_size, learner.device)
                self.replayed.append((*batch_of(learner, self.memory.data, rows), self.memory.logits[rows]))

    def before_backward(self, learner: Learner, **kwargs: Any) -> None:
        """Add both losses."""
        if not self.replayed:
            return
        (x, _, heads, then), (other, labels, others, _) = self.replayed
        now = learner.logits(x, heads)
        then = functional.pad(then, (0, now.shape[1] - then.shape[1]), value=MASKED)
        labelled = functional.cross_entropy(learner.logits(other, others), labels)
        learner.loss = learner.loss + self.alpha * matched(now, then) + self.beta * labelled

    @torch.no_grad()
    def after_update(self, learner: Learner, **kwargs: Any) -> None:
        """Put this batch's samples in their places, with the logits that they had, after the last of its updates."""
        if not learner.last_update:
            return
        entering, places = self.memory.write(learner)
        logits = learner.mb_output.detach()
        known = self.memory.logits
        if known is None:
            known = logits.new_full((self.memory.size, logits.shape[1]), MASKED)
        elif known.shape[1] < logits.shape[1]:  # a growing classifier
            known = functional.pad(known, (0, logits.shape[1] - known.shape[1]), value=MASKED)
        known.index_fill_(0, places, MASKED)
        known[places, : logits.shape[1]] = logits[entering]
        self.memory.logits = known

    def after_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Let go of what the stage alone needed."""
        self.memory.end()
        self.replayed = []
        del self.draws

    def warnings(self) -> list[str]:
        """Whether anything was replayed."""
        if self.replays:
            return []
        return ["never fired: the first stage's samples are replayed from the second on, and there is only one stage"]
