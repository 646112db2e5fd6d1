"""Regularisers of a layer's singular values: Parseval and spectral."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from clbench.registry import Count, NonNegative, Positive, strategy
from clbench.strategy import Learner, Strategy

from ._layers import as_matrix, weight_layers


@strategy("parseval", family="regulariser")
class Parseval(Strategy):
    """Parseval regularisation: λ‖WWᵀ − sI‖²_F for every layer but the classifier keeps its rows orthogonal.

    Chung et al. 2024 (arXiv:2412.07224), after Cisse et al. 2017 (arXiv:1704.08847), where s is 1. Kernels of a
    convolution are laid out as rows. Their code scales λ with (64/width)², since it was chosen for 64 units: here λ is
    what is given.
    lam: λ, the strength.
    s: squared length of the rows; 2 in their code, the square of the gain √2 with which networks begin there.

    Cost: a product of each layer's weights with themselves each step; nothing is kept.
    """

    include_head: ClassVar[bool] = False

    def __init__(self, *, lam: NonNegative = 0.0001, s: Positive = 2.0) -> None:
        super().__init__()
        self.lam = lam
        self.s = s

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Collect the layers."""
        self.layers = weight_layers(learner.model, self.include_head)

    def repeats(self) -> bool:
        """Each step does the same to the same tensors."""
        return True

    @torch.no_grad()
    def before_update(self, learner: Learner, **kwargs: Any) -> None:
        """Add 4λ(WWᵀ − sI)W to the gradient."""
        for layer in self.layers:
            if layer.weight.grad is not None:
                layer.weight.grad.add_(gradient(layer.weight, self.lam, self.s))


def gradient(weight: Tensor, lam: float, s: float) -> Tensor:
    """∇ λ‖WWᵀ − sI‖²_F = 4λ(WWᵀ − sI)W."""
    rows = as_matrix(weight)
    gram = rows @ rows.T
    gram.diagonal().sub_(s)
    return (4 * lam * gram @ rows).view_as(weight)


@strategy("spectral-reg", family="regulariser")
class SpectralReg(Strategy):
    """Spectral regularisation: λ·Σ_l (σ_max(W_l)^k − 1)² keeps every layer's largest singular value near 1.

    Lewandowski et al. 2024 (arXiv:2406.06811). σ_max by one step of power iteration for each training step, as
    there. Every linear and convolutional layer; the bias term of the paper is left out.
    lam: λ, the strength. k: power of the singular value.

    Cost: two products of each layer's weights with a vector each step; a vector for each layer.
    """

    def __init__(self, *, lam: NonNegative = 0.0003, k: Count = 2) -> None:
        super().__init__()
        self.lam = lam
        self.k = k

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Collect the layers and start the power iteration."""
        random = learner.random("power iteration")
        self.layers = weight_layers(learner.model)
        weights = [layer.weight for layer in self.layers]
        self.left = [torch.randn(len(weight), generator=random).to(weight) for weight in weights]

    def repeats(self) -> bool:
        """Each step does the same to the same tensors."""
        return True

    @torch.no_grad()
    def before_update(self, learner: Learner, **kwargs: Any) -> None:
        """Add 2λ(σ^k − 1)kσ^(k−1)·uvᵀ to the gradient."""
        for index, layer in enumerate(self.layers):
            if layer.weight.grad is not None:
                rows = as_matrix(layer.weight)
                v = torch.nn.functional.normalize(rows.T @ self.left[index], dim=0)
                u = rows @ v
                sigma = u.norm()
                u = u / (sigma + 1e-12)
                self.left[index].copy_(u)
                slope = 2 * self.lam * (sigma**self.k - 1) * self.k * sigma ** (self.k - 1)
                layer.weight.grad.add_((slope * torch.outer(u, v)).view_as(layer.weight))
