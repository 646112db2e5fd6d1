"""What is better than the reference, worse, equal, or open?

The reference is named beforehand: two-sided tests of the differences (``apart``), Holm's correction over all rows
that are compared. A row is *equal* where its true difference lies within the margin with a probability of 95 %, else
*better* or *worse* where its adjusted p is at most 5 %, else *open*.

``python -m tests.bench.answers`` measures false alarms, coverage and power.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from clbench.analysis.apart import NO_POOL, Apart, Values, apart, pool_of
from clbench.analysis.joint import joint_p
from clbench.analysis.moderated import Prior
from clbench.analysis.significance import ALPHA, POWER, Test, compare, enough_seeds, holm
from clbench.analysis.statistics import ROUNDING

Stand = Literal["better", "worse", "equal", "open"]
MOST_SEEDS = 1_000_000


@dataclass(frozen=True)
class Against:
    """How a row stands to its reference: difference (mine − reference) with its interval, p after Holm's correction.

    The interval is at least a 95 % one, as wide as Holm's correction asks of this row, so that it leaves out 0 just
    where p ≤ 5 %; None where a side has a single seed, and where all seeds differ by the same but are too few to be
    sure of the sign. ``n`` seeds are shared (or those of the smaller group, if not ``paired``). ``seeds_needed``, of
    open rows: how many would tell, were difference and spread as they look now. ``apart`` is what p and interval are
    from; ``wins`` the share of seeds in which mine is the better one, ties a half.
    """

    reference: str
    stand: Stand
    difference: float
    low: float | None
    high: float | None
    p: float | None
    n: int
    paired: bool
    seeds_needed: int | None = None
    apart: Apart | None = None
    wins: float | None = None

    @property
    def half_width(self) -> float | None:
        """Half the interval's width."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


@dataclass(frozen=True)
class Question:
    """How rows are judged: is a ``lower`` value better, the ``margin`` of equality, the test."""

    lower: bool
    margin: float
    test: Test = "moderated"


def against(
    rows: Sequence[Values],
    references: Sequence[int | None],
    names: Sequence[str],
    question: Question,
    known: Prior | None = None,
) -> list[Against | None]:
    """Compare each row with its reference, given by its place; None: the row is compared with nothing.

    ``names`` are the rows' labels. Every comparison counts for Holm's correction. ``known``: what the rows say of
    spreads, if that has been asked before.
    """
    pool = (known or pool_of(rows)) if question.test == "moderated" else NO_POOL
    places = [place for place, reference in enumerate(references) if reference is not None]
    pairs = [(rows[place], rows[references[place] or 0]) for place in places]
    found = [apart(mine, other, pool) for mine, other in pairs]
    named = [names[references[place] or 0] for place in places]
    judged = judge(found, named, question, _adjusted(pairs, found, question.test))
    answers: list[Against | None] = [None] * len(rows)
    for place, (mine, other), one in zip(places, pairs, judged, strict=True):
        answers[place] = replace(one, wins=_wins(mine, other, question.lower))
    return answers


def judge(
    found: Sequence[Apart], names: Sequence[str], question: Question, adjusted: Sequence[float | None]
) -> list[Against]:
    """Say of differences, decided together, how they stand; ``names`` are those of the references."""
    levels = [ALPHA] * len(found)
    if question.test in ("moderated", "t"):
        levels = _levels([one.two_sided() for one in found])
    answers = []
    for name, one, p, level in zip(names, found, adjusted, levels, strict=True):
        stand = _stand(one, p, question)
        low, high = one.interval(level) or (None, None)
        needed = _seeds_needed(one, len(found), question.test) if stand == "open" else None
        answers.append(Against(name, stand, one.mean, low, high, p, one.n, one.paired, needed, one))
    return answers


def _wins(mine: Values, other: Values, lower: bool) -> float:
    """Probability of improvement over seeds in pairs, or over all pairs of two groups (Agarwal et al. 2021)."""
    shared = mine.keys() & other.keys()
    pairs = [(mine[s], other[s]) for s in shared] or [(a, b) for a in mine.values() for b in other.values()]
    won = sum((a < b) == lower if a != b else 0.5 for a, b in pairs)
    return won / len(pairs)


def _adjusted(pairs: Sequence[tuple[Values, Values]], found: Sequence[Apart], test: Test) -> list[float | None]:
    """p of each comparison, adjusted for their number."""
    if test == "max-t":
        return joint_p(pairs)
    if test == "moderated" or test == "t":
        return holm_where_tested([one.two_sided() for one in found])
    return holm_where_tested([compare(mine, other, test).p for mine, other in pairs])


def holm_where_tested(ps: Sequence[float | None]) -> list[float | None]:
    """Holm's correction of those p-values that there are."""
    tested = iter(holm([p for p in ps if p is not None]))
    return [None if p is None else next(tested) for p in ps]


def _levels(ps: Sequence[float | None]) -> list[float]:
    """The level at which Holm's method decides on each unadjusted p: α over those that are still in question then.

    Adjusted ones would not do: several may be equal, and their order is what counts.
    """
    tested = sorted((p, place) for place, p in enumerate(ps) if p is not None)
    levels = [ALPHA] * len(ps)
    left, rejecting = len(tested), True
    for p, place in tested:
        levels[place] = ALPHA / left
        rejecting = rejecting and p <= levels[place]
        left -= rejecting
    return levels


def _stand(found: Apart, p: float | None, question: Question) -> Stand:
    inside = found.within(question.margin)
    if inside is not None and inside >= 1 - ALPHA:
        return "equal"
    if p is None or p > ALPHA:
        return "open"
    return "better" if (found.mean < 0) == question.lower else "worse"


def _seeds_needed(found: Apart, comparisons: int, test: Test) -> int | None:
    """Enough for the test to be able to say p ≤ 5 % after the correction, with a power of 80 % (normal approximation).

    None where no number would do, since the difference looks like none, and where nothing is known of its spread.
    """
    from scipy.special import ndtri

    if found.spread is None or abs(found.mean) <= ROUNDING:
        return None
    able = enough_seeds(
        comparisons, "permutation" if (found.error or 0.0) <= ROUNDING else test
    )  # without spread signs alone count
    reach = float(ndtri(1 - ALPHA / comparisons / 2))
    powerful = ((reach + float(ndtri(POWER))) * found.spread / found.mean) ** 2 + reach**2 / 2
    return max(able, found.n + 1, math.ceil(min(powerful, MOST_SEEDS)))
