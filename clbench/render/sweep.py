"""Sweeps, for people: a line while they run, a table of where they stand."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from clbench.render.tables import Table

if TYPE_CHECKING:
    from clbench.analysis.standing import Standing
    from clbench.sweeps.conduct import Tally
    from clbench.sweeps.estimate import Estimate
    from clbench.sweeps.ledger import Failure
    from clbench.sweeps.status import PlanStatus

LINE_SECONDS = 30.0
SHOWN_FAILURES = 10
SHOWN_STANDINGS = 20


def duration(seconds: float | None) -> str:
    """A time in the two units that matter."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} days {hours % 24} h"


def standing(tally: Tally) -> str:
    """Where a sweep stands, in a line."""
    parts = [f"{tally.skipped + len(tally.done)} done", f"{len(tally.running)} running"]
    parts += [f"{len(tally.failures)} failed"] if tally.failures else []
    if tally.seconds and tally.done:
        parts.append(f"{60 * len(tally.done) / tally.seconds:.0f}/min")
        parts.append(f"{duration(tally.seconds_left)} left")
    return ", ".join(parts)


class SweepProgress:
    """A live bar on a terminal, a line now and then elsewhere."""

    def __init__(self, console: Console, total: int) -> None:
        self.console = console
        self.total = total
        self._next = 0.0
        self._bar: Progress | None = None
        if console.is_terminal:
            columns = (
                BarColumn(bar_width=None),
                TextColumn("{task.completed:.0f}/{task.total:.0f}  {task.description}"),
            )
            self._bar = Progress(*columns, console=console, transient=True)
            self._task = self._bar.add_task("importing", total=total)
            self._bar.start()

    def __call__(self, tally: Tally) -> None:
        """Show where it stands."""
        over = tally.total - tally.left
        if self._bar is not None:
            self._bar.update(self._task, completed=over, description=standing(tally))
        elif time.monotonic() >= self._next and tally.running:
            self._next = time.monotonic() + LINE_SECONDS
            self.console.print(f"{over}/{self.total}  {standing(tally)}", highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Take the bar down."""
        if self._bar is not None:
            self._bar.stop()


def costs(tally: Tally) -> str:
    """Where a run's seconds went, on average; of a sitting."""
    count = max(len(tally.done), 1)
    parts = [
        f"{name} {sum(getattr(done, name) for done in tally.done) / count:.3f} s"
        for name in ("data", "train", "evaluate", "write")
    ]
    return f"{len(tally.done)} runs in {duration(tally.seconds)}; of each, on average: {', '.join(parts)}"


def failures(found: Iterable[Failure]) -> list[str]:
    """What failed, the same reason once."""
    found = list(found)
    counts = Counter(failure.reason for failure in found)
    lines = []
    for reason, count in counts.most_common(SHOWN_FAILURES):
        first = next(failure for failure in found if failure.reason == reason)
        others = f" and {count - 1} more" if count > 1 else ""
        lines.append(f"{first.label}{others}, {first.attempts} times: {reason}")
    if len(counts) > SHOWN_FAILURES:
        lines.append(f"… and {len(counts) - SHOWN_FAILURES} reasons more")
    return lines


def so_far(scenario: str, found: Sequence[Standing], most: int = SHOWN_STANDINGS) -> Table:
    """The best configurations of a scenario over the seeds that are done, and how many are left out."""
    rows = [
        [one.label, str(one.seeds), f"diverged {one.diverged}" if one.diverged else percent(one.mean)]
        for one in found[:most]
    ]
    left_out = f"{len(found) - most} lower configurations are left out; 'clbench compare' shows all."
    return Table(
        f"{scenario}, so far",
        ["strategy", "seeds", "accuracy %"],
        rows,
        right=frozenset({1, 2}),
        note=left_out if len(found) > most else "",
    )


def percent(value: float | None) -> str:
    """A share in per cent; a dash where there is none."""
    return "–" if value is None else f"{100 * value:.1f}"


def table(plans: Iterable[PlanStatus]) -> Table:
    """Plans of a results folder: what they are, where they stand, rate per minute and time left."""
    header = ["plan", "state", "done", "running", "failed", "left", "per min", "time left"]
    cells = [
        [
            one.plan,
            one.state,
            str(one.done),
            str(one.running),
            str(len(one.failures)),
            str(one.left),
            "–" if not one.rate else f"{one.rate:.1f}",
            duration(one.seconds_left),
        ]
        for one in plans
    ]
    return Table("", header, cells, right=frozenset(range(2, 8)))


def counted(combinations: int, runs: int, left: int) -> str:
    """How many runs a plan has, of how many combinations, and how many are left."""
    repeated = f" ({combinations - runs} of {combinations} combinations are excluded or equal to others)"
    return f"{runs} runs{repeated if combinations > runs else ''}, {left} left."


def estimated(known: Estimate, left: int, workers: int) -> str:
    """About how long the runs that are left take."""
    about = "at most" if known.at_most else "about"
    return (
        f"{about} {duration(known.seconds / workers)} with {workers} workers, if they do not slow each other "
        f"down ({duration(known.seconds / left)} a run; measured on short runs of {known.probed} of "
        f"{known.kinds} kinds)."
    )


def ending(tally: Tally, folder: str) -> list[str]:
    """Where a sweep's time went, and how many of its runs are where."""
    diverged = sum(done.status == "diverged" for done in tally.done)
    noted = [f"{tally.skipped} were done before"] if tally.skipped else []
    noted += [f"{diverged} diverged"] if diverged else []
    noted += [f"{len(tally.failures)} failed"] if tally.failures else []
    done = f"{tally.skipped + len(tally.done)} of {tally.total} runs are in {folder}"
    told = f"{done} ({', '.join(noted)})" if noted else done
    see = f"clbench compare {folder}"
    if "://" in folder:
        copy = folder.rpartition("/")[2]
        see = f"clbench results import {folder} --results {copy} && clbench compare {copy}"
    return [*([costs(tally)] if tally.done else []), f"{told}; see them with: {see}"]
