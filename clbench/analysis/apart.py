"""How far rows of a board are apart: differences over shared seeds, with variances steadied by all pairs of rows.

Runs of one seed share stream and first weights, so that differences are taken seed by seed. Rows that share fewer than
two seeds are compared as groups (Welch). The variance of a difference is moderated over all pairs of the board's rows
(``moderated``): three seeds know little of their own spread, and fifty rows together know what spreads are usual.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, islice

from clbench.analysis.moderated import LEAST_FREEDOM, Prior, moderated, prior
from clbench.analysis.statistics import ROUNDING, t_below, t_quantile, variance, welch

Values = Mapping[int, float]  # by seed
POOLED = 1500  # pairs that tell of spreads: all of up to 55 rows, every so many-th of more

NO_POOL = Prior(0.0, 0.0, 0.0)  # Student's and Welch's tests as they are


@dataclass(frozen=True)
class Apart:
    """One row minus another: mean difference, its standard error and degrees of freedom, seeds, whether in pairs.

    ``error`` is None where a side has too few seeds for any. ``spread`` is the moderated standard deviation of a
    seed's difference.
    """

    mean: float
    error: float | None
    freedom: float
    n: int
    paired: bool

    @property
    def spread(self) -> float | None:
        """Standard deviation of one seed's difference."""
        return None if self.error is None else self.error * math.sqrt(self.n)

    def p(self, at: float = 0.0) -> float | None:
        """One-sided p of "the true difference is at most ``at``"; None without a test.

        Where all seeds differ by the same and no other rows tell of spreads, Student's t would be certain; such
        differences are judged by their signs alone, 2^−n at best.
        """
        if self.error is None:
            return None
        if self.error > ROUNDING:
            return t_below((at - self.mean) / self.error, self.freedom)
        gap = self.mean - at
        return 0.5**self.n if gap > ROUNDING else 1.0 if gap < -ROUNDING else 0.5

    def two_sided(self) -> float | None:
        """p of "there is no difference", the same for either sign."""
        one = replace(self, mean=abs(self.mean)).p()
        return None if one is None else 1.0 if abs(self.mean) <= ROUNDING else min(1.0, 2 * one)

    def within(self, margin: float) -> float | None:
        """Probability that the true difference is smaller than ``margin``, from the same t-distribution."""
        if self.error is None:
            return None
        if self.error <= ROUNDING:
            return float(abs(self.mean) < margin)
        low, high = ((side * margin - self.mean) / self.error for side in (-1, 1))
        return t_below(high, self.freedom) - t_below(low, self.freedom)

    def interval(self, alpha: float) -> tuple[float, float] | None:
        """The two-sided interval at confidence 1 − alpha, which leaves out 0 just where p ≤ alpha.

        None without a test; and where all seeds differ by the same, but too few of them to be sure of the sign.
        """
        p = self.two_sided()
        if self.error is None or p is None:
            return None
        if self.error <= ROUNDING:
            return (self.mean, self.mean) if abs(self.mean) <= ROUNDING or p <= alpha else None
        half = t_quantile(1 - alpha / 2, self.freedom) * self.error
        return self.mean - half, self.mean + half


def pool_of(rows: Sequence[Values]) -> Prior:
    """Return what all pairs of rows say of the spread of a difference.

    k rows of n seeds leave (k − 1)(n − 1) degrees of freedom beside what a seed does to all, however many pairs, and no
    difference has more. Rows in step (copies of one row; rows that are the same in all seeds) differ from a third by
    the same: they count once, as do those of too few seeds not at all.
    """
    distinct = [row for _, row in sorted({_residuals(row): row for row in rows if len(row) > 1}.items())]
    count = len(distinct) * (len(distinct) - 1) // 2
    pairs = islice(combinations(range(len(distinct)), 2), 0, None, max(1, math.ceil(count / POOLED)))
    known = list(_known(distinct, pairs))
    tell = {place for *_, places in known for place in places}
    return prior([s2 for s2, *_ in known], [freedom for _, freedom, _ in known], independent=len(tell))


def _residuals(row: Values) -> tuple[tuple[int, float], ...]:
    """What a row's seeds are above its mean, but for rounding: the same for rows that differ by a constant."""
    mean = math.fsum(row.values()) / len(row)
    return tuple((seed, round(row[seed] - mean, 12)) for seed in sorted(row))


def _known(rows: Sequence[Values], pairs: Iterator[tuple[int, int]]) -> Iterator[tuple[float, float, tuple[int, int]]]:
    """Variance, degrees of freedom and places of those pairs of rows that tell of spreads."""
    for one, other in pairs:
        found = _spread(rows[one], rows[other])
        if found is not None and found[0] > ROUNDING**2 and found[1] >= LEAST_FREEDOM:
            yield found[0], found[1], (one, other)


def apart(mine: Values, other: Values, pool: Prior) -> Apart:
    """Compare two rows, with the variance moderated by what the ``pool`` says; positive: mine is above."""
    shared = sorted(mine.keys() & other.keys())
    found = _spread(mine, other)
    if found is None:
        seeds = shared or sorted(mine)
        theirs = shared or sorted(other)
        mean = math.fsum(mine[s] for s in seeds) / len(seeds) - math.fsum(other[s] for s in theirs) / len(theirs)
        return Apart(mean, None, 0.0, len(shared) or min(len(mine), len(other)), bool(shared))
    s2, freedom, n, mean = found
    s2, freedom = moderated(s2, freedom, pool)
    paired = len(shared) >= 2
    return Apart(mean, math.sqrt(s2 / n), freedom, len(shared) if paired else min(len(mine), len(other)), paired)


def _spread(mine: Values, other: Values) -> tuple[float, float, float, float] | None:
    """Variance of a seed's difference, its degrees of freedom, the seeds that it is divided by, and the mean."""
    shared = sorted(mine.keys() & other.keys())
    if len(shared) >= 2:
        differences = [mine[seed] - other[seed] for seed in shared]
        n = len(shared)
        return variance(differences), n - 1, n, math.fsum(differences) / n
    if len(mine) < 2 or len(other) < 2:
        return None
    one, two = sorted(mine.values()), sorted(other.values())
    error, freedom = welch(one, two)
    harmonic = 2 / (1 / len(one) + 1 / len(two))  # of two groups of n the variance of a pair's difference is n·error²
    return error**2 * harmonic, freedom, harmonic, math.fsum(one) / len(one) - math.fsum(two) / len(two)
