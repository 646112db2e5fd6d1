"""Extended dark experience replay: a memory whose logits are kept up to date with classes that came later."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from clbench.data.tensors import TaskData, sent
from clbench.models.network import MASKED
from clbench.registry import Count, NonNegative, strategy
from clbench.strategy import Ahead, Learner, evaluating

from ._budget import Budget
from ._memory import Draws, batch_of
from ._rehearsal import Classes, Rehearsal, never_distilled
from ._sides import Sides, implanted
from .der import LOGIT, matched

AT_ONCE = 256  # images of a pass without gradient


@strategy("x-der", family="memory")
class ExtendedDarkReplay(Rehearsal):
    """X-DER: DER++ with a loss for each side of the classes, whose memory learns of classes that came later.

    Boschini et al. 2022 (arXiv:2201.00766), the variant without contrastive preparation (X-DER w/ CE in the authors'
    code). CE of the batch over the stage's own classes + α·MSE(f(x'), z') over all outputs + β·CE(f(x''), y'') over the
    classes before, two draws from memory + η·mean of [m + largest logit of a class to come − largest of the sample's
    own stage]₊ where it is above 0. The logits z of a sample are those after its stage, their part for earlier classes
    at most γ times the right one. Their part for later classes is implanted, likewise at most γ times: after each
    stage, and within it from the outputs of a step, in the n-th step with the sample with probability 1/n. Where a
    class comes back, its exemplars count as the stage's own. The authors also align the statistics of batch
    normalisation, and compute the logits after a stage in training mode; here they are those of the network as it
    answers.
    alpha, beta: α and β. gamma: γ. eta: η. margin: m. Defaults are the authors' for split CIFAR-100 with 500 images.
    memory: how many samples it holds, or bytes, as in 1.5MB, with their logits; as many of each class, drawn at random.
    per_class: so many of each class instead. batch: how many are drawn each time (null: as many as the batch size).

    Cost: two forward passes over batches from memory each step, and their backward pass; the exemplars with their
    logits.
    """

    method = "x-der"

    def __init__(
        self,
        *,
        alpha: NonNegative = 0.1,
        beta: NonNegative = 0.5,
        gamma: NonNegative = 0.85,
        eta: NonNegative = 0.005,
        margin: NonNegative = 0.1,
        memory: Budget = 500,
        per_class: Count | None = None,
        batch: Count | None = None,
    ) -> None:
        super().__init__(memory, per_class, "random")
        self.alpha, self.beta, self.gamma = alpha, beta, gamma
        self.eta, self.margin = eta, margin
        self.batch = batch
        self.brought: list[set[int]] = []  # classes by the stage that brought them first
        self.sides: Sides | None = None
        self.logits = torch.empty(0, 0)  # of the exemplars [n, outputs]
        self.replayed: list[tuple[Tensor, Tensor, Tensor]] = []  # rows, inputs and labels of both draws
        self.outputs: list[Tensor] = []  # their logits in this step

    def check_stream(self, ahead: Ahead) -> None:
        """Besides: a budget in bytes holds logits too."""
        self.exemplars.with_each = LOGIT * ahead.outputs
        super().check_stream(ahead)

    def training_data(self, learner: Learner, data: TaskData) -> TaskData:
        """The stage's samples: exemplars come beside."""
        super().training_data(learner, data)
        return data

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Divide the classes; draw from the run's seed."""
        super().before_training_exp(learner, **kwargs)
        self.sides = None
        self.steps = torch.zeros(len(self.logits), device=learner.device)  # with how many each exemplar has been
        self.draws = Draws(learner.random(f"replay of stage {learner.stage}"))
        self.random = learner.random(f"implants of stage {learner.stage}")

    def before_training_epoch(self, learner: Learner, **kwargs: Any) -> None:
        """Draw for all of the epoch's steps which samples' logits are renewed."""
        size = self.batch or learner.train_mb_size
        chances = torch.rand(len(learner.batch_sizes), 2, size, generator=self.random)
        self.chances = list(sent(chances, learner.device))[::-1]

    def before_forward(self, learner: Learner, **kwargs: Any) -> None:
        """Draw both batches: once for the step, however often its loss is computed."""
        memory, self.replayed = self.exemplars.data, []
        for _ in range(0 if memory is None else 2):
            assert memory is not None
            rows = self.draws.rows(len(memory), self.batch or learner.train_mb_size, learner.device)
            x, labels, _ = batch_of(learner, memory, rows)
            self.replayed.append((rows, x, labels))

    def after_forward(self, learner: Learner, **kwargs: Any) -> None:
        """Divide the outputs, now that it is known how many there are."""
        assert self.classes is not None
        if self.sides is None:
            outputs = learner.mb_output.shape[1]
            self.sides = Sides.of(self.classes, self.brought, outputs)
            self.logits = functional.pad(self.logits, (0, outputs - self.logits.shape[-1]), value=MASKED)

    def loss(self, logits: Tensor, targets: Tensor, classes: Classes) -> Tensor:
        """Of the stage's samples, over its own classes."""
        return functional.cross_entropy(logits.masked_fill(~classes.is_new, MASKED), targets)

    def task_loss(self, learner: Learner) -> Tensor:
        """All of it."""
        assert self.sides is not None
        loss = super().task_loss(learner)
        self.outputs = [learner.logits(x, 0) for _, x, _ in self.replayed]
        if self.replayed:
            (rows, _, _), (_, _, labels) = self.replayed
            loss = loss + self.alpha * matched(self.outputs[0], self.logits[rows])
            others = torch.where(self.sides.new[labels][:, None], ~self.sides.new, ~self.sides.old)
            loss = loss + self.beta * functional.cross_entropy(self.outputs[1].masked_fill(others, MASKED), labels)
        return loss + self.eta * self._later(learner)

    def _later(self, learner: Learner) -> Tensor:
        """How far classes to come top those of the sample's own stage, where they do: the batch's and both draws'."""
        assert self.sides is not None
        outputs, labels = [learner.mb_output], [learner.mbatch[1]]
        once = [torch.ones_like(labels[0], dtype=torch.bool)]
        if self.replayed:
            outputs, labels = outputs + self.outputs, labels + [one for _, _, one in self.replayed]
            once += [torch.ones_like(self.replayed[0][0], dtype=torch.bool), ~self._again()]
        logits, own = torch.cat(outputs), self.sides.own[torch.cat(labels)]
        later = logits.masked_fill(~self.sides.later, MASKED).max(1).values
        over = later + self.margin - logits.masked_fill(~own, MASKED).max(1).values
        over = over.relu() * torch.cat(once)
        return over.sum() / (over > 0).sum().clamp_min(1)

    def _again(self) -> Tensor:
        """Which rows of the second draw are in the first too."""
        (first, _, _), (second, _, _) = self.replayed
        return (second[:, None] == first).any(1)

    @torch.no_grad()
    def after_update(self, learner: Learner, **kwargs: Any) -> None:
        """Renew logits of what was drawn: the parts of the stage's classes and of those to come."""
        chances = self.chances.pop()
        if not self.replayed:
            return
        assert self.sides is not None
        for number, (rows, _, labels) in enumerate(self.replayed):
            due = self.sides.old[labels]
            if number:
                due = due & ~self._again()
            self.steps[rows] += due
            due = due & (chances[number, : len(rows)] * self.steps[rows] < 1)
            self.logits[rows] = self._renewed(self.logits[rows], self.outputs[number].detach(), labels, due)

    def _renewed(self, then: Tensor, now: Tensor, labels: Tensor, due: Tensor) -> Tensor:
        """Logits [n, outputs] of samples with the newest parts of all classes but the old, where they are due [n]."""
        assert self.sides is not None
        right = then.gather(1, labels[:, None])[:, 0]
        newer = implanted(now.masked_fill(self.sides.old, MASKED), right, self.gamma)
        return torch.where(due[:, None] & ~self.sides.old, newer, then)

    @torch.no_grad()
    def after_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Choose exemplars and note their logits; let go of what the stage needed."""
        assert self.classes is not None
        new = self.classes.brought
        self.distilled |= len(self.classes.old) > 0
        kept, before = self.exemplars.take(learner), len(self.logits)
        memory = self.exemplars.data
        assert memory is not None
        with evaluating(learner.model):
            now = torch.cat([learner.logits(x, 0) for x, _, _ in memory.batches(AT_ONCE)])
        sides = self.sides = Sides.of(self.classes, self.brought, now.shape[1])
        right = now.gather(1, memory.labels[:, None])[:, 0]
        found = torch.where(sides.old, implanted(now.masked_fill(~sides.old, MASKED), right, self.gamma), now)
        old = torch.isin(memory.told[0], torch.tensor(sorted(self.classes.before), dtype=torch.int64))
        held = ((kept < before) & old).nonzero()[:, 0]  # told by the host, as the rows are
        if len(held):
            rows, held = sent(kept[held], learner.device), sent(held, learner.device)
            then = functional.pad(self.logits[rows], (0, now.shape[1] - self.logits.shape[1]), value=MASKED)
            found[held] = self._renewed(then, now[held], memory.labels[held], torch.ones_like(held, dtype=torch.bool))
        self.logits = found
        self.known |= new
        self.brought.append(new - set().union(*self.brought))
        self.classes, self.sides, self.replayed, self.outputs = None, None, [], []
        del self.draws, self.chances, self.steps

    def warnings(self) -> list[str]:
        """Whether there were old classes."""
        return never_distilled(self)
