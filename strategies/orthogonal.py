"""Orthogonal weights: the control of racecar training."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from clbench.registry import NonNegative, strategy
from clbench.strategy import Learner

from ._layers import as_matrix
from .parseval import Parseval

Form = Literal["frobenius", "spectral"]


@strategy("orthogonal", family="regulariser")
class Orthogonal(Parseval):
    """Orthogonality constraint: λ‖WᵀW − I‖²_F for every layer, the classifier too.

    The control of Xie and Thuerey 2020 (racecar, arXiv:2007.00024), which a linear layer that reverses itself fulfils.
    Its gradient 4λ(WWᵀ − I)W is that of 'parseval' at s = 1, which leaves the classifier out. Kernels of a convolution
    are laid out as rows.
    form: 'frobenius' is the above; 'spectral' is λ·σ(WᵀW − I), σ the largest |eigenvalue|, the spectral restricted
    isometry of Bansal et al. 2018 (arXiv:1810.09102, eq. 6): of WᵀW or WWᵀ the smaller, as in their code. Its direction
    by a step of power iteration for each training step, where they take two from a random vector.
    lam: λ, the strength.

    Cost: a product of each layer's weights with themselves each step, or a few with a vector; nothing is kept but that
    vector.
    """

    include_head = True

    def __init__(self, *, lam: NonNegative = 3e-5, form: Form = "frobenius") -> None:
        super().__init__(lam=lam, s=1.0)
        self.form = form

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Collect the layers and start the power iteration."""
        super().before_training_exp(learner)
        random = learner.random("power iteration")
        weights = [layer.weight for layer in self.layers]
        self.directions = [torch.randn(min(as_matrix(weight).shape), generator=random).to(weight) for weight in weights]

    @torch.no_grad()
    def before_update(self, learner: Learner, **kwargs: Any) -> None:
        """Add the penalty's gradient to that of layers which have one."""
        if self.form == "frobenius":
            super().before_update(learner)
            return
        for index, layer in enumerate(self.layers):
            if layer.weight.grad is not None:
                found, better = spectral_gradient(layer.weight, self.directions[index], self.lam)
                self.directions[index].copy_(better)
                layer.weight.grad.add_(found)


def spectral_gradient(weight: Tensor, v: Tensor, lam: float) -> tuple[Tensor, Tensor]:
    """∇ λσ(WWᵀ − I), W turned so that it has no more rows than columns, and a better v, the eigenvector [rows].

    σ = uᵀ(WWᵀ − I)v with u = (WWᵀ − I)v/‖…‖, so ∇σ = (uvᵀ + vuᵀ)W.
    """
    matrix = as_matrix(weight)
    turned = matrix.shape[0] > matrix.shape[1]
    rows = matrix.T if turned else matrix
    v = normalize(v, dim=0)
    u = normalize(rows @ (rows.T @ v) - v, dim=0)
    found = lam * (torch.outer(u, v @ rows) + torch.outer(v, u @ rows))
    return (found.T if turned else found).reshape(weight.shape), u
