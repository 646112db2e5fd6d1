"""Which may be the best?

Hsu's comparison with the best (Hsu 1984; Hsu 1996, *Multiple Comparisons*, chapter 4): a row
leaves the set if some other one is better by a one-sided test at 5 %/(k − 1). The true best stays in with a
probability of 95 %. To test all rows against the observed best instead is no test: the reference was chosen by looking.

``python -m tests.bench.answers`` measures coverage and power.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

from clbench.analysis.answers import Question
from clbench.analysis.apart import NO_POOL, Values, apart, pool_of
from clbench.analysis.joint import joint_p
from clbench.analysis.moderated import Prior
from clbench.analysis.significance import ALPHA, PairTest, compare

RIVALS = 60  # rows, from the best mean on, that may push others out


def possible_bests(rows: Sequence[Values], question: Question, pool: Prior | None = None) -> list[bool | None]:
    """Say of each row whether it may be the best; None for a row of a single seed, of which nothing can be said.

    Only the leading rows push others out: what holds for fewer comparisons holds all the more for the set. Rows that
    beat each other in a circle, as those may that share few seeds, tell nothing: all of them stay. ``pool``: what more
    rows than these say of spreads.
    """
    sign = -1 if question.lower else 1
    able = [place for place, row in enumerate(rows) if len(row) > 1]
    mine = [{seed: sign * value for seed, value in rows[place].items()} for place in able]
    leading = sorted(range(len(mine)), key=lambda i: -math.fsum(mine[i].values()) / len(mine[i]))[:RIVALS]
    if question.test == "max-t":
        beaten = _beaten_jointly(mine, leading)
    else:
        beats = _judge_of(mine, question.test, pool or pool_of(mine))
        beaten = [any(beats(mine[j], row) for j in leading if j != i) for i, row in enumerate(mine)]
    if all(beaten):
        beaten = [False] * len(beaten)
    answers: list[bool | None] = [None] * len(rows)
    for place, lost in zip(able, beaten, strict=True):
        answers[place] = not lost
    return answers


def _judge_of(
    rows: Sequence[Values], test: PairTest | Literal["moderated"], known: Prior
) -> Callable[[Values, Values], bool]:
    """A one-sided test at 5 %/(k − 1) of whether one row is better than another."""
    level = ALPHA / max(len(rows) - 1, 1)

    def by_shape(mine: Values, other: Values) -> bool:
        p = apart(mine, other, pool).p()
        return p is not None and p <= level

    if test == "moderated" or test == "t":
        pool = known if test == "moderated" else NO_POOL
        return by_shape
    kind = test

    def by_signs(mine: Values, other: Values) -> bool:
        shared = len(mine.keys() & other.keys())
        if shared >= 2 and 0.5**shared > level:  # so few flips never reach it
            return False
        found = compare(mine, other, kind)
        # Arrangements of pairs, and of groups of one size, have mirror images; others may lie on one side alone.
        sides = 2 if found.paired or len(mine) == len(other) else 1
        return found.difference > 0 and found.p is not None and found.p / sides <= level

    return by_signs


def _beaten_jointly(rows: Sequence[Values], leading: Sequence[int]) -> list[bool]:
    pairs = [(j, i) for i in range(len(rows)) for j in leading if i != j]
    ps = joint_p([(rows[j], rows[i]) for j, i in pairs], one_sided=True)
    lost = {i for (_, i), p in zip(pairs, ps, strict=True) if p is not None and p <= ALPHA}
    return [i in lost for i in range(len(rows))]
