"""What a run measured of its network over stages: the mean over seeds of each strategy, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from clbench import store
from clbench.analysis.compare import Leaderboard
from clbench.analysis.runs import Run
from clbench.analysis.statistics import Estimate, estimate
from clbench.store import Result
from clbench.store.warnings import kinds_of

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
        if found.get(key, {}) != {}  # a network without such layers, or an older clbench
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


def _held(read: Callable[[Any], float | None]) -> Callable[[Result], dict[int, float]]:
    """Measured after stages in which weights were held."""

    def values(result: Result) -> dict[int, float]:
        stages = enumerate(result.diagnostics.get("held", []), start=1)
        found = {stage: read(one) for stage, one in stages if one is not None}
        return {stage: value for stage, value in found.items() if value is not None}

    return values


def _features(read: Callable[[Any], float | None]) -> Callable[[Result], dict[int, float]]:
    """Measured after stages."""

    def values(result: Result) -> dict[int, float]:
        found = {stage: read(one) for stage, one in enumerate(result.diagnostics.get("features", []), start=1)}
        return {stage: value for stage, value in found.items() if value is not None}

    return values


def _probe(result: Result) -> dict[int, float]:
    """Of the data that come after stage 0 (none yet), 1, 2, …"""
    return dict(enumerate(result.diagnostics.get("probe", [])))


def _mean(values: dict[str, float]) -> float | None:
    return fmean(values.values()) if values else None


def _cka(result: Result) -> dict[int, float]:
    stages = enumerate(result.diagnostics.get("cka", []), start=1)
    return {stage: fmean(found.values()) for stage, found in stages if found}


QUANTITIES = (
    Quantity("accuracy after the stage", True, _learnt),
    Quantity("online accuracy", True, _online),
    Quantity("steps", False, _steps),
    Quantity("dead units", True, _network("dead")),
    Quantity("linear units", True, _network("linear")),
    Quantity("dormant units", True, _network("dormant")),
    Quantity("effective rank", False, _network("effective_rank")),
    Quantity("srank", False, _network("srank")),
    Quantity("weights at 0", True, _network("zero_weights")),
    Quantity("live groups of weights", True, _network("live_groups")),
    Quantity("weight norm", False, _network("weight_norm")),
    Quantity("distance from init", False, _network("distance_from_init")),
    Quantity("gradient on old data", False, _boundary(lambda found: float(found["gradient_norm"]["old"]))),
    Quantity("gradient on new data", False, _boundary(lambda found: float(found["gradient_norm"]["new"]))),
    Quantity("cosines below 0.3", True, _boundary(lambda found: float(found["clamped"]))),
    Quantity("largest importance", False, _held(lambda one: max(v["max"] for v in one["importance"].values()))),
    Quantity("λ at which ηλA = 1", False, _held(lambda one: one.get("lam_upper"))),
    Quantity("weights with ηλA > 1", True, _held(lambda one: one.get("above_1"))),
    Quantity("weights with ηλA > 2", True, _held(lambda one: one.get("above_2"))),
    Quantity("weights with ηλA < 0", True, _held(lambda one: one.get("below_0"))),
    Quantity("way back per step", True, _held(lambda one: fmean(v["mean"] for v in one["share"].values()))),
    Quantity("left of a gradient, 10 steps on", True, _held(lambda one: one["retained"]["10"])),
    Quantity("CKA with the first stage", True, _cka),
    Quantity("probe on the next stage", True, _probe),
    Quantity("bits about the input", False, _features(lambda one: _mean(one["input_information"]))),
    Quantity("bits about the label", False, _features(lambda one: _mean(one["label_information"]))),
    Quantity("squared gradient per sample", False, _features(lambda one: float(one["squared_gradient"]))),
    Quantity("error of the reverse pass", False, _features(lambda one: one["reconstruction"])),
    Quantity("first layer like inputs", True, _features(lambda one: one["likeness"])),
    Quantity("accuracy, isotropic clones", True, _features(lambda one: one.get("clones", {}).get("isotropic"))),
    Quantity("accuracy, Gaussian clones", True, _features(lambda one: one.get("clones", {}).get("gaussian"))),
)


@dataclass(frozen=True)
class HeldLayer:
    """How a layer was held in the last stage: mean and largest importance A, averaged over seeds, and a histogram,
    summed over seeds, of R from 0 to 1 or of the positive ηλA in half decades from 10⁻⁸ to 10³.
    """

    mean: float
    largest: float
    histogram: list[int]


@dataclass(frozen=True)
class Diagnosis:
    """One row of a leaderboard: each quantity over stages, and per layer a histogram of cos(−∇L, w) from −1 to 1.

    Histograms are sums over seeds at the last boundary; empty without --diagnostics. ``kind`` is how weights were held,
    'penalty' or 'explicit', and ``held`` how firmly, by layer; ``cka`` is each layer's likeness to itself after the
    first stage. ``pictures`` are those of the first seed: inputs, what the reverse pass makes of them, singular vectors
    of the first layer. ``missed`` counts stages, over all seeds, that ended before training accuracy reached its
    threshold; ``warnings`` has, by kind, how many seeds carry one.
    """

    label: str
    seeds: int
    series: dict[str, Series]
    cosines: dict[str, list[int]]
    missed: int
    kind: str | None = None
    held: dict[str, HeldLayer] = field(default_factory=dict)
    cka: dict[str, Series] = field(default_factory=dict)
    pictures: dict[str, Any] = field(default_factory=dict)
    warnings: dict[str, int] = field(default_factory=dict)


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
    held = [(result.diagnostics.get("held") or [None])[-1] for result in results]
    looked = [one for one in held if one is not None]
    kinds = kinds_of(warning for result in results for warning in result.warnings)
    return Diagnosis(
        label,
        len(results),
        {name: found for name, found in series.items() if found},
        cosines,
        missed,
        looked[0]["kind"] if looked else None,
        {layer: _held_layer(layer, looked) for layer in looked[0]["importance"]} if looked else {},
        _cka_by_layer(results),
        results[0].diagnostics.get("pictures", {}),
        {kind: sum(kind in kinds_of(one.warnings) for one in results) for kind in kinds},
    )


def _held_layer(layer: str, found: Sequence[Any]) -> HeldLayer:
    values = [one["importance"][layer] for one in found]
    counts = zip(*(one["histogram"][layer] for one in found), strict=True)
    mean, largest = (fmean(value[key] for value in values) for key in ("mean", "max"))
    return HeldLayer(mean, largest, [sum(bin_) for bin_ in counts])


def _cka_by_layer(results: Sequence[Result]) -> dict[str, Series]:
    looked = [found for result in results if (found := result.diagnostics.get("cka"))]
    layers = looked[0][0] if looked else {}
    return {layer: _series([dict(enumerate((s[layer] for s in one), start=1)) for one in looked]) for layer in layers}


def _series(found: Sequence[dict[int, float]]) -> Series:
    """Estimates of the stages that every seed has, of seeds that were measured."""
    measured = [one for one in found if one]
    stages = sorted(set.intersection(*(set(one) for one in measured))) if measured else []
    return {stage: estimate([one[stage] for one in measured]) for stage in stages}
