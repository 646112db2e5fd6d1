"""Is a candidate worse than its baseline by more than a margin? One-sided t-tests, paired by seed where seeds match."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from clbench.analysis.statistics import ROUNDING, stdev, t_below, t_quantile, welch

Values = Mapping[int, float]  # by seed


@dataclass(frozen=True)
class Drop:
    """How a candidate stands to its baseline in one metric, positive differences being better.

    ``p`` is that of "not worse by more than the margin"; ``at_least`` is the lower confidence bound of the difference:
    what the seeds cannot rule out. Both are None where a side has too few seeds.
    """

    difference: float
    at_least: float | None
    p: float | None
    n: int
    paired: bool


def drop(candidate: Values, baseline: Values, margin: float, alpha: float, higher_is_better: bool) -> Drop:
    """Compare two groups of seeds; equal values on every shared seed are no difference, even of a single seed."""
    sign = 1.0 if higher_is_better else -1.0
    shared = sorted(candidate.keys() & baseline.keys())
    paired = len(shared) >= 2 or (len(shared) == 1 and 1 in (len(candidate), len(baseline)))
    if paired:
        differences = [sign * (candidate[seed] - baseline[seed]) for seed in shared]
        mean, n = statistics.fmean(differences), len(differences)
        if n == 1 and mean != 0:
            return Drop(mean, None, None, 1, True)
        error = stdev(differences) / math.sqrt(n) if n > 1 else 0.0
        freedom = float(max(n - 1, 1))
    else:
        mean = sign * (statistics.fmean(candidate.values()) - statistics.fmean(baseline.values()))
        n = min(len(candidate), len(baseline))
        if n < 2:
            return Drop(mean, None, None, n, False)
        error, freedom = welch(list(candidate.values()), list(baseline.values()))
    if error <= ROUNDING:
        return Drop(mean, mean, 0.0 if mean < -margin - ROUNDING else 1.0, n, paired)
    p = t_below((mean + margin) / error, freedom)
    return Drop(mean, mean - t_quantile(1 - alpha, freedom) * error, p, n, paired)
