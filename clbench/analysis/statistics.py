"""Estimates over seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A mean over n seeds; ``half_width`` of its 95 % interval, None for a single seed."""

    mean: float
    half_width: float | None
    n: int


def estimate(values: Sequence[float]) -> Estimate:
    """Return mean and 95 % interval by Student's t: mean ± t(0.975, n−1)·s/√n.

    >>> estimate([1.0, 2.0, 3.0]).mean
    2.0
    """
    n = len(values)
    if n == 1:
        return Estimate(values[0], None, 1)
    from scipy.special import stdtrit

    spread = statistics.stdev(values) / math.sqrt(n)
    return Estimate(statistics.fmean(values), float(stdtrit(n - 1, 0.975)) * spread, n)
