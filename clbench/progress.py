"""What a run tells of its progress; whoever shows it overrides what it shows."""

from __future__ import annotations


class Reporter:
    """Listens to a run and shows nothing."""

    def run_started(self, stages: int) -> None:
        """A run of so many stages begins."""

    def stage_started(self, stage: int, steps: int) -> None:
        """Stage (from 1) begins and will take so many steps."""

    def stepped(self, step: int, epoch: int) -> None:
        """So many steps of the stage are done; called a few times a second."""

    def stage_finished(self, stage: int, row: list[float]) -> None:
        """The stage is trained and evaluated; ``row`` is its row of R."""

    def close(self) -> None:
        """The run has ended, well or not."""
