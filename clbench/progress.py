"""What a run tells of its progress; whoever shows or keeps it overrides what it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack


class Reporter:
    """Listens to a run and shows nothing."""

    def run_started(self, stages: int) -> None:
        """A run of so many stages begins."""

    def stage_started(self, stage: int, steps: int) -> None:
        """Stage (from 1) begins and will take so many steps."""

    def stepped(self, step: int, epoch: int) -> None:
        """So many steps of the stage are done; called a few times a second."""

    def losses_seen(self, step: int, mean: float) -> None:
        """Mean training loss of the steps since it was last told, ``step`` of the stage being the latest."""

    def stage_finished(self, stage: int, row: Sequence[float | None]) -> None:
        """The stage is trained and evaluated; ``row`` is its row of R, None where it was not."""

    def run_finished(self, metrics: Mapping[str, float | None]) -> None:
        """The run has ended well, with these metrics, or diverged, with none."""

    def close(self) -> None:
        """The run has ended, well or not."""


class Reporters(Reporter):
    """Tells several listeners."""

    def __init__(self, listeners: Sequence[Reporter]) -> None:
        self.listeners = listeners

    def run_started(self, stages: int) -> None:
        """Tell all."""
        for listener in self.listeners:
            listener.run_started(stages)

    def stage_started(self, stage: int, steps: int) -> None:
        """Tell all."""
        for listener in self.listeners:
            listener.stage_started(stage, steps)

    def stepped(self, step: int, epoch: int) -> None:
        """Tell all."""
        for listener in self.listeners:
            listener.stepped(step, epoch)

    def losses_seen(self, step: int, mean: float) -> None:
        """Tell all."""
        for listener in self.listeners:
            listener.losses_seen(step, mean)

    def stage_finished(self, stage: int, row: Sequence[float | None]) -> None:
        """Tell all."""
        for listener in self.listeners:
            listener.stage_finished(stage, row)

    def run_finished(self, metrics: Mapping[str, float | None]) -> None:
        """Tell all."""
        for listener in self.listeners:
            listener.run_finished(metrics)

    def close(self) -> None:
        """Close all, whatever one of them says."""
        with ExitStack() as stack:
            for listener in self.listeners:
                stack.callback(listener.close)
