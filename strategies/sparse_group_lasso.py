"""Sparse networks: groups and elements of weights that become exactly 0."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from clbench.registry import NonNegative, Positive, strategy
from clbench.strategy import Learner, Strategy

from ._layers import as_matrix, weight_layers
from ._thresholds import group, hard, l1_minus_l2, soft, transformed_l1

Penalty = Literal["l1", "tl1", "l1-l2", "l0"]


@strategy("sparse-group-lasso", family="regulariser")
class SparseGroupLasso(Strategy):
    """Sparse group lasso: λ·(Σ_g √|g|·‖w_g‖₂ + Σ r(w)), a group for each unit or map; by thresholding after each step.

    Bui et al. 2021 (arXiv:1912.08868): r is ℓ1, transformed ℓ1 (a+1)|w|/(a+|w|), ℓ1 − ℓ2 of the layer, or ℓ0. After
    the optimiser's step w ← prox of λη·r, then of λη times the group norms (η: the learning rate): for 'l1' the exact
    step of the sum, for the others one step of each in turn. Linear and convolutional layers but the classifier.
    'clbench run --diagnostics' measures the weights that are 0 and the groups that live.
    lam: λ, the strength. penalty: r, 'l1', 'tl1' (transformed ℓ1), 'l1-l2' or 'l0'. a: of transformed ℓ1, the smaller
    the nearer to ℓ0.

    Cost: a pass over each layer's weights after each step; nothing is kept.
    """

    def __init__(self, *, lam: NonNegative = 3e-5, penalty: Penalty = "tl1", a: Positive = 1.0) -> None:
        super().__init__()
        self.lam = lam
        self.penalty = penalty
        self.a = a

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Collect the layers."""
        layers = weight_layers(learner.model, include_head=False)
        self.layers = [layer for layer in layers if layer.weight.requires_grad]

    @torch.no_grad()
    def after_update(self, learner: Learner, **kwargs: Any) -> None:
        """Threshold."""
        t = self.lam * learner.optimizer.param_groups[0]["lr"]
        if t:
            for layer in self.layers:
                rows = as_matrix(layer.weight)
                elements, scale = self._elements(rows, t)
                group(elements, t, scale, out=rows)
                if not layer.weight.is_contiguous():  # the rows are a copy
                    layer.weight.copy_(rows.view_as(layer.weight))

    def _elements(self, rows: Tensor, t: float) -> tuple[Tensor, Tensor | float]:
        """The element-wise step, as a tensor and what it is to be multiplied with."""
        match self.penalty:
            case "l1":
                return soft(rows, t), 1.0
            case "tl1":
                return transformed_l1(rows, t, self.a), 1.0
            case "l1-l2":
                return l1_minus_l2(rows, t)
            case "l0":
                return hard(rows, t), 1.0
