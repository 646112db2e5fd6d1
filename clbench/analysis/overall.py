"""Over several boards: how far a method is from the reference on average, and how often it is the better one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from clbench.analysis.answers import Against, Question, holm_where_tested, judge
from clbench.analysis.apart import Apart
from clbench.analysis.boards import Entry, Leaderboard
from clbench.analysis.statistics import ROUNDING


@dataclass(frozen=True)
class Overall:
    """A method over boards: its mean difference to the reference, judged as on one board, and its probability of
    improvement, the mean over boards of the share of seeds in which it is the better one (Agarwal et al. 2021,
    arXiv:2108.13264, here in pairs of seeds).
    """

    label: str
    against: Against
    improvement: float


@dataclass(frozen=True)
class AcrossBoards:
    """What holds over several boards, the best first. The boards are the question, not a sample of others."""

    boards: list[str]
    reference: str
    rows: list[Overall]


def across(boards: Sequence[Leaderboard], lower: bool) -> AcrossBoards | None:
    """Return what holds over the boards for methods that stand against the same reference in all; None if none does.

    The difference is the mean of the boards' differences, each board counting once; its error is that of a mean of
    independent ones, with Satterthwaite's degrees of freedom. ``lower``: whether the first column is better so.
    """
    columns = {board.metrics[0] for board in boards}
    names = {board.reference for board in boards}
    if len(boards) < 2 or len(columns) > 1 or len(names) > 1 or "" in names:
        return None
    methods = {entry.label for board in boards for entry in board.of_role("method")}
    found: dict[str, list[Against]] = {}
    for board in boards:
        for entry in board.entries:
            # A method may be another one's other name where it never acts, the reference's too.
            stand = _no_difference(entry) if entry.label == board.reference else entry.against
            for name in methods.intersection(entry.names):
                if stand is not None and name != board.reference:
                    found.setdefault(name, []).append(stand)
    whole = {label: ones for label, ones in found.items() if len(ones) == len(boards)}
    if not whole:
        return None
    means = [_mean([one.apart for one in ones if one.apart is not None]) for ones in whole.values()]
    question = Question(lower, fmean(board.margin for board in boards))
    name = names.pop()
    judged = judge(means, [name] * len(means), question, holm_where_tested([one.two_sided() for one in means]))
    rows = [
        Overall(label, one, fmean(against.wins or 0.0 for against in ones))
        for (label, ones), one in zip(whole.items(), judged, strict=True)
    ]
    rows.sort(key=lambda row: (row.against.difference if lower else -row.against.difference, row.label))
    return AcrossBoards([board.title for board in boards], name, rows)


def _no_difference(entry: Entry) -> Against:
    n = len(entry.seeds)
    return Against(entry.label, "equal", 0.0, 0.0, 0.0, 1.0, n, True, apart=Apart(0.0, 0.0, 1.0, n, True), wins=0.5)


def _mean(found: Sequence[Apart]) -> Apart:
    count, n = len(found), min(one.n for one in found)
    mean = fmean(one.mean for one in found)
    parts = [((one.error or 0.0) ** 2, one.freedom) for one in found]
    total = sum(square for square, _ in parts)
    paired = all(one.paired for one in found)
    if any(one.error is None for one in found):
        return Apart(mean, None, 0.0, n, paired)
    if math.sqrt(total) <= ROUNDING:
        return Apart(mean, 0.0, 1.0, n, paired)
    freedom = total**2 / sum(square**2 / one_freedom for square, one_freedom in parts if square)
    return Apart(mean, math.sqrt(total) / count, freedom, n, paired)
