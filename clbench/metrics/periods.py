"""Streams in time: how good a model is on the period that comes, which nobody has seen when it is used.

None where tasks are no periods, or a stage does not train one of its own. R[t][t+1] is the accuracy on the period after
stage t's; the last stage has none.
"""

from __future__ import annotations

from collections import defaultdict
from statistics import fmean
from typing import NamedTuple

from clbench.metrics.registry import Course, course_metric, whole_mean
from clbench.metrics.unequal import mean_recall, over


class Age(NamedTuple):
    """Mean accuracy of models that are ``periods`` old, over so many ``stages``; negative: on periods before theirs."""

    periods: int
    accuracy: float
    stages: int


@course_metric()
def next_period_accuracy(course: Course) -> float | None:
    """Mean over stages of the accuracy on the next period, which is what deployment sees: mean_{t<N} R[t][t+1].

    Next-domain accuracy of Lin et al. 2021 (CLEAR, arXiv:2201.06289).
    """
    return whole_mean([after for _, after in _now_and_next(course)])


@course_metric(better="lower")
def next_period_drop(course: Course) -> float | None:
    """Mean fall from a stage's own period to the next, how fast a model ages: mean_{t<N} (R[t][t] − R[t][t+1]).

    In-domain less next-domain accuracy of Lin et al. 2021 (CLEAR, arXiv:2201.06289), the last stage left out. Negative
    where the next period is easier.
    """
    pairs = _now_and_next(course)
    return whole_mean([None if now is None or after is None else now - after for now, after in pairs])


@course_metric()
def next_period_balanced_accuracy(course: Course) -> float | None:
    """Mean over stages of the balanced accuracy on the next period, every class that occurs in it counting the same.

    As ``next_period_accuracy`` (Lin et al. 2021, arXiv:2201.06289), with the recall of ``balanced_accuracy``.
    """
    return over([*(course.ahead or ())], mean_recall) if _now_and_next(course) else None


def age_curve(course: Course) -> list[Age]:
    """Return the mean accuracy on period t + k after stage t, for each k that there is, the smallest first.

    k = 0 is a stage's own period, k = 1 the next. Each mean is over fewer stages the larger |k| is, and over other
    ones. Cells that were not evaluated are left out. Empty where tasks are no periods.
    """
    found = defaultdict(list)
    for stage, row in enumerate(course.accuracy[1:] if _is_in_time(course) else ()):
        for period, value in enumerate(row):
            if value is not None:
                found[period - stage].append(value)
    return [Age(age, fmean(values), len(values)) for age, values in sorted(found.items())]


def _is_in_time(course: Course) -> bool:
    R = course.accuracy
    return course.periods and len(R) > 1 and len(R) == len(R[0]) + 1


def _now_and_next(course: Course) -> list[tuple[float | None, float | None]]:
    """Of each stage but the last, the accuracy on its own period and on the next."""
    R = course.accuracy
    return [(R[t + 1][t], R[t + 1][t + 1]) for t in range(len(R) - 2)] if _is_in_time(course) else []
