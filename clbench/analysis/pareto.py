"""Pareto fronts: rows that no other one beats in everything that is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import le

from clbench.analysis.statistics import Estimate

# Columns of leaderboards. Seconds are none of them: they depend on what else the machine does.
Objectives = Sequence[str]
# Forgetting is none either: what never learns forgets nothing.
FRONT: Objectives = ("average_accuracy", "samples", "memory", "state")
Row = Mapping[str, Estimate | None]
Better = Callable[[str], str]  # of a column: 'higher' or 'lower'


def front(rows: Sequence[Row], objectives: Objectives, better: Better) -> set[int]:
    """Return the places of rows that no other one is as good as in all objectives, and better in one.

    Rows where an objective is not defined are on no front. Rows that must not win are not to be given at all: a
    network that learnt nothing forgets nothing, and would push honest rows off the front.
    """
    signs = [1.0 if better(column) == "lower" else -1.0 for column in objectives]
    costs = {place: cost for place, row in enumerate(rows) if (cost := _costs(row, objectives, signs)) is not None}
    found: dict[int, tuple[float, ...]] = {}
    # In this order nothing that comes later can dominate what came before.
    for place, mine in sorted(costs.items(), key=lambda pair: pair[1]):
        if not any(rival != mine and all(map(le, rival, mine)) for rival in found.values()):
            found[place] = mine
    return set(found)


def on_any(rows: Sequence[Row], fronts: Iterable[Objectives], better: Better) -> set[int]:
    """Return the places of rows that are on at least one of several fronts."""
    return {place for objectives in fronts for place in front(rows, objectives, better)}


def _costs(row: Row, objectives: Objectives, signs: Sequence[float]) -> tuple[float, ...] | None:
    """Means of the objectives, the lower the better; None where one is not defined."""
    found = [row[column] for column in objectives]
    known = [one.mean for one in found if one is not None]
    return tuple(s * mean for s, mean in zip(signs, known, strict=True)) if len(known) == len(found) else None
