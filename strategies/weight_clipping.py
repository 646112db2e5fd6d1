"""Weight clipping."""

from __future__ import annotations

import math
from typing import Any

import torch

from clbench.registry import Positive, strategy
from clbench.strategy import Learner, Strategy

from ._layers import as_matrix, weight_layers


@strategy("weight-clipping", family="regulariser")
class WeightClipping(Strategy):
    """Weight clipping: after each step every weight is held within ±ζ/√fan_in.

    Elsayed et al. 2024 (arXiv:2407.01704): the bound is ζ times that of the uniform initialisation. Weights
    and biases of linear and convolutional layers.
    zeta: ζ, how many times the bound of the initialisation a weight may reach.

    Cost: a look at every weight after each step; nothing is kept.
    """

    def __init__(self, *, zeta: Positive = 2.0) -> None:
        super().__init__()
        self.zeta = zeta
        self.clipped = torch.zeros(())

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Collect the bounds."""
        self.bounds = [
            (layer, self.zeta / math.sqrt(as_matrix(layer.weight).shape[1])) for layer in weight_layers(learner.model)
        ]
        self.clipped = self.clipped.to(learner.device)

    @torch.no_grad()
    def after_update(self, learner: Learner, **kwargs: Any) -> None:
        """Clamp to ±ζ/√fan_in."""
        for layer, bound in self.bounds:
            for parameter in layer.parameters(recurse=False):
                low, high = torch.aminmax(parameter)
                self.clipped += torch.maximum(-low, high) > bound
                parameter.clamp_(-bound, bound)

    def warnings(self) -> list[str]:
        """Say so if no weight ever reached its bound."""
        if self.clipped:
            return []
        return [f"never fired: weight-clipping met no weight beyond ±{self.zeta:g}/√fan_in; lower strategy.zeta"]
