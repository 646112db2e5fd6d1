"""Estimates over seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Interval = Literal["t", "bootstrap"]
RESAMPLES = 9999
ROUNDING = 1e-12  # differences below it are those of rounding


@dataclass(frozen=True)
class Estimate:
    """A mean over n seeds and its 95 % interval; no interval for a single seed."""

    mean: float
    low: float | None
    high: float | None
    n: int

    @property
    def half_width(self) -> float | None:
        """Half the interval's width."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


def estimate(values: Sequence[float], interval: Interval = "t") -> Estimate:
    """Return mean and 95 % interval.

    't' is Student's: mean ± t(0.975, n−1)·s/√n. 'bootstrap' is bias-corrected and accelerated (Efron 1987), by SciPy,
    with 9,999 resamples from a fixed seed. Values are sorted first, so that their order cannot change a last bit.

    >>> estimate([1.0, 2.0, 3.0]).mean
    2.0
    """
    values = sorted(values)
    n, mean = len(values), statistics.fmean(values)
    if n == 1:
        return Estimate(mean, None, None, 1)
    if values[0] == values[-1]:
        return Estimate(values[0], values[0], values[0], n)
    if interval == "bootstrap":
        return Estimate(mean, *_bootstrap(values), n)
    half = t_quantile(0.975, n - 1) * math.sqrt(variance(values) / n)
    return Estimate(mean, mean - half, mean + half, n)


def variance(values: Sequence[float]) -> float:
    """Return the unbiased variance; the standard library's is exact in fractions and ten times slower."""
    mean = statistics.fmean(values)
    return math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)


def stdev(values: Sequence[float]) -> float:
    """Return the square root of the unbiased variance."""
    return math.sqrt(variance(values))


def t_quantile(share: float, freedom: float) -> float:
    """Return the quantile of Student's t distribution."""
    from scipy.special import stdtrit  # scipy.stats would take longer to import than everything else together

    return float(stdtrit(freedom, share))


def t_below(t: float, freedom: float) -> float:
    """Return the probability that Student's t is at most ``t``."""
    from scipy.special import stdtr

    return float(stdtr(freedom, t))


def welch(one: Sequence[float], other: Sequence[float]) -> tuple[float, float]:
    """Return the standard error of the difference of two means, and Welch's degrees of freedom (1 without spread)."""
    a, b = (variance(values) / len(values) for values in (one, other))
    error = math.sqrt(a + b)
    if error <= ROUNDING:
        return error, 1.0
    return error, (a + b) ** 2 / (a**2 / (len(one) - 1) + b**2 / (len(other) - 1))


def _bootstrap(values: Sequence[float]) -> tuple[float, float]:
    import numpy as np
    from scipy.stats import bootstrap

    found = bootstrap((np.asarray(values),), np.mean, n_resamples=RESAMPLES, rng=np.random.default_rng(0), method="BCa")
    return float(found.confidence_interval.low), float(found.confidence_interval.high)
