"""Is a candidate worse than its baseline by more than a margin? One-sided t-tests of many cells, paired by seed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clbench.analysis.moderated import Prior, independent_samples, moderated, prior
from clbench.analysis.significance import benjamini_hochberg
from clbench.analysis.statistics import ROUNDING, t_below, t_quantile, variance

Values = Mapping[int, float]  # by seed
WHOLE = 0.2  # share of alpha for the mean over cells


@dataclass(frozen=True)
class Drop:
    """How a candidate stands to its baseline in one metric, positive differences being better.

    ``p`` is that of "not worse by more than the margin"; ``at_least`` is the lower confidence bound of the difference:
    what the seeds cannot rule out. Both are None where there is one seed, unless it is unchanged.
    """

    difference: float
    at_least: float | None
    p: float | None
    n: int


def drops(cells: Sequence[Values], margin: float, alpha: float) -> list[Drop]:
    """Judge one metric of many cells: for each, candidate minus baseline by seed, positive being better.

    The test is Student's on the pairs' differences, with variances moderated over the cells (``moderated``): few seeds
    then suffice to see a drop in one of many cells. Of a single cell it is the paired t-test. Differences that are all
    zero are no difference, even of a single seed.
    """
    spreads = [variance(list(cell.values())) if len(cell) > 1 else 0.0 for cell in cells]
    pool = prior(spreads, [len(cell) - 1 for cell in cells], independent_samples(cells))
    return [
        _drop(list(cell.values()), spread, pool, margin, alpha) for cell, spread in zip(cells, spreads, strict=True)
    ]


def together(cells: Sequence[Values], margin: float, alpha: float) -> Drop | None:
    """Judge the mean over cells: a drop of all of them that none shows by itself; None if there is no test.

    Student's t-test on the mean of each seed that all cells share. Whatever the cells' correlations and spreads, seeds
    are independent. Of fewer than two cells or seeds there is none.
    """
    if len(cells) < 2:
        return None
    seeds = set.intersection(*(set(cell) for cell in cells))
    if len(seeds) < 2:
        return None
    return drops([{seed: statistics.fmean(cell[seed] for cell in cells) for seed in seeds}], margin, alpha)[0]


def adjusted(ps: Sequence[float], whole: Sequence[float]) -> tuple[list[float], list[float]]:
    """Return the p-values of cells and of all cells ``together``, adjusted so that each may be held against alpha.

    Benjamini and Hochberg's method each; where there is a ``whole``, it has a fifth of alpha and the cells the rest.
    """
    share = WHOLE if whole else 0.0
    return (
        [min(1.0, p / (1 - share)) for p in benjamini_hochberg(ps)],
        [min(1.0, p / share) for p in benjamini_hochberg(whole)],
    )


def _drop(differences: Sequence[float], spread: float, pool: Prior, margin: float, alpha: float) -> Drop:
    mean, n = statistics.fmean(differences), len(differences)
    if all(abs(one) <= ROUNDING for one in differences):
        return Drop(mean, mean, 1.0, n)
    if n == 1:
        return Drop(mean, None, None, 1)
    spread, freedom = moderated(spread, n - 1, pool)
    error = math.sqrt(spread / n)
    if error <= ROUNDING:
        return Drop(mean, mean, 0.0 if mean < -margin - ROUNDING else 1.0, n)
    p = t_below((mean + margin) / error, freedom)
    return Drop(mean, mean - t_quantile(1 - alpha, freedom) * error, p, n)
