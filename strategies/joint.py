"""Bounds that see more data than a continual learner may."""

from __future__ import annotations

from clbench.registry import strategy
from clbench.strategy import Strategy


@strategy("joint", family="bound", version=2, role="bound")
class Joint(Strategy):
    """All tasks' data at once, in one stage: the usual upper bound.

    Multi-task training as in Caruana 1997, doi:10.1023/A:1007379606734. R has one row after training, so metrics
    that follow tasks over time (forgetting, learning accuracy) are not defined. The recipe's epochs are over all data,
    and a budget of steps is that of all stages together.

    Cost: one stage on all data, which must be there at once.
    """

    def stages(self, tasks: int) -> list[list[int]]:
        """One stage with everything."""
        return [list(range(tasks))]


@strategy("cumulative", family="bound", role="bound")
class Cumulative(Strategy):
    """All data so far at each stage, going on from the last stage's weights.

    The bound of Lomonaco and Maltoni 2017 (CORe50, arXiv:1705.03550), section 5. Memory and time grow with tasks, by
    definition.

    Cost: each stage trains on all data so far, so that its time grows with tasks and all data are kept.
    """

    def stages(self, tasks: int) -> list[list[int]]:
        """Tasks 0 to t at stage t."""
        return [list(range(task + 1)) for task in range(tasks)]
