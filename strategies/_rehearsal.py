"""Class-incremental methods with exemplars: one classifier, the old network as a teacher, a loss of their own."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from clbench.data.tensors import TaskData, sent
from clbench.errors import UserError
from clbench.models.network import MASKED
from clbench.strategy import Ahead, Learner, Strategy, has_heads

from ._budget import Budget
from ._exemplars import Choice, Exemplars
from ._teacher import frozen_copy


@dataclass
class Classes:
    """The classes of a stage as labels, int64 on the device, whatever their order.

    ``new``: those that the stage brings, also if they come back. ``old``: those learnt before that it does not bring.
    ``seen``: both, ascending. ``place``: label → its column among ``seen``. ``is_new``: of each of these columns.
    ``before`` and ``brought``: the old and the new for the host.
    """

    seen: Tensor
    old: Tensor
    new: Tensor
    place: Tensor
    is_new: Tensor
    before: set[int]
    brought: set[int]

    @staticmethod
    def of(known: set[int], brought: set[int], device: torch.device) -> Classes:
        """Divide the classes so far."""
        old, new, seen = sorted(known - brought), sorted(brought), sorted(known | brought)
        place = torch.zeros(seen[-1] + 1, dtype=torch.int64)
        place[seen] = torch.arange(len(seen))
        is_new = torch.tensor([label in brought for label in seen])
        found = (torch.tensor(labels, dtype=torch.int64) for labels in (seen, old, new))
        sent_seen, sent_old, sent_new, place, is_new = (sent(one, device) for one in (*found, place, is_new))
        return Classes(sent_seen, sent_old, sent_new, place, is_new, {*old}, {*new})

    @property
    def old_columns(self) -> Tensor:
        """Where the old classes are among ``seen``."""
        return self.place[self.old]

    @property
    def share(self) -> float:
        """Old classes by all so far: λ of wa and bic."""
        return len(self.old) / len(self.seen)


class Rehearsal(Strategy):
    """Trains each stage on its samples and the exemplars together; answers with classes that it has seen alone.

    The loss is over the logits of the classes so far, as of a classifier that grows with them, whether the run's
    classifier does or has all outputs from the start.
    """

    exclusive: ClassVar[str | None] = "keeps exemplars, with a loss of its own"
    method: ClassVar[str]
    least: ClassVar[int] = 1  # exemplars of a class

    def __init__(self, memory: Budget, per_class: int | None, selection: Choice) -> None:
        super().__init__()
        self.exemplars = Exemplars(memory, per_class, selection)
        self.known: set[int] = set()
        self.expected = 0  # classes of the whole stream
        self.teacher: Any = None
        self.taught: Tensor | None = None  # what it says of the batch: logits
        self.classes: Classes | None = None
        self.answers: Tensor | None = None
        self.distilled = False

    @abstractmethod
    def loss(self, logits: Tensor, targets: Tensor, classes: Classes) -> Tensor:
        """The batch's loss, from the logits [n, seen] of the classes so far and the right columns [n]."""

    # What it works on.

    def check(self, model: nn.Module) -> None:
        """One classifier for all classes."""
        if has_heads(model):
            raise UserError(
                f"strategy '{self.method}' tells all classes apart with one classifier, and here each task has a head "
                "of its own. Set scenario.incremental=class."
            )

    def check_stream(self, ahead: Ahead) -> None:
        """Classes that come stage by stage, a place in memory for each, and logits of old classes."""
        if ahead.incremental != "class":
            raise UserError(
                f"strategy '{self.method}' is for streams whose stages bring new classes, and here they have the same "
                "labels. Set scenario.incremental=class, or use a method such as er or lwf."
            )
        if ahead.logits == "current":
            raise UserError(
                f"strategy '{self.method}' holds the logits of old classes, which logits=current masks. "
                "Set logits=all or logits=seen."
            )
        self.expected = len({label for stage in ahead.classes() for label in stage})
        if isinstance(self.exemplars.memory, int):
            self._check_room(self.exemplars.memory)

    def _check_room(self, size: int) -> None:
        if self.exemplars.per_class is None and size < self.least * self.expected:
            each = "one of each" if self.least == 1 else f"{self.least} of each"
            raise UserError(
                f"strategy.memory: '{self.method}' keeps {each} class, and the memory holds {size} samples for "
                f"{self.expected} classes. Set strategy.memory={20 * self.expected}, or at least "
                f"{self.least * self.expected}."
            )

    # A stage.

    def training_data(self, learner: Learner, data: TaskData) -> TaskData:
        """The stage's samples and the exemplars, shuffled together."""
        if self.exemplars.data is None:
            self._check_room(self.exemplars.size(data))
        return self.exemplars.beside(data)

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Divide the classes."""
        brought = set(learner.data.told[0].unique().tolist())
        self.classes = Classes.of(self.known, brought, learner.device)

    def after_forward(self, learner: Learner, **kwargs: Any) -> None:
        """Ask the teacher: once for the step, however often its loss is computed."""
        assert self.classes is not None
        if len(self.classes.old):
            with torch.no_grad():
                self.taught = learner.logits(learner.mbatch[0], 0, of=self.teacher)

    def task_loss(self, learner: Learner) -> Tensor:
        """The method's loss."""
        assert self.classes is not None
        logits = learner.mb_output.index_select(1, self.classes.seen)
        return self.loss(logits, self.classes.place[learner.mbatch[1]], self.classes)

    def after_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Correct the classifier, choose exemplars, keep the network as a teacher; let go of what the stage needed."""
        assert self.classes is not None
        self.distilled |= len(self.classes.old) > 0
        self.correct(learner, self.classes)
        self.exemplars.take(learner)
        self.teacher = frozen_copy(learner.model)
        self.known |= self.classes.brought
        self.classes = self.taught = None

    def correct(self, learner: Learner, classes: Classes) -> None:
        """Correct what the stage has learnt, now that it is trained."""

    # Evaluation.

    def before_eval(self, learner: Learner, **kwargs: Any) -> None:
        """Note the classes so far, those of a stage under way too."""
        under_way = set() if self.classes is None else self.classes.brought
        seen = sorted(self.known | under_way)
        self.answers = torch.tensor(seen, device=learner.device) if seen else None

    def after_eval_forward(self, learner: Learner, **kwargs: Any) -> None:
        """Answer with no class that never came; before the first the network answers as it is."""
        if self.answers is not None:
            learner.mb_output = self.only_seen(learner.mb_output, learner.mb_output.index_select(1, self.answers))

    def only_seen(self, logits: Tensor, scores: Tensor) -> Tensor:
        """Logits [n, outputs] with the scores [n, seen] of the classes so far, and all others masked."""
        assert self.answers is not None
        return torch.full_like(logits, MASKED).index_copy(1, self.answers, scores.to(logits.dtype))

    def after_eval(self, learner: Learner, **kwargs: Any) -> None:
        """Let go of them."""
        self.answers = None


def never_distilled(method: Rehearsal) -> list[str]:
    """The warning of a method that had no old classes to hold."""
    if method.distilled:
        return []
    return [f"never fired: '{method.method}' holds classes that a stage does not bring, and every stage brought all"]
