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
from clbench.analysis.statistics import ROUNDING, stdev, t_below, welch

PairTest = Literal["permutation", "wilcoxon", "t"]
Test = Literal["moderated", "permutation", "max-t", "wilcoxon", "t"]
Values = Mapping[int, float]  # by seed
ALPHA = 0.05
POWER = 0.8


@dataclass(frozen=True)
class Comparison:
    """Method against reference: mean difference, p-value, and on how many seeds.

    ``p`` is None where a side has too few seeds for any test.
    """

    difference: float
    p: float | None
    n: int
    paired: bool


def compare(mine: Values, reference: Values, test: PairTest = "permutation") -> Comparison:
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
    """Return the least number of paired seeds with which a test can say p ≤ 0.05 after correction."""
    if test in ("t", "moderated"):
        return 2
    # Flips of all comparisons at once pay nothing for their number.
    return math.ceil(1 - math.log2(ALPHA / (1 if test == "max-t" else max(comparisons, 1))))


def _paired(differences: list[float], test: PairTest) -> Comparison:
    n = len(differences)
    p = None
    if n > 1 and test == "t":
        p = _t_test(statistics.fmean(differences), stdev(differences) / math.sqrt(n), n - 1, n)
    elif n > 1:
        p = sign_flips(differences if test == "permutation" else signed_ranks(differences))
    return Comparison(statistics.fmean(differences), p, n, paired=True)


def _groups(mine: list[float], reference: list[float], test: PairTest) -> Comparison:
    a, b = len(mine), len(reference)
    difference = statistics.fmean(mine) - statistics.fmean(reference)
    p = None
    if a > 1 and b > 1 and test == "t":
        p = _t_test(difference, *welch(mine, reference), min(a, b))
    elif a > 1 and b > 1:
        both = mine + reference
        p = relabellings(both if test == "permutation" else ranks(both), a)
    return Comparison(difference, p, min(a, b), paired=False)


def _t_test(difference: float, error: float, freedom: float, n: int) -> float:
    """Two-sided p; where all n differ by the same, t would be certain, and the signs alone count."""
    if error <= ROUNDING:
        return 1.0 if abs(difference) <= ROUNDING else 0.5 ** (n - 1)
    return 2 * t_below(-abs(difference) / error, freedom)
