"""Orthogonal weights: the control of racecar training."""

from __future__ import annotations

from typing import Any

import torch

from clbench.registry import NonNegative, strategy
from clbench.strategy import Learner, Strategy

from ._layers import weight_layers
from .parseval import gradient


@strategy("orthogonal")
class Orthogonal(Strategy):
    """Orthogonality constraint: λ‖WᵀW − I‖²_F for every layer, the classifier too.

    The control of Xie and Thuerey 2020 (racecar, arXiv:2007.00024), which a linear layer that reverses itself fulfils.
    Its gradient 4λ(WWᵀ − I)W is that of 'parseval', which leaves the classifier out. Kernels of a convolution are laid
    out as rows.
    """

    def __init__(self, *, lam: NonNegative = 1e-4) -> None:
        super().__init__()
        self.lam = lam

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Collect the layers."""
        self.layers = weight_layers(learner.model)

    @torch.no_grad()
    def before_update(self, learner: Learner, **kwargs: Any) -> None:
        """Add 4λ(WWᵀ − I)W to the gradient, where the batch has used the layer."""
        for layer in self.layers:
            if layer.weight.grad is not None:
                layer.weight.grad.add_(gradient(layer.weight, self.lam))
