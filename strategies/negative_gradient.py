"""Negative gradients: unlearn what was removed by climbing its loss."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional

from clbench.data.tensors import TaskData
from clbench.registry import Count, Positive, strategy
from clbench.strategy import Learner

from ._request import OnRequest


@strategy("negative-gradient", family="removal")
class NegativeGradient(OnRequest):
    """Climb the loss of what was removed: gradient steps on the removed samples, in the opposite direction.

    A baseline of Golatkar et al. 2020 (arXiv:1911.04933): the loss of a step on removed samples is −r·CE. What stays is
    never looked at. As published nothing bounds the climb, and within few epochs it spoils the whole network; here a
    sample climbs no further than to the loss of a guess: −r·mean_n min(CE_n, ln C).
    rate: r, how large the steps are beside the run's own. epochs: for how many epochs over the removed samples.
    bounded: false lets the climb go on without end.

    Cost: so many epochs over the removed samples for each request, at fine-tuning's cost; nothing is kept.
    """

    def __init__(self, *, rate: Positive = 1.0, epochs: Count = 5, bounded: bool = True) -> None:
        super().__init__()
        self.rate = rate
        self.epochs_on_request = epochs
        self.bounded = bounded

    def training_data(self, learner: Learner, data: TaskData) -> TaskData:
        """The removed samples, once they are asked for."""
        return data if learner.removed is None else learner.removed

    def task_loss(self, learner: Learner) -> Tensor | None:
        """−r·CE of them."""
        if learner.removed is None:
            return None
        losses = functional.cross_entropy(learner.mb_output, learner.mbatch[1], reduction="none")
        if self.bounded:
            losses = losses.clamp_max(math.log(learner.mb_output.shape[1]))
        return -self.rate * losses.mean()

    def repeats(self) -> bool:
        """All steps of a stage are the same."""
        return True
