"""Retraining on the latest data."""

from __future__ import annotations

from typing import Literal

from clbench.registry import Count, strategy
from clbench.strategy import Learner

from ._between import BetweenStages
from ._layers import begin_anew


@strategy("window", family="memory")
class Window(BetweenStages):
    """Retraining on a window: each stage trains on the data of the last few, and forgets what is older.

    The usual remedy for drift (Widmer and Kubat 1996, doi:10.1007/BF00116900), and what any cleverer one has to beat.
    size: how many stages' data, the current one's among them.
    start: 'cold' draws every weight anew before each stage, 'warm' goes on from the last one's.

    Cost: each stage trains on ``size`` stages' data, of which all but one are kept.
    """

    method = "window"

    def __init__(self, *, size: Count = 3, start: Literal["cold", "warm"] = "cold") -> None:
        super().__init__()
        self.size = size
        self.start = start

    def stages(self, tasks: int) -> list[list[int]]:
        """Tasks t − size + 1 to t at stage t."""
        return [list(range(max(task + 1 - self.size, 0), task + 1)) for task in range(tasks)]

    def act(self, learner: Learner) -> None:
        """Begin anew, if that is asked for."""
        if self.start == "cold":
            begin_anew(learner)
