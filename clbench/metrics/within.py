"""What happens inside stages, which R does not see: for runs with ``evaluate_steps``.

De Lange et al. 2023 (arXiv:2205.13452). "Over a stage" is over the evaluations inside it and the one at its end. None
where a run does not evaluate inside its stages, or a stage that has old tasks is too short for that.
"""

from __future__ import annotations

import math
from statistics import fmean

from clbench.metrics.registry import Course, course_metric

Seen = dict[tuple[int, int], list[float]]  # (stage, old task) → its accuracies over the stage, its end's last


@course_metric(better="lower")
def stability_gap(course: Course) -> float | None:
    """Mean drop of old tasks inside stages: mean_{t>1, j<t} (R[t−1][j] − min over stage t of the accuracy on j).

    After De Lange et al. 2023 (arXiv:2205.13452), who found that old tasks are lost as a stage begins even where they
    are regained by its end; that end is forgetting's. The mean is over all pairs of a stage and a task that an earlier
    stage has trained. Negative where no evaluation was below the one before the stage.
    """
    seen = _seen(course)
    if not seen:
        return None
    before = {(stage, task): _number(course.accuracy[stage - 1][task]) for stage, task in seen}
    return _known(fmean(before[pair] - _lowest(found) for pair, found in seen.items()))


@course_metric()
def min_accuracy(course: Course) -> float | None:
    """Mean over tasks of the lowest accuracy since learnt, last task left out: mean_{j<N} min over stages j+1 to N.

    min-ACC of De Lange et al. 2023 (arXiv:2205.13452), section 3. None where stages train several tasks.
    """
    seen = _seen(course)
    tasks = len(course.accuracy[-1]) if course.accuracy else 0
    if not seen or len(course.accuracy) != tasks + 1:
        return None
    lowest = [_lowest([_lowest(found) for (_, one), found in seen.items() if one == task]) for task in range(tasks - 1)]
    return _known(fmean(lowest))


@course_metric()
def worst_case_accuracy(course: Course) -> float | None:
    """Last task's accuracy and the others' lowest: R[N][N]/N + (1 − 1/N)·min_accuracy.

    WC-ACC of De Lange et al. 2023 (arXiv:2205.13452), section 3.
    """
    lowest = min_accuracy(course)
    if lowest is None:
        return None
    last = course.accuracy[-1]
    return _known(_number(last[-1]) / len(last) + (1 - 1 / len(last)) * lowest)


@course_metric()
def anytime_accuracy(course: Course) -> float | None:
    """Mean accuracy on all classes seen so far, asked every so many steps of every stage, class-incremental streams.

    A_AUC of Koh et al. 2022 (arXiv:2110.10031), section 3: the area under the curve of accuracy over steps, as the
    authors compute it, the mean of evaluations at equal distances. A class is seen from the first step whose batch has
    a sample of it, replay apart, in whatever stage that is; each of the seen classes' scored samples counts once. Where
    borders are blurred a class is seen long before the task that it belongs to.
    """
    known = [value for stage in course.seen or () for value in stage if value is not None]
    return fmean(known) if known else None


def _seen(course: Course) -> Seen:
    """Accuracies of each old task over each stage; nothing where a stage lacks evaluations inside."""
    found: Seen = {}
    if course.within is None or course.tasks is None:
        return found
    old: set[int] = set()
    for stage, (trained, rows) in enumerate(zip(course.tasks, course.within, strict=False), start=1):
        end = course.accuracy[stage]
        for task in sorted(old & set(range(len(end)))):
            if not rows:
                return {}
            found[stage, task] = [_number(row[task]) for row in (*rows, end)]
        old |= set(trained)
    return found


def _lowest(values: list[float]) -> float:
    return math.nan if any(map(math.isnan, values)) else min(values)


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
