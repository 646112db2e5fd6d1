"""How well the tasks are known: at the end, on average over time, and just after learning each."""

from __future__ import annotations

from clbench.metrics.registry import Matrix, metric


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
