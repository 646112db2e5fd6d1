"""BiC: rehearsal with distillation, and a linear correction of new classes' logits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from clbench.data.tensors import TaskData
from clbench.registry import Count, Positive, strategy
from clbench.strategy import Learner, evaluating

from ._budget import Budget
from ._exemplars import Choice
from ._rehearsal import Classes, Rehearsal, never_distilled
from .wa import distilled_loss

HELD_OUT = 10  # one in so many
STEPS = 50  # of Newton's method at most


@strategy("bic", family="memory")
class BiasCorrection(Rehearsal):
    """BiC: exemplars and distillation; then new classes' logits become α·z + β, fitted on balanced held-out samples.

    Wu et al. 2019 (arXiv:1905.13260): (1 − λ)·CE + λ·τ²·KL as in 'wa'. Of each class as many samples are held out from
    training, a tenth of the smallest old class's exemplars and at least one; after the stage they choose α and β of
    its classes by cross-entropy over all (eq. 4). Earlier stages' α and β stay, in training, teacher and answers.
    Where the authors take some epochs of Adam, here Newton's method finds the minimum, with (ridge/2n)·((α − 1)² + β²)
    added for n samples, without which few of them, told apart without a fault, would send α to infinity.
    memory, per_class, selection: as for 'icarl'.
    ridge: how strongly α and β are held at 1 and 0.

    Cost: as for 'wa', and a forward pass over the held-out samples after each stage. A copy of the network; the
    exemplars.
    """

    method = "bic"
    least = 2  # one to train on, and one that is held out

    def __init__(
        self,
        *,
        memory: Budget = 500,
        per_class: Count | None = None,
        selection: Choice = "herding",
        ridge: Positive = 1.0,
    ) -> None:
        super().__init__(memory, per_class, selection)
        self.ridge = ridge
        self.corrections: dict[int, tuple[float, float]] = {}  # α and β by class; others have 1 and 0
        self.lines: Tensor | None = None  # α and β of the classes so far [2, seen]
        self.answered: Tensor | None = None  # likewise, in an evaluation
        self.held_out: TaskData | None = None

    def training_data(self, learner: Learner, data: TaskData) -> TaskData:
        """All but a balanced part, where there are old classes."""
        pool = super().training_data(learner, data)
        labels = pool.told[0]
        old = torch.isin(labels, data.told[0].unique(), invert=True)
        if not old.any():
            return pool
        each = max(int(labels[old].unique(return_counts=True)[1].min()) // HELD_OUT, 1)
        random = learner.random(f"held out in stage {learner.stage}")
        order = torch.randperm(len(pool), generator=random)
        place, count = places_in_class(labels[order])
        out = (place < each) & (count > each)  # a class is never held out whole
        self.held_out = pool.subset(order[out])
        return pool.subset(order[~out].sort().values)

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Put the classes' corrections on the device; new ones have none yet."""
        super().before_training_exp(learner, **kwargs)
        assert self.classes is not None
        for label in self.classes.brought:
            self.corrections.pop(label, None)
        self.lines = self._lines(self.classes.seen)

    def _lines(self, labels: Tensor) -> Tensor:
        pairs = [self.corrections.get(label, (1.0, 0.0)) for label in labels.tolist()]
        return torch.tensor(pairs, device=labels.device).T.contiguous()

    def after_forward(self, learner: Learner, **kwargs: Any) -> None:
        """The teacher's corrected logits. Its corrections of old classes are the network's own."""
        super().after_forward(learner, **kwargs)
        if self.taught is not None:
            assert self.classes is not None
            assert self.lines is not None
            alpha, beta = self.lines.index_select(1, self.classes.old_columns)
            old = self.taught.index_select(1, self.classes.old) * alpha + beta
            self.taught = self.taught.index_copy(1, self.classes.old, old)

    def loss(self, logits: Tensor, targets: Tensor, classes: Classes) -> Tensor:
        """That of 'wa', of corrected logits."""
        assert self.lines is not None
        return distilled_loss(logits * self.lines[0] + self.lines[1], targets, self.taught, classes)

    def correct(self, learner: Learner, classes: Classes) -> None:
        """Fit α and β of the stage's classes."""
        if self.held_out is None:
            return
        assert self.lines is not None
        with torch.no_grad(), evaluating(learner.model):
            found = [(learner.logits(x, 0), labels) for x, labels, _ in self.held_out.batches(1024)]
        logits = torch.cat([z for z, _ in found]).index_select(1, classes.seen) * self.lines[0] + self.lines[1]
        targets = classes.place[torch.cat([labels for _, labels in found])]
        line = fitted(logits.double().cpu(), targets.cpu(), classes.is_new.cpu(), self.ridge / len(targets))
        self.corrections |= dict.fromkeys(sorted(classes.brought), line)

    def after_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Correct, choose exemplars; let go of what was held out."""
        super().after_training_exp(learner, **kwargs)
        self.held_out = self.lines = None

    def before_eval(self, learner: Learner, **kwargs: Any) -> None:
        """Put the corrections on the device."""
        super().before_eval(learner, **kwargs)
        self.answered = None if self.answers is None else self._lines(self.answers)

    def after_eval_forward(self, learner: Learner, **kwargs: Any) -> None:
        """Answer by corrected logits."""
        if self.answers is not None and self.answered is not None:
            scores = learner.mb_output.index_select(1, self.answers) * self.answered[0] + self.answered[1]
            learner.mb_output = self.only_seen(learner.mb_output, scores)

    def after_eval(self, learner: Learner, **kwargs: Any) -> None:
        """Let go of them."""
        super().after_eval(learner, **kwargs)
        self.answered = None

    def warnings(self) -> list[str]:
        """Whether there were old classes."""
        return never_distilled(self)


def places_in_class(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Of each sample: how many of its class come before it, and how many of its class there are."""
    order = labels.argsort(stable=True)
    _, kinds, counts = labels.unique(return_inverse=True, return_counts=True)
    starts = counts.cumsum(0) - counts
    place = torch.empty_like(labels)
    place[order] = torch.arange(len(labels), device=labels.device) - starts[kinds[order]]
    return place, counts[kinds]


