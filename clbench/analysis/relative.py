"""Metrics that need another run beside a run: the gap to a cold start, and what sharing one network costs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from clbench.analysis.runs import Run, beside_strategy

Values = dict[str, float | None]


@dataclass(frozen=True)
class Relative:
    """A metric of a run and a reference run: the one with the same config and seed, but for its strategy."""

    name: str
    reference: str
    summary: str
    compute: Callable[[Values, Values], float | None]
    version: int = 1
    better: str = "lower"


def _difference(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other


RELATIVE = {
    found.name: found
    for found in (
        Relative(
            "generalisation_gap",
            "cold",
            "Final test accuracy of the cold start minus this run's, seed by seed (Ash and Adams 2020, "
            "arXiv:1910.08475). Only beside runs of 'cold'.",
            lambda mine, cold: _difference(cold.get("final_test_accuracy"), mine.get("final_test_accuracy")),
        ),
        Relative(
            "intransigence",
            "joint",
            "Accuracy of joint training minus learning accuracy, mean_j (a*_j − R[j][j]) (Chaudhry et al. 2018, "
            "arXiv:1801.10112, section 3.3). Only beside runs of 'joint'.",
            lambda mine, joint: _difference(joint.get("average_accuracy"), mine.get("learning_accuracy")),
        ),
    )
}


def with_relative(runs: Iterable[Run]) -> list[Run]:
    """Return the runs with the metrics that a reference run among them, of the same source, allows to compute.

    A reference that diverged, or whose own numbers are spoilt, is none.
    """
    runs = list(runs)
    wanted = {found.reference for found in RELATIVE.values()}
    references: dict[tuple[object, ...], Values] = defaultdict(dict)
    for run in sorted(runs, key=lambda run: run.created):  # of a reference of several versions the newest counts
        if run.strategy in wanted and run.status == "ok" and not run.spoilt:
            references[(run.strategy, *_place(run))] = run.metrics
    if not references:
        return runs
    return [_completed(run, references) for run in runs]


def _completed(run: Run, references: dict[tuple[object, ...], Values]) -> Run:
    found: Values = {}
    for metric in RELATIVE.values():
        reference = references.get((metric.reference, *_place(run)))
        if reference is not None:
            found[metric.name] = metric.compute(run.metrics, reference)
    return replace(run, metrics=run.metrics | found) if found else run


def _place(run: Run) -> tuple[object, ...]:
    return run.source, run.seed, run.kind, beside_strategy(run.setup)
