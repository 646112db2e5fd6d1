"""How well the tasks are known: at the end, on average over time, and just after learning each."""

from __future__ import annotations

from clbench.metrics.registry import Course, Matrix, course_metric, metric, whole_mean


@metric(stage_per_task=False)
def average_accuracy(R: Matrix) -> float:
    """Mean accuracy over all tasks after the last stage: mean_j R[N][j].

    Lopez-Paz and Ranzato 2017 (arXiv:1706.08840), eq. 2.
    """
    return sum(R[-1]) / len(R[-1])


@metric()
def average_incremental_accuracy(R: Matrix) -> float:
    """Mean over stages t of the mean accuracy on the tasks seen so far: mean_t mean_{j≤t} R[t][j].

    Rebuffi et al. 2017 (iCaRL, arXiv:1611.07725), section 4.
    """
    return sum(sum(row[:t]) / t for t, row in enumerate(R[1:], start=1)) / (len(R) - 1)


@metric()
def learning_accuracy(R: Matrix) -> float:
    """Mean accuracy on each task just after learning it (plasticity): mean_j R[j][j].

    Riemer et al. 2019 (arXiv:1810.11910), section 5.
    """
    return sum(R[j + 1][j] for j in range(len(R[0]))) / len(R[0])


@course_metric()
def last_accuracy_over_samples(course: Course) -> float | None:
    """Accuracy after the last stage on the test samples of all tasks together: Σ_j n_j R[N][j] / Σ_j n_j.

    n_j is how many scored samples task j has. The "last accuracy" of class-incremental papers (Rebuffi et al. 2017,
    arXiv:1611.07725; Hou et al. 2019, doi:10.1109/CVPR.2019.00092), where a first task may have half of the classes;
    average_accuracy counts each task the same.
    """
    rows = _over_samples(course)
    return rows[-1] if rows else None


@course_metric()
def average_incremental_accuracy_over_samples(course: Course) -> float | None:
    """Mean over stages t of the accuracy on the test samples of all tasks seen so far, as one test set.

    mean_t Σ_{j≤t} n_j R[t][j] / Σ_{j≤t} n_j. The "average incremental accuracy" of class-incremental papers (Rebuffi et
    al. 2017, arXiv:1611.07725, section 4), where tasks may be of unequal size. None where stages train several tasks.
    """
    if len(course.accuracy) != len(course.accuracy[-1] if course.accuracy else ()) + 1:
        return None
    return whole_mean(_over_samples(course))


def _over_samples(course: Course) -> list[float | None]:
    """After each stage the share of right answers on the samples of all tasks trained so far."""
    if course.tested is None or course.tasks is None or len(course.tasks) != len(course.accuracy) - 1:
        return []
    seen: set[int] = set()
    found: list[float | None] = []
    for row, tasks in zip(course.accuracy[1:], course.tasks, strict=True):
        seen |= {task for task in tasks if task < len(course.tested)}
        own = [(course.tested[task], row[task]) for task in sorted(seen)]
        right = [count * value for count, value in own if value is not None]
        found.append(sum(right) / sum(count for count, _ in own) if own and len(right) == len(own) else None)
    return found
