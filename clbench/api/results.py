"""Results in a program's hands: a sequence of runs that prints what follows from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, overload

from clbench import store
from clbench.analysis.compare import check_metrics, leaderboards
from clbench.analysis.runs import Run, flat_setup, run_of
from clbench.errors import UserError
from clbench.store import Result

if TYPE_CHECKING:
    import pandas as pd

COSTS = ("seconds", "samples", "memory", "state")


class Results(Sequence[Result]):
    """Runs, one for each seed and setting, in the order in which they were asked for.

    ``results[0]`` is a Result (its ``accuracy`` is R; one that lies in a folder is read when it is asked for),
    ``results[1:]`` are Results, ``results["average_accuracy"]`` a metric's values, one for each run, None where it is
    not defined. Printed they say what follows first, as the command line does. ``failures``: of a sweep, the runs that
    could not be made, and why.
    """

    def __init__(self, runs: Iterable[Run], held: Iterable[Result | None] = (), failures: Iterable[str] = ()) -> None:
        self.runs = list(runs)
        self.failures = list(failures)
        self._held = list(held) or [None] * len(self.runs)

    @classmethod
    def of(cls, ended: Iterable[tuple[Result, Path | None]]) -> Results:
        """Return Results that are in memory, and where they were written, if they were."""
        pairs = list(ended)
        return cls([run_of(result, path) for result, path in pairs], [result for result, _ in pairs])

    def __len__(self) -> int:
        return len(self.runs)

    @overload
    def __getitem__(self, which: int) -> Result: ...
    @overload
    def __getitem__(self, which: slice) -> Results: ...
    @overload
    def __getitem__(self, which: str) -> list[float | None]: ...
    def __getitem__(self, which: int | slice | str) -> Result | Results | list[float | None]:
        if isinstance(which, str):
            (column,) = check_metrics([which])
            return [run.value(column) for run in self.runs]
        if isinstance(which, slice):
            return Results(self.runs[which], self._held[which])
        return self._held[which] or _read(self.runs[which])

    @property
    def held(self) -> list[Result]:
        """The Results that are in memory."""
        return [result for result in self._held if result is not None]

    def mean(self, column: str = "average_accuracy") -> float | None:
        """Return the mean of a metric or cost over all runs; None where one has no value: it has diverged, say."""
        values = self[column]
        known = [value for value in values if value is not None]
        return fmean(known) if known and len(known) == len(values) else None

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each run: what was run, every metric and cost, every setting by its dotted key.

        Raises UserError if pandas is not installed.
        """
        names = list(dict.fromkeys(name for run in self.runs for name in run.metrics))
        rows = [_row(run, names) for run in self.runs]
        return frame(rows, numbers=[*names, *COSTS])

    def __str__(self) -> str:
        from clbench.render.summaries import as_printed, print_runs, warnings_of

        if not self.runs:
            return "no runs"
        alone = self[0] if len(self) == 1 else None
        warned = warnings_of((run.seed, run.warnings) for run in self.runs)
        return "\n".join([as_printed(lambda console: print_runs(self.runs, alone, console)), *warned])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        """Return the tables for a notebook; whatever comes from outside is shown as text."""
        from clbench.render.formats import as_text

        return as_text(leaderboards(self.runs), None, "html") if self.runs else "<p>no runs</p>"


def _read(run: Run) -> Result:
    if run.path is None:
        raise UserError(f"The Result of run {run.run_id[:12]} is neither in memory nor in a folder. Load it again.")
    return store.read(run.path)


def _row(run: Run, metrics: Sequence[str]) -> dict[str, Any]:
    """A run as a row of a table; a section's name stands under the section's own."""
    settings = {key.removesuffix(".name"): value for key, value in flat_setup(run.setup).items()}
    return (
        {"strategy": run.strategy, "scenario": run.scenario, "seed": run.seed, "status": run.status, "role": run.role}
        | {name: run.metrics.get(name) for name in metrics}
        | {cost: run.value(cost) for cost in COSTS}
        | {key: settings[key] for key in sorted(settings) if key not in ("strategy", "scenario")}
        | {"warnings": "; ".join(run.warnings), "created": run.created, "run_id": run.run_id}
        | {"path": None if run.path is None else str(run.path), "source": run.source}
    )


def frame(rows: Sequence[dict[str, Any]], numbers: Sequence[str] = ()) -> pd.DataFrame:
    """Return rows as a pandas data frame; what is missing in columns of ``numbers`` is NaN."""
    try:
        import pandas as pd
    except ModuleNotFoundError:
        raise UserError("to_frame needs pandas, which is not installed. Run: pip install 'clbench[frames]'") from None
    made = pd.DataFrame(rows)
    return made.astype({name: float for name in numbers if name in made})
