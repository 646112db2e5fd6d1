"""How much is lost: frameworks mean different things by 'forgetting', so each name says which."""

from __future__ import annotations

from clbench.metrics.registry import Matrix, highest, metric


@metric(better="lower")
def forgetting(R: Matrix) -> float | None:
    """Mean drop from the best earlier accuracy, last task left out: mean_{j<N} (max_{j≤l<N} R[l][j] − R[N][j]).

    Chaudhry et al. 2018 (arXiv:1801.10112), section 3.3. None for a single task.
    """
    tasks = len(R[0])
    if tasks < 2:
        return None
    drops = [highest([R[stage][j] for stage in range(j + 1, tasks)]) - R[tasks][j] for j in range(tasks - 1)]
    return sum(drops) / len(drops)


@metric(better="lower")
def forgetting_first_last(R: Matrix) -> float | None:
    """Mean drop from the accuracy just after learning, last task left out: mean_{j<N} (R[j][j] − R[N][j]).

    Avalanche's definition (Lomonaco et al. 2021, arXiv:2104.00405). None for a single task.
    """
    tasks = len(R[0])
    if tasks < 2:
        return None
    return sum(R[j + 1][j] - R[tasks][j] for j in range(tasks - 1)) / (tasks - 1)


@metric(better="lower")
def forgetting_all_tasks(R: Matrix) -> float:
    """Mean drop from the best accuracy so far, last task included: mean_j (max_l R[l][j] − R[N][j]).

    Lubana et al. 2022 (CoLLAs), section 5; the maximum runs over all trained stages, so it is never negative.
    """
    tasks = len(R[0])
    drops = [highest([R[stage][j] for stage in range(1, tasks + 1)]) - R[tasks][j] for j in range(tasks)]
    return sum(drops) / tasks
