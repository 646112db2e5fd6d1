"""Evaluation inside a stage: what happens to old tasks between the rows of R."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from clbench.avalanche import SupervisedPlugin
from clbench.data.benchmark import ResidentExperience
from clbench.engine.seeding import random_states, set_random_states

# Of the learner, what evaluating changes and training goes on with; Avalanche puts back the rest.
SHARED = ("mbatch", "mb_output", "loss", "arrived", "_loaded_heads", "_masked")


class WithinWatch(SupervisedPlugin):
    """Evaluate old tasks every so many steps of a stage; training is bit for bit the same with and without.

    ``curves`` gets for each stage a row, as R has them, for every so many steps: None for tasks that no earlier stage
    has trained. ``tests`` are the tasks that R has columns for; ``seconds``: spent in the stage under way.
    """

    def __init__(self, every: int) -> None:
        super().__init__()
        self.every = every
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
        self.seconds = 0.0

    def after_training_iteration(self, learner: Any, **kwargs: Any) -> None:
        """Evaluate when it is time; the clock counts this step after all plugins."""
        if (learner.clock.train_exp_iterations + 1) % self.every:
            return
        old = [test for test in self.tests if test.tasks[0] in self._trained]
        if not old:
            return
        begun = time.perf_counter()
        with _untouched(learner):
            found = dict(zip((test.tasks[0] for test in old), learner.row(old), strict=True))
        self.curves[-1].append([found.get(test.tasks[0]) for test in self.tests])
        self.seconds += time.perf_counter() - begun


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
