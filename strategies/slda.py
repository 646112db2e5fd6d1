"""Streaming linear discriminant analysis on frozen features."""

from __future__ import annotations

import torch
from torch import Tensor

from clbench.registry import UnitInterval, strategy
from clbench.strategy import Learner

from ._frozen_features import First, blocks
from .ncm import ClassMeans


@strategy("slda", family="frozen")
class StreamingLDA(ClassMeans):
    """Streaming linear discriminant analysis: running class means and one covariance on frozen features.

    Hayes and Kanan 2020 (arXiv:1909.01520), eq. 2: w_c = Λμ_c, b_c = −½·μ_c·Λμ_c with Λ = [(1−ε)Σ + εI]⁻¹, where Σ is
    the covariance within classes, Σ_c Σ_i (f_i − μ_c)(f_i − μ_c)ᵀ / n. It comes from sums of f and ffᵀ, and so is exact
    whatever the order of the data; the paper's running update measures each sample from the mean before it, which
    depends on the order.
    shrinkage: ε. first: as for 'ncm'.

    Cost: the first stage is fine-tuning's, later ones have no step; one forward pass over each stage's data when it
    ends, d² products for each sample and one d×d inverse; 8·d² bytes, and 16·d for each class.
    """

    def __init__(self, *, shrinkage: UnitInterval = 1e-4, first: First = "train") -> None:
        super().__init__(first)
        self.shrinkage = shrinkage
        self.moment: Tensor | None = None  # Σ ffᵀ over all samples, [d, d]
        self.weights = torch.empty(0)  # [rows, d]

    def learn(self, learner: Learner, features: Tensor, rows: Tensor) -> None:
        """Add the stage's samples, and make the classifier."""
        super().learn(learner, features, rows)
        if self.moment is None:
            width = features.shape[1]
            self.moment = torch.zeros(width, width, dtype=torch.float64, device=features.device)
        for part, _ in blocks(features, rows, len(self.counts)):
            self.moment += part.T @ part
        means, eye = self.means(), torch.eye(len(self.moment), dtype=torch.float64, device=features.device)
        # Σ = (Σ_i ffᵀ − Σ_c n_c·μ_c·μ_cᵀ) / n
        covariance = (self.moment - (means * self.counts[:, None]).T @ means) / self.counts.sum()
        mixed = (1 - self.shrinkage) * covariance + self.shrinkage * eye
        self.weights = means @ torch.linalg.pinv(mixed, hermitian=True)  # not the inverse: ε may be 0

    def scores(self, features: Tensor, rows: slice) -> Tensor:
        """f·w_c + b_c."""
        weights = self.weights[rows]
        return features.double() @ weights.T - 0.5 * (self.means(rows) * weights).sum(1)