def fitted(logits: Tensor, targets: Tensor, is_new: Tensor, ridge: float) -> tuple[float, float]:
    """α and β that minimise the mean cross-entropy of logits whose ``is_new`` columns become α·z + β, plus the ridge.

    logits: [n, classes], float64. Convex in (α, β): Newton's method, a step halved while the loss rises.
    """
    start = torch.tensor([1.0, 0.0], dtype=logits.dtype)
    basis = torch.stack([logits, torch.ones_like(logits)]) * is_new  # ∂logits/∂(α, β) [2, n, classes]
    rest = logits * ~is_new

    def loss(line: Tensor) -> Tensor:
        corrected = rest + (line[:, None, None] * basis).sum(0)
        return functional.cross_entropy(corrected, targets) + ridge / 2 * (line - start).square().sum()

    line = start
    for _ in range(STEPS):
        p = (rest + (line[:, None, None] * basis).sum(0)).softmax(1)
        mean = (p * basis).sum(2)  # [2, n]
        right = basis.gather(2, targets.expand(2, -1)[:, :, None])[:, :, 0]
        slope = (mean - right).mean(1) + ridge * (line - start)
        curve = (torch.einsum("nc,anc,bnc->ab", p, basis, basis) - mean @ mean.T) / len(logits)
        step = torch.linalg.solve(curve + ridge * torch.eye(2, dtype=line.dtype), slope)
        while loss(line - step) > loss(line) and step.abs().max() > 1e-12:
            step = step / 2
        line = line - step
        if step.abs().max() < 1e-10:
            break
    alpha, beta = line.tolist()
    return alpha, beta
