"""How models age on streams in time: accuracy by how many periods a model is old, of a run and of a board's rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from clbench import metrics, store
from clbench.analysis.boards import Leaderboard
from clbench.analysis.runs import Run
from clbench.analysis.statistics import Estimate, estimate
from clbench.metrics.periods import Age, age_curve


@dataclass(frozen=True)
class AgeCurve:
    """One row of a leaderboard: age in periods → accuracy over seeds. Negative ages: on periods before the model's."""

    label: str
    accuracy: dict[int, Estimate]


def ages(result: store.Result) -> list[Age]:
    """Return a run's age curve; empty where tasks are no periods, each with a stage of its own."""
    found = result.metrics.get("next_period_accuracy")
    in_time = found is not None and found.value is not None
    return age_curve(metrics.Course(result.accuracy, periods=in_time))


def age_curves(
    board: Leaderboard, runs: Iterable[Run], read: Callable[[Path], store.Result] = store.read
) -> list[AgeCurve]:
    """Read the age curves of a board's rows; in its order, without rows that diverged or have none."""
    found = []
    for entry, group in zip(board.entries, board.runs_by_entry(runs), strict=True):
        by_age = defaultdict(list)
        for age in (age for run in group if run.path is not None for age in ages(read(run.path))):
            by_age[age.periods].append(age.accuracy)
        if by_age and not entry.diverged:
            found.append(AgeCurve(entry.label, {age: estimate(values) for age, values in sorted(by_age.items())}))
    return found
