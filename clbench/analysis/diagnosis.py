"""What a run measured of its network over stages: the mean over seeds of each strategy, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from clbench import store
from clbench.analysis.compare import Leaderboard
from clbench.analysis.runs import Run
from clbench.analysis.statistics import Estimate, estimate
from clbench.store import Result

Series = dict[int, Estimate]  # by stage; 0 is before training


@dataclass(frozen=True)
class Quantity:
    """Something that changes over stages, and how to read it off a Result: stage → value.

    ``share``: between 0 and 1, shown in per cent.
    """

    name: str
    share: bool
    read: Callable[[Result], dict[int, float]]


def _network(key: str) -> Callable[[Result], dict[int, float]]:
    return lambda result: {
        stage: fmean(found[key].values()) if isinstance(found[key], dict) else found[key]
        for stage, found in enumerate(result.diagnostics.get("network", []))
        if found[key] != {}
    }


def _boundary(read: Callable[[Any], float]) -> Callable[[Result], dict[int, float]]:
    """Measured before stage 2, 3, …: where stage 1, 2, … ends."""
    return lambda result: {
        stage: read(found) for stage, found in enumerate(result.diagnostics.get("boundaries", []), start=1)
    }


def _online(result: Result) -> dict[int, float]:
    return dict(enumerate(result.online_accuracy or [], start=1))


def _learnt(result: Result) -> dict[int, float]:
    """Accuracy on what a stage has just trained: its own task, or the test set that all stages share."""
    found = {}
    for stage, row in enumerate(result.accuracy[1:], start=1):
        value = row[0] if len(row) == 1 else row[stage - 1] if len(row) >= stage else None
        if value is not None and (len(row) == 1 or len(result.accuracy) == len(row) + 1):
            found[stage] = value
    return found


def _steps(result: Result) -> dict[int, float]:
    return {stage: float(cost.steps) for stage, cost in enumerate(result.cost, start=1) if cost.steps is not None}


QUANTITIES = (
    Quantity("accuracy after the stage", True, _learnt),
    Quantity("online accuracy", True, _online),
    Quantity("steps", False, _steps),
    Quantity("dead units", True, _network("dead")),
    Quantity("dormant units", True, _network("dormant")),
    Quantity("effective rank", False, _network("effective_rank")),
    Quantity("srank", False, _network("srank")),
    Quantity("weight norm", False, _network("weight_norm")),
    Quantity("distance from init", False, _network("distance_from_init")),
    Quantity("gradient on old data", False, _boundary(lambda found: float(found["gradient_norm"]["old"]))),
    Quantity("gradient on new data", False, _boundary(lambda found: float(found["gradient_norm"]["new"]))),
    Quantity("cosines below 0.3", True, _boundary(lambda found: float(found["clamped"]))),
)


@dataclass(frozen=True)
class Diagnosis:
    """One row of a leaderboard: each quantity over stages, and per layer a histogram of cos(−∇L, w) from −1 to 1.

    Histograms are sums over seeds at the last boundary; empty without --diagnostics. ``missed`` counts stages, over all
    seeds, that ended before training accuracy reached its threshold.
    """

    label: str
    seeds: int
    series: dict[str, Series]
    cosines: dict[str, list[int]]
    missed: int


def diagnoses(board: Leaderboard, runs: Iterable[Run], read: Callable[[Path], Result] = store.read) -> list[Diagnosis]:
    """Read the diagnostics of every row of a board that did not diverge; rows in the board's order."""
    return [
        _of(entry.label, [read(run.path) for run in group if run.path is not None])
        for entry, group in zip(board.entries, board.runs_by_entry(runs), strict=True)
        if not entry.diverged and all(run.path is not None for run in group)
    ]


def _of(label: str, results: Sequence[Result]) -> Diagnosis:
    series = {quantity.name: _series([quantity.read(result) for result in results]) for quantity in QUANTITIES}
    cosines: dict[str, list[int]] = {}
    for result in results:
        for layer, counts in (result.diagnostics.get("boundaries") or [{}])[-1].get("cosines", {}).items():
            known = cosines.get(layer, [0] * len(counts))
            cosines[layer] = [a + b for a, b in zip(known, counts, strict=True)]
    missed = sum(cost.reached is False for result in results for cost in result.cost)
    return Diagnosis(label, len(results), {name: found for name, found in series.items() if found}, cosines, missed)


def _series(found: Sequence[dict[int, float]]) -> Series:
    """Estimates of the stages that every seed has."""
    stages = sorted(set.intersection(*(set(one) for one in found)))
    return {stage: estimate([one[stage] for one in found]) for stage in stages}
