"""Evaluation inside a stage: what happens to old tasks, and to all classes seen so far, between the rows of R."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from clbench.avalanche import SupervisedPlugin
from clbench.data.benchmark import ResidentExperience
from clbench.engine.seeding import random_states, set_random_states

# Of the learner, what evaluating changes and training goes on with; Avalanche puts back the rest.
SHARED = ("mbatch", "mb_output", "loss", "arrived", "_loaded_heads", "_masked")


class WithinWatch(SupervisedPlugin):
    """Evaluate old tasks every so many steps of a stage; training is bit for bit the same with and without.

    ``curves`` gets for each stage a row, as R has them, for every so many steps: None for tasks that no earlier stage
    has trained. ``tests`` are the tasks that R has columns for; ``seconds``: spent in the stage under way.
    With ``classes``, how many there are where labels are classes of the whole stream, ``seen`` gets for each stage the
    shares of right answers on the scored samples of all classes that training has met so far, at the same steps; None
    where those classes have no such samples.
    """

    def __init__(self, every: int, classes: int | None = None) -> None:
        super().__init__()
        self.every = every
        self.seen: list[list[float | None]] = []
        self._met: Tensor | None = None if classes is None else torch.zeros(classes, dtype=torch.bool)
        self._asked: Tensor | None = None  # of each class how many samples were scored, and answered rightly
        self.tests: Sequence[ResidentExperience] = ()
        self.curves: list[list[list[float | None]]] = []
        self.seconds = 0.0
        self._trained: list[int] = []  # tasks of earlier stages
        self._now: list[int] = []

    def before_training_exp(self, learner: Any, **kwargs: Any) -> None:
        """Begin a stage."""
        self._trained = sorted({*self._trained, *self._now})
        self._now = list(learner.experience.tasks)
        self.curves.append([])
        self.seen.append([])
        self.seconds = 0.0
        if self._met is not None:
            self._met = self._met.to(learner.device)

    def after_training_iteration(self, learner: Any, **kwargs: Any) -> None:
        """Note the batch's own classes, and evaluate when it is time; the clock counts this step after all plugins."""
        if self._met is not None:
            self._met[learner.mbatch[1][: learner.arrived]] = True
        if (learner.clock.train_exp_iterations + 1) % self.every:
            return
        begun = time.perf_counter()
        old = {test.tasks[0] for test in self.tests} & {*self._trained}
        met = set() if self._met is None else {*self._met.nonzero()[:, 0].tolist()}
        due = [t for t in self.tests if t.tasks[0] in old or not met.isdisjoint(t.classes_in_this_experience)]
        if not due:
            return
        if self._met is not None:
            self._asked = torch.zeros(2, len(self._met), dtype=torch.int64, device=learner.device)
        with _untouched(learner):
            found = dict(zip((test.tasks[0] for test in due), learner.row(due), strict=True))
        if old:
            self.curves[-1].append([found[t.tasks[0]] if t.tasks[0] in old else None for t in self.tests])
        if self._met is not None and self._asked is not None:
            scored, right = self._asked[:, self._met].sum(1).tolist()
            self.seen[-1].append(right / scored if scored else None)
        self._asked = None
        self.seconds += time.perf_counter() - begun

    def after_eval_iteration(self, learner: Any, **kwargs: Any) -> None:
        """Count a batch's answers by class, on the device."""
        if self._asked is not None:
            labels = learner.mbatch[1]
            right = (learner.mb_output.argmax(1) == labels).long()
            self._asked.index_add_(1, labels, torch.stack([torch.ones_like(right), right]))


@contextmanager
def _untouched(learner: Any) -> Iterator[None]:
    """Put back what evaluation changes: random numbers, the batch under way, the classes that are left out."""
    random = random_states(learner.device)
    shared = {name: getattr(learner, name) for name in SHARED}
    iterations = learner.clock.total_iterations
    try:
        yield
    finally:
        for name, value in shared.items():
            setattr(learner, name, value)
        learner.clock.total_iterations = iterations
        set_random_states(random, learner.device)
