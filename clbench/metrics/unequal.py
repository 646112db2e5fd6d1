"""Accuracy where classes are of unequal size: every class counts the same, however few samples it has.

Of confusion matrices, one per task; samples with an unknown label (−1) are in none. None where they were not counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from statistics import fmean

from clbench.metrics.registry import Confusion, Course, course_metric, whole_mean


@course_metric()
def balanced_accuracy(course: Course) -> float | None:
    """Mean over tasks of the mean recall of the classes in the task's test set, after the last stage.

    mean_j mean_c (right answers to c / samples of c) over the classes c that occur in task j's test set. Grandini,
    Bagli and Visani 2020 (arXiv:2008.05756); scikit-learn's ``balanced_accuracy_score``.
    """
    return _over_tasks(course, mean_recall)


@course_metric()
def macro_f1(course: Course) -> float | None:
    """Mean over tasks of the mean F1 of the classes that occur there as label or answer, after the last stage.

    mean_j mean_c 2·right answers c / (samples of c + answers c). A class that is never answered has 0, and so has one
    that is answered and does not occur. The mean of F1 scores of Opitz and Burst 2019 (arXiv:1911.03347);
    scikit-learn's ``f1_score(average="macro")``, which takes the same classes.
    """
    return _over_tasks(course, mean_f1)


def mean_recall(confusion: Confusion) -> float | None:
    """Return the mean recall of the classes that occur; None without samples."""
    samples, _, right = _counts(confusion)
    return fmean(right[label] / count for label, count in samples.items()) if samples else None


def mean_f1(confusion: Confusion) -> float | None:
    """Return the mean F1 of the classes that are label or answer; None without samples."""
    samples, answers, right = _counts(confusion)
    classes = samples.keys() | answers.keys()
    return fmean(2 * right[c] / (samples[c] + answers[c]) for c in sorted(classes)) if classes else None


def over(confusions: list[Confusion | None], measure: Callable[[Confusion], float | None]) -> float | None:
    """Return the mean of what each matrix gives; None if one is missing or gives nothing, and of none at all."""
    return whole_mean([None if found is None else measure(found) for found in confusions])


def _over_tasks(course: Course, measure: Callable[[Confusion], float | None]) -> float | None:
    return over([*(course.confusion or ())], measure)


def _counts(confusion: Confusion) -> tuple[Counter[int], Counter[int], Counter[int]]:
    """Samples of each label, times that each class was the answer, and times that it was right."""
    samples, answers, right = Counter[int](), Counter[int](), Counter[int]()
    for label, answer, count in confusion:
        samples[label] += count
        answers[answer] += count
        right[label] += count if answer == label else 0
    return samples, answers, right
