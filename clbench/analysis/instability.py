"""Where penalties become unstable: accuracy over strength λ and learning rate η."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

from clbench import store
from clbench.analysis.labels import labels
from clbench.analysis.runs import Run, flat_setup
from clbench.store import Result, canonical

LAM, ETA = "strategy.lam", "optimizer.lr"


@dataclass(frozen=True)
class Map:
    """One method: mean accuracy for each (λ, η), None where a seed diverged; λ is None for methods without one.

    ``limits`` has for each η the λ with η·λ·max A = 1, measured in the runs themselves; empty if it was not.
    """

    label: str
    lams: list[float | None]
    etas: list[float]
    accuracy: dict[tuple[float | None, float], float | None]
    limits: dict[float, float]


def maps(runs: Iterable[Run], read: Callable[[Path], Result] = store.read) -> list[Map]:
    """Return a map for each method among the runs that was run with several λ or η, in order of their names."""
    groups: dict[str, list[tuple[float | None, float, Run]]] = defaultdict(list)
    for run in runs:
        flat = flat_setup(run.setup)
        rest = canonical({key: value for key, value in flat.items() if key not in (LAM, ETA)})
        groups[rest].append((flat.get(LAM), flat[ETA], run))
    setups = list(groups)
    found = [
        _map(label, groups[setup], read)
        for setup, label in zip(setups, labels(setups, [""] * len(setups)), strict=True)
    ]
    return sorted((one for one in found if len(one.accuracy) > 1), key=lambda one: one.label)


def _map(label: str, members: Sequence[tuple[float | None, float, Run]], read: Callable[[Path], Result]) -> Map:
    cells: dict[tuple[float | None, float], list[Run]] = defaultdict(list)
    limits: dict[float, list[float]] = defaultdict(list)
    for lam, eta, run in members:
        cells[lam, eta].append(run)
        if lam is not None and run.path is not None:
            held = [one for one in read(run.path).diagnostics.get("held", []) if one is not None]
            limits[eta] += [one["lam_upper"] for one in held if one.get("lam_upper") is not None]
    return Map(
        label,
        sorted({lam for lam, _ in cells}, key=lambda lam: lam or 0.0),
        sorted({eta for _, eta in cells}),
        {cell: _mean(found) for cell, found in cells.items()},
        {eta: median(values) for eta, values in limits.items() if values},
    )


def _mean(runs: Sequence[Run]) -> float | None:
    values = [run.metrics.get("average_accuracy") if run.status == "ok" else None for run in runs]
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) == len(values) else None
