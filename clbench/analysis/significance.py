"""Is the difference between two methods more than the luck of their seeds?

Seeds that both methods share are compared in pairs: the same seed means the same stream and the same first weights.
Without shared seeds the groups are compared as they are. Every test is two-sided.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from clbench.analysis.permutation import ranks, relabellings, sign_flips, signed_ranks
from clbench.analysis.statistics import ROUNDING, stdev, t_below, variance, welch

Test = Literal["permutation", "wilcoxon", "t"]
Values = Mapping[int, float]  # by seed
ALPHA = 0.05
POWER = 0.8


@dataclass(frozen=True)
class Comparison:
    """Method against reference: mean difference, p-value, standardised effect, and on how many seeds.

    ``p`` is None where a side has too few seeds for any test. ``smallest_p`` is the least that the test could have
    said with so many seeds. ``effect`` is Hedges' g (paired: of the differences); None without spread.
    """

    difference: float
    p: float | None
    smallest_p: float
    effect: float | None
    n: int
    paired: bool


def compare(mine: Values, reference: Values, test: Test = "permutation") -> Comparison:
    """Compare two methods over their seeds.

    'permutation' swaps the labels within each pair (or between groups) and counts how often the mean difference is as
    large; 'wilcoxon' does the same with ranks (signed-rank, or rank-sum between groups), zero differences left out;
    't' is Student's paired test, or Welch's between groups. All arrangements are counted up to 65,536 of them.
    """
    shared = sorted(mine.keys() & reference.keys())
    if len(shared) >= 2 or (shared and len(mine) == len(reference) == 1):
        return _paired([mine[seed] - reference[seed] for seed in shared], test)
    return _groups(sorted(mine.values()), sorted(reference.values()), test)


def holm(ps: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number by Holm's step-down method (Holm 1979)."""
    adjusted = [0.0] * len(ps)
    highest = 0.0
    for place, index in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        highest = max(highest, min(1.0, (len(ps) - place) * ps[index]))
        adjusted[index] = highest
    return adjusted


def benjamini_hochberg(ps: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number by the step-up method of Benjamini and Hochberg (1995).

    Of those called true at level q, a share of q at most is expected to be false; and where nothing at all is true, one
    is called so with a probability of q at most (Simes 1986), for independent or positively dependent tests.
    """
    adjusted = [0.0] * len(ps)
    lowest = 1.0
    for place, index in reversed(list(enumerate(sorted(range(len(ps)), key=lambda i: ps[i]), start=1))):
        lowest = min(lowest, len(ps) / place * ps[index])
        adjusted[index] = lowest
    return adjusted


def enough_seeds(comparisons: int, test: Test) -> int:
    """Return the least number of paired seeds with which a test can say p ≤ 0.05 after Holm's correction."""
    return 2 if test == "t" else math.ceil(1 - math.log2(ALPHA / max(comparisons, 1)))


def seeds_needed(found: Comparison, comparisons: int, test: Test) -> int | None:
    """Return how many seeds would tell the two apart, were the difference and its spread as they look now.

    Enough for the test to be able to say p ≤ 0.05 after Holm's correction over so many comparisons, and for a power of
    80 % by the normal approximation. None where no number would do: the difference looks like none at all.
    """
    from scipy.special import ndtri

    if found.difference == 0:
        return None
    alpha = ALPHA / max(comparisons, 1)
    able = enough_seeds(comparisons, test)
    if found.effect is None:
        return able
    reach = float(ndtri(1 - alpha / 2))
    both = 1 if found.paired else 2
    powerful = both * ((reach + float(ndtri(POWER))) / found.effect) ** 2 + reach**2 / 2
    return max(able, math.ceil(min(powerful, 1e6)))


def _paired(differences: list[float], test: Test) -> Comparison:
    n = len(differences)
    mean = statistics.fmean(differences)
    effect = None
    if n > 2 and (spread := stdev(differences)) > ROUNDING:  # two have no unbiased effect: the factor is 0
        effect = mean / spread * _small_sample(n - 1)
    p, smallest = None, 1.0
    if n > 1 and test == "t":
        smallest = 0.0
        p = _t_paired(differences)
    elif n > 1:
        kept = differences if test == "permutation" else signed_ranks(differences)
        smallest = 2.0 ** (1 - n)
        p = sign_flips(kept)
    return Comparison(mean, p, smallest, effect, n, paired=True)


def _groups(mine: list[float], reference: list[float], test: Test) -> Comparison:
    a, b = len(mine), len(reference)
    difference = statistics.fmean(mine) - statistics.fmean(reference)
    effect, p, smallest = None, None, 1.0
    if a > 1 and b > 1:
        pooled = math.sqrt(((a - 1) * variance(mine) + (b - 1) * variance(reference)) / (a + b - 2))
        if pooled > ROUNDING:
            effect = difference / pooled * _small_sample(a + b - 2)
        if test == "t":
            smallest = 0.0
            p = _t_welch(mine, reference)
        else:
            smallest = (2 if a == b else 1) / math.comb(a + b, a)
            both = mine + reference
            p = relabellings(both if test == "permutation" else ranks(both), a)
    return Comparison(difference, p, smallest, effect, min(a, b), paired=False)


def _small_sample(freedom: int) -> float:
    """Hedges' correction of a standardised difference."""
    return 1 - 3 / (4 * freedom - 1)


def _t_paired(differences: Sequence[float]) -> float:
    n = len(differences)
    return _t_test(statistics.fmean(differences), stdev(differences) / math.sqrt(n), n - 1)


def _t_welch(mine: Sequence[float], reference: Sequence[float]) -> float:
    return _t_test(statistics.fmean(mine) - statistics.fmean(reference), *welch(mine, reference))


def _t_test(difference: float, error: float, freedom: float) -> float:
    if error <= ROUNDING:
        return 1.0 if abs(difference) <= ROUNDING else 0.0
    return 2 * t_below(-abs(difference) / error, freedom)
