"""Retraining: what every way to forget is measured against."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from clbench.models.copies import bare_copy
from clbench.registry import strategy
from clbench.strategy import Learner

from ._layers import forget_optimizer
from ._request import OnRequest


@strategy("retrain", family="removal", role="bound")
class Retrain(OnRequest):
    """Retrain without what was removed: begin again with the first weights and train on what stays alone.

    The truth that others approximate (Golatkar et al. 2020, arXiv:1911.04933; Bourtoule et al. 2021, arXiv:1912.03817).
    The weights that the run began with come back, pretrained ones too, and so does everything else in the network; then
    it trains for as long as at first. Only the order of batches is another.

    Cost: a whole training more for each request; a copy of the network as it began.
    """

    epochs_on_request = None

    def __init__(self) -> None:
        super().__init__()
        self.start: nn.Module | None = None

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Remember the first weights, or go back to them."""
        if self.start is None:
            self.start = bare_copy(learner.model)
        if learner.removed is None:
            return
        forget_optimizer(learner)
        with torch.no_grad():
            for mine, first in zip(learner.model.parameters(), self.start.parameters(), strict=True):
                mine.copy_(first)
            for buffer, unused in zip(learner.model.buffers(), self.start.buffers(), strict=True):
                buffer.copy_(unused)
