"""Accuracy matrices of a leaderboard's rows: the mean R over seeds, its interval, and forgetting as it grows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from clbench import store
from clbench.analysis.compare import Leaderboard
from clbench.analysis.runs import Run
from clbench.analysis.statistics import Estimate, estimate
from clbench.metrics import Matrix


@dataclass(frozen=True)
class Matrices:
    """One row of a leaderboard: R[stage][task] over seeds, row 0 before training; None where it was not evaluated.

    ``forgetting`` has, for each stage from the second on, the mean over earlier tasks of how far each has fallen below
    its best; empty where a stage trains several tasks or not all were evaluated.
    """

    label: str
    accuracy: list[list[Estimate | None]]
    forgetting: list[Estimate]


def matrices(
    board: Leaderboard, runs: Iterable[Run], read: Callable[[Path], store.Result] = store.read
) -> list[Matrices]:
    """Read R of every run of a board's rows that did not diverge; rows in the board's order."""
    return [
        _of(entry.label, [read(run.path).accuracy for run in group if run.path is not None])
        for entry, group in zip(board.entries, board.runs_by_entry(runs), strict=True)
        if not entry.diverged and all(run.path is not None for run in group)
    ]


def _of(label: str, found: list[list[list[float | None]]]) -> Matrices:
    stages, tasks = len(found[0]), len(found[0][0])
    accuracy = [[_cell([R[stage][task] for R in found]) for task in range(tasks)] for stage in range(stages)]
    whole: list[Matrix] = [[[v for v in row if v is not None] for row in R] for R in found]
    known = all(len(row) == tasks for R in whole for row in R)
    grown = range(2, stages) if known and stages == tasks + 1 else range(0)
    return Matrices(label, accuracy, [estimate([_forgotten(R, stage) for R in whole]) for stage in grown])


def _cell(values: Sequence[float | None]) -> Estimate | None:
    known = [value for value in values if value is not None]
    return estimate(known) if len(known) == len(values) else None


def _forgotten(R: Matrix, stage: int) -> float:
    """Mean over the tasks before a stage of their best accuracy so far minus that after it (Chaudhry et al. 2018)."""
    falls = [max(R[t][task] for t in range(task + 1, stage)) - R[stage][task] for task in range(stage - 1)]
    return sum(falls) / len(falls)
