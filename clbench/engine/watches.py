"""The engine's own plugins of a run, and in which order they stand around the strategy's."""

from __future__ import annotations

from typing import Any

from clbench.avalanche import SupervisedPlugin
from clbench.config import RunConfig
from clbench.data.streams import Stream
from clbench.diagnostics.watch import Diagnostics
from clbench.diagnostics.watch_features import FeatureWatch
from clbench.engine.removal import RemovalWatch
from clbench.engine.watch import AnswerWatch, DivergenceWatch, ReportSteps, StepBudget
from clbench.engine.within import WithinWatch
from clbench.progress import Reporter


class Watches:
    """What looks on at a run, as its configuration and stream ask for it."""

    def __init__(self, config: RunConfig, stream: Stream, reporter: Reporter, diagnostics: bool) -> None:
        self.reporter = reporter
        self.losses = DivergenceWatch(reporter)
        self.answers = AnswerWatch(config.until_train_accuracy)
        self.diagnostics: list[Diagnostics | FeatureWatch] = [Diagnostics(), FeatureWatch()] if diagnostics else []
        classes = stream.outputs if stream.incremental == "class" else None
        self.within = None if config.evaluate_steps is None else WithinWatch(config.evaluate_steps, classes)
        self.removal = None if stream.request is None else RemovalWatch(stream.request)
        self._budget = [] if config.steps is None else [StepBudget()]

    def around(self, plugins: list[SupervisedPlugin]) -> list[SupervisedPlugin]:
        """The divergence watch first, so that nobody else meets NaN; then diagnostics, which see what the strategy's
        plugins are about to meet; the others behind those.
        """
        within = [] if self.within is None else [self.within]
        removed = [] if self.removal is None else [self.removal]
        own = [self.answers, *within, *removed, ReportSteps(self.reporter), *self._budget]
        return [self.losses, *self.diagnostics, *plugins, *own]

    @property
    def of_guest(self) -> list[SupervisedPlugin]:
        """What can look on at a training loop of somebody else's, whose outputs need not be scores."""
        return [self.losses, ReportSteps(self.reporter), *self._budget]

    @property
    def looked(self) -> dict[str, Any]:
        """What the diagnostics and evaluation inside stages have found, if they were asked for."""
        curves: dict[str, Any] = {}
        if self.within is not None:
            curves["accuracy_within"] = self.within.curves
            if any(self.within.seen):
                curves["accuracy_seen"] = self.within.seen
        return curves | {key: found for watch in self.diagnostics for key, found in watch.found.items()}
