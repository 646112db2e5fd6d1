"""The label of the row before: what an accuracy is worth where labels come in runs."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from clbench.data.tensors import TaskData
from clbench.errors import UserError
from clbench.registry import strategy
from clbench.strategy import Learner

from ._rule import Rule


@strategy("persistence", family="bound", role="control")
class Persistence(Rule):
    """Answer the label of the row before in time, which deployment would know by then: no network is trained.

    Žliobaitė 2013 (arXiv:1301.3524): on electricity prices, whose labels come in runs, it reaches 85 % where the
    majority class has 58 %, and many published methods reach less. It needs rows in order of time. Where the row before
    is not known the untrained network answers.

    Cost: none: nothing is trained.
    """

    def __init__(self) -> None:
        super().__init__()
        self.place = 0  # rows of the task that are answered

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Refuse a stream without order, should nothing be evaluated before."""
        _previous(learner.data)

    def before_eval_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Begin a task, whose batches come in order."""
        _previous(learner.data)
        self.place = 0

    def answers(self, learner: Learner) -> Tensor:
        """The labels before."""
        begin, self.place = self.place, self.place + len(learner.mbatch[1])
        return _previous(learner.data)[begin : self.place]


def _previous(data: TaskData) -> Tensor:
    """Labels of the rows before; UserError if rows have no order."""
    if data.previous is None:
        raise UserError(
            "strategy: 'persistence' answers the label of the row before, so it needs rows in order of time, and those "
            "of this stream have none. Run it on a stream of rows with a time, or take 'majority'."
        )
    return data.previous
