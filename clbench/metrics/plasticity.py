"""Whether the network can still learn: over warm starts and over long streams."""

from __future__ import annotations

from clbench.metrics.registry import Course, Matrix, course_metric, metric


@metric(stage_per_task=False)
def final_test_accuracy(R: Matrix) -> float | None:
    """Accuracy after the last stage on the one test set that all stages share: R[N][1].

    Shin et al. 2024 (DASH, arXiv:2410.23495), section 5. None where tasks have tests of their own.
    """
    return R[-1][0] if len(R[0]) == 1 else None


@metric(stage_per_task=False)
def mean_test_accuracy(R: Matrix) -> float | None:
    """Mean over stages of the accuracy on the one test set that all stages share: mean_t R[t][1].

    Shin et al. 2024 (DASH, arXiv:2410.23495), table 1. None where tasks have tests of their own.
    """
    return sum(row[0] for row in R[1:]) / (len(R) - 1) if len(R[0]) == 1 else None


@course_metric(better="lower", unit="steps")
def steps_to_threshold(course: Course) -> float | None:
    """Mean over stages of the steps until training accuracy reached its threshold; none if a stage missed it.

    Shin et al. 2024 (DASH, arXiv:2410.23495), section 5. Training accuracy is that of an epoch's own batches, before
    each is trained on.
    """
    if course.reached is None or course.steps is None or not course.steps or not all(course.reached):
        return None
    return sum(course.steps) / len(course.steps)


@course_metric()
def online_accuracy(course: Course) -> float | None:
    """Mean over stages of the prequential accuracy: right answers on each batch before it is trained on.

    Kumar et al. 2023 (arXiv:2308.11958), section 4.2. Over all epochs of a stage; samples that a strategy adds from
    memory do not count.
    """
    return sum(course.online) / len(course.online) if course.online else None


@course_metric()
def online_trend(course: Course) -> float | None:
    """Rise of the online accuracy from first to last stage along its least-squares line; falling: plasticity is lost.

    The fall over tasks is how Dohare et al. 2024 (arXiv:2306.13812) show lost plasticity. None for fewer than three
    stages.
    """
    online = course.online
    if online is None or len(online) < 3:
        return None
    last = len(online) - 1
    # Σ (t − t̄)(a − ā) / Σ (t − t̄)² is the slope per stage, with Σ (t − t̄)² = N(N² − 1)/12
    slope = sum((stage - last / 2) * value for stage, value in enumerate(online))
    slope /= len(online) * (len(online) ** 2 - 1) / 12
    return slope * last
