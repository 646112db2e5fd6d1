"""Where a sweep stands in numbers: the mean accuracy of each configuration over the seeds that are done."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from clbench.analysis.labels import labels
from clbench.analysis.runs import Run, cells


@dataclass(frozen=True)
class Standing:
    """A configuration on a scenario so far; ``mean``: None if a seed diverged or has no such value."""

    label: str
    seeds: int
    diverged: int
    mean: float | None


def column(runs: Iterable[Run]) -> str:
    """What 'accuracy' is here: that on the one test set, where all stages share one; on the next period, in time."""
    known = {name for run in runs for name, value in run.metrics.items() if value is not None}
    first = ("final_test_accuracy", "next_period_accuracy")
    return next((name for name in first if name in known), "average_accuracy")


def standings(runs: Sequence[Run]) -> dict[str, list[Standing]]:
    """Return each scenario's configurations, the highest mean first, those without one last."""
    found = {}
    for scenario in sorted({run.scenario for run in runs}):
        groups = cells(run for run in runs if run.scenario == scenario)
        names = labels([setup for setup, _ in groups], [source for _, source in groups])
        measured = column(run for group in groups.values() for run in group)
        rows = [_standing(name, group, measured) for name, group in zip(names, groups.values(), strict=True)]
        found[scenario] = sorted(rows, key=lambda row: (row.mean is None, -(row.mean or 0.0), row.label))
    return found


def _standing(label: str, group: Sequence[Run], measured: str) -> Standing:
    values = [run.value(measured) for run in group]
    known = [value for value in values if value is not None]
    mean = fmean(known) if len(known) == len(values) else None
    return Standing(label, len(group), sum(run.status == "diverged" for run in group), mean)
