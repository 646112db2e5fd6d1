"""What tasks do for each other."""

from __future__ import annotations

from clbench.metrics.registry import Matrix, metric


@metric()
def backward_transfer(R: Matrix) -> float | None:
    """Mean change since learning, last task left out: mean_{j<N} (R[N][j] − R[j][j]).

    Lopez-Paz and Ranzato 2017 (arXiv:1706.08840), eq. 3. None for a single task.
    """
    tasks = len(R[0])
    if tasks < 2:
        return None
    return sum(R[tasks][j] - R[j + 1][j] for j in range(tasks - 1)) / (tasks - 1)


@metric()
def forward_transfer(R: Matrix) -> float | None:
    """Mean gain on a task just before learning it, over the untrained network: mean_{j>1} (R[j−1][j] − R[0][j]).

    Lopez-Paz and Ranzato 2017 (arXiv:1706.08840), eq. 4. None for a single task.
    """
    tasks = len(R[0])
    if tasks < 2:
        return None
    return sum(R[j][j] - R[0][j] for j in range(1, tasks)) / (tasks - 1)
