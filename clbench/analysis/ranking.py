"""Across scenarios: mean ranks, and how far apart they must be to mean something."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from clbench.analysis.compare import Leaderboard, better
from clbench.analysis.significance import ALPHA


@dataclass(frozen=True)
class Ranking:
    """Mean ranks over leaderboards, best first.

    ``critical`` is Nemenyi's critical difference at 5 %: methods whose mean ranks are closer are not told apart.
    ``groups`` are the largest sets of neighbours that are not told apart. ``p`` is Friedman's test that all are alike.
    """

    scenarios: list[str]
    ranks: dict[str, float]
    critical: float
    groups: list[list[str]]
    p: float

    @property
    def tells(self) -> bool:
        """Whether any two methods are told apart."""
        return self.p <= ALPHA and not any(len(group) == len(self.ranks) for group in self.groups)


def ranking(boards: Sequence[Leaderboard]) -> Ranking | None:
    """Rank the methods that are in every board (Demšar 2006, JMLR 7); None with fewer than two of either.

    A board counts once, by its means over seeds; equal means share their rank; a method that diverged, or whose
    numbers are spoilt there, comes last.
    """
    names = [{name for entry in board.entries for name in entry.names} for board in boards]
    shared = sorted(set.intersection(*names)) if names else []
    k, n = len(shared), len(boards)
    if k < 2 or n < 2:
        return None
    sums = dict.fromkeys(shared, 0.0)
    for board in boards:
        for label, rank in _board_ranks(board, shared).items():
            sums[label] += rank
    ranks = {label: total / n for label, total in sorted(sums.items(), key=lambda pair: (pair[1], pair[0]))}
    critical = studentized_range(1 - ALPHA, k) / math.sqrt(2) * math.sqrt(k * (k + 1) / (6 * n))
    return Ranking([board.title for board in boards], ranks, critical, _groups(ranks, critical), _friedman(ranks, n))


def _board_ranks(board: Leaderboard, labels: Sequence[str]) -> dict[str, float]:
    """Ranks among the given labels."""
    wanted = set(labels)
    sign = 1 if better(board.metrics[0]) == "lower" else -1
    scores = {}
    for entry in board.entries:
        for label in wanted.intersection(entry.names):
            found = entry.estimates[board.metrics[0]]
            scores[label] = math.inf if found is None or entry.spoilt else sign * found.mean
    ordered = sorted(scores.values())
    # Those below, and half of those that are equal, itself among them.
    return {
        label: 0.5 + (bisect_left(ordered, mine) + bisect_right(ordered, mine)) / 2 for label, mine in scores.items()
    }


def _groups(ranks: dict[str, float], critical: float) -> list[list[str]]:
    """Runs of neighbours within the critical difference that are not part of a longer one."""
    labels, places = list(ranks), list(ranks.values())
    groups: list[list[str]] = []
    reached = 0
    for start in range(len(labels)):
        end = bisect_right(places, critical, lo=start, key=lambda place: place - places[start])
        if end > reached and end - start > 1:
            groups.append(labels[start:end])
            reached = end
    return groups


def _friedman(ranks: dict[str, float], n: int) -> float:
    """p of Friedman's chi-squared (Demšar 2006, section 3.2.2; ties are not corrected for)."""
    from scipy.special import chdtrc

    k = len(ranks)
    chi = 12 * n / (k * (k + 1)) * (sum(rank**2 for rank in ranks.values()) - k * (k + 1) ** 2 / 4)
    return float(chdtrc(k - 1, max(chi, 0.0)))


def studentized_range(share: float, groups: int) -> float:
    """Return a quantile of the range of so many standard normal variables, by bisection.

    P(range ≤ q) = k ∫ φ(z) (Φ(z) − Φ(z−q))^(k−1) dz. SciPy's own, for any degrees of freedom, takes seconds.
    """
    import numpy as np
    from scipy.special import ndtr

    z, step = np.linspace(-9, 9, 3601, retstep=True)
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    low, high = 0.0, 20.0
    for _ in range(60):
        q = (low + high) / 2
        inside = groups * float((density * (ndtr(z) - ndtr(z - q)) ** (groups - 1)).sum()) * step
        low, high = (q, high) if inside < share else (low, q)
    return (low + high) / 2
