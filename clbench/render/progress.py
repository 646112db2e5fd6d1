"""Progress of a run: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from clbench.progress import Reporter


class LineProgress(Reporter):
    """One line per finished stage."""

    def __init__(self, console: Console, label: str) -> None:
        self.console = console
        self.label = label
        self._stages = 0
        self._begun = 0.0

    def run_started(self, stages: int) -> None:
        """Remember how many stages there are."""
        self._stages = stages

    def stage_started(self, stage: int, steps: int) -> None:
        """Start the stage's clock."""
        self._begun = time.monotonic()

    def stage_finished(self, stage: int, row: Sequence[float | None]) -> None:
        """Print the stage's line."""
        seconds = time.monotonic() - self._begun
        known = [value for value in row if value is not None]
        tasks = "all tasks" if len(known) == len(row) > 1 else "the stage's test"
        self.console.print(
            f"{self.label}  stage {stage}/{self._stages}  {seconds:.1f} s  "
            f"mean accuracy over {tasks} {100 * sum(known) / len(known):.1f} %",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


class LiveProgress(Reporter):
    """A bar over the whole run, with stage, epoch, steps per second and time left."""

    def __init__(self, console: Console, label: str) -> None:
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[what]}", markup=False),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task(label, total=None, what="loading data (decoded once, then cached)")
        self._bar.start()
        self._stages = 1
        self._stage = 0
        self._steps = 1
        self._begun = 0.0

    def run_started(self, stages: int) -> None:
        """Now the length is known."""
        self._stages = stages
        self._bar.update(self._task, total=stages)

    def stage_started(self, stage: int, steps: int) -> None:
        """A stage of so many steps begins."""
        self._stage, self._steps, self._begun = stage, max(steps, 1), time.monotonic()

    def stepped(self, step: int, epoch: int) -> None:
        """Move the bar within the stage."""
        rate = step / max(time.monotonic() - self._begun, 1e-9)
        what = f"stage {self._stage}/{self._stages}, epoch {epoch}, {rate:.0f} steps/s"
        self._bar.update(self._task, completed=self._stage - 1 + step / self._steps, what=what)

    def stage_finished(self, stage: int, row: Sequence[float | None]) -> None:
        """Move the bar to the stage's end."""
        self._bar.update(self._task, completed=stage)

    def close(self) -> None:
        """Take the bar down."""
        self._bar.stop()
