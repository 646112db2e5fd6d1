"""Progress of a run: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

from clbench.progress import Reporter

if TYPE_CHECKING:
    from clbench.config import RunConfig


def shown(console: Console, live: bool, config: RunConfig, place: int, count: int) -> Reporter:
    """Return what shows a run, the ``place``-th of so many: a bar where one can move (``live``), lines elsewhere."""
    name = config.strategy["name"]
    if live:
        return LiveProgress(console, name, place, count)
    told = f"seed {config.seed}" if count == 1 else f"seed {place}/{count}"
    return LineProgress(console, f"{name} on {config.scenario['name']}, {told}")


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
    """A bar over all seeds and stages, with where the run is, steps per second, accuracy so far and time left."""

    def __init__(self, console: Console, label: str, seed: int = 1, seeds: int = 1) -> None:
        self._bar = Progress(
            TextColumn("{task.description}", markup=False, table_column=Column(max_width=24, no_wrap=True)),
            BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=6)),
            TextColumn("{task.fields[what]}", markup=False, table_column=Column(no_wrap=True)),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
        )
        self._seed, self._seeds = seed, seeds
        self._task = self._bar.add_task(label, total=None, what="loading data (decoded once, then cached)")
        self._bar.start()
        self._stages = 1
        self._stage = 0
        self._steps = 1
        self._begun = 0.0
        self._accuracy = ""

    def run_started(self, stages: int) -> None:
        """Now the length is known: each seed has as many stages."""
        self._stages = stages
        # Set anew, so that seeds that are done already do not count for the speed.
        self._bar.reset(
            self._task, total=stages * self._seeds, completed=(self._seed - 1) * stages, what=self._where("begins")
        )

    def stage_started(self, stage: int, steps: int) -> None:
        """A stage of so many steps begins."""
        self._stage, self._steps, self._begun = stage, max(steps, 1), time.monotonic()

    def stepped(self, step: int, epoch: int) -> None:
        """Move the bar within the stage."""
        rate = step / max(time.monotonic() - self._begun, 1e-9)
        what = self._where(f"stage {self._stage}/{self._stages}, epoch {epoch}, {rate:.0f} steps/s")
        self._bar.update(self._task, completed=self._done(self._stage - 1 + step / self._steps), what=what)

    def stage_finished(self, stage: int, row: Sequence[float | None]) -> None:
        """Move the bar to the stage's end, and tell from now on what it has made."""
        self._accuracy = f" · {100 * mean_so_far(stage, self._stages, row):.1f} %"
        what = self._where(f"stage {stage}/{self._stages} done")
        self._bar.update(self._task, completed=self._done(stage), what=what)

    def close(self) -> None:
        """Take the bar down."""
        self._bar.stop()

    def _done(self, stages: float) -> float:
        """Stages of all seeds, given those of this one."""
        return (self._seed - 1) * self._stages + stages

    def _where(self, told: str) -> str:
        return f"{f'seed {self._seed}/{self._seeds}, ' if self._seeds > 1 else ''}{told}{self._accuracy}"


def mean_so_far(stage: int, stages: int, row: Sequence[float | None]) -> float:
    """Mean accuracy after a stage: of the tasks trained so far where each has a stage of its own, else of all."""
    trained = row[:stage] if len(row) == stages else row
    known = [value for value in trained if value is not None] or [value for value in row if value is not None]
    return sum(known) / len(known)


@contextmanager
def waiting(console: Console, what: str) -> Iterator[None]:
    """Say what takes a while, as long as it takes, on a terminal; elsewhere nothing, since it is soon past."""
    if not console.is_terminal:
        yield
        return
    with console.status(f"{what} …"):
        yield
