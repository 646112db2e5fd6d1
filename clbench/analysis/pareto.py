"""The Pareto front of accuracy, forgetting and seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import le

from clbench.analysis.statistics import Estimate

FRONT = ("average_accuracy", "forgetting", "seconds")


def front(rows: Sequence[Mapping[str, Estimate | None]]) -> set[int]:
    """Return the places of rows that no other one is as good as in all three, and better in one.

    Rows where one of the three is not defined are on no front. Rows that must not win are not to be given at all: a
    network that learnt nothing forgets nothing, and would push honest rows off the front.
    """
    costs = {place: cost for place, row in enumerate(rows) if (cost := _costs(row)) is not None}
    found: dict[int, tuple[float, ...]] = {}
    # In this order nothing that comes later can dominate what came before.
    for place, mine in sorted(costs.items(), key=lambda pair: pair[1]):
        if not any(rival != mine and all(map(le, rival, mine)) for rival in found.values()):
            found[place] = mine
    return set(found)


def _costs(estimates: Mapping[str, Estimate | None]) -> tuple[float, ...] | None:
    """Accuracy, forgetting and seconds, the lower the better; None where one is not defined."""
    accuracy, forgetting, seconds = (estimates[column] for column in FRONT)
    if accuracy is None or forgetting is None or seconds is None:
        return None
    return -accuracy.mean, forgetting.mean, seconds.mean
