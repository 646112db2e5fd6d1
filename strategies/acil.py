"""Analytic class-incremental learning: recursive ridge regression on frozen features."""

from __future__ import annotations

import torch
from torch import Tensor

from clbench.registry import Count, Positive, strategy
from clbench.strategy import Learner, grown

from ._frozen_features import Expansion, First, FrozenFeatures, blocks

RECURSION = 512  # samples of one update: its inverse is as large


@strategy("acil", family="frozen")
class AnalyticLearning(FrozenFeatures):
    """Analytic class-incremental learning: recursive ridge regression, exactly that on all data so far.

    Zhuang et al. 2022 (arXiv:2205.14922), theorem 1: with R = (HᵀH + γI)⁻¹ of all samples so far, those that come next,
    X with one-hot Y, give R ← R − RXᵀ(I + XRXᵀ)⁻¹XR and W ← W + RXᵀ(Y − XW). H are features expanded to random
    rectified projections, relu(f·B) with B ~ N(0, 1/d).
    units: how many projections; null: features as they are. gamma: γ. first: as for 'ncm'.

    Cost: the first stage is fine-tuning's, later ones have no step; one forward pass over each stage's data when it
    ends, and four times units² products for each sample; 8·units² bytes, and 8·units for each class.
    """

    def __init__(self, *, units: Count | None = 1000, gamma: Positive = 0.1, first: First = "train") -> None:
        super().__init__(first)
        self.units = units
        self.gamma = gamma
        self.expand: Expansion | None = None
        self.inverse: Tensor | None = None  # R, [units, units]
        self.weights: Tensor | None = None  # Wᵀ, [rows, units]

    def expanded(self, features: Tensor) -> Tensor:
        """H of features [n, d]."""
        return features if self.expand is None else self.expand(features)

    def learn(self, learner: Learner, features: Tensor, rows: Tensor) -> None:
        """Update R and W, some samples at a time."""
        width = features.shape[1]
        if self.inverse is None:
            if self.units is not None:
                self.expand = Expansion(features, self.units, learner.random("random projections"), width**-0.5)
            eye = torch.eye(self.units or width, dtype=torch.float64, device=features.device)
            self.inverse = eye / self.gamma
        inverse = self.inverse
        weights = grown(self.weights, inverse.new_zeros(len(self.counts), len(inverse)))
        for inputs, one_hot in blocks(self.expanded(features), rows, len(self.counts), RECURSION):
            # R ← R − RXᵀ(I + XRXᵀ)⁻¹XR
            spread = inputs @ inverse
            inner = spread @ inputs.T
            inner.diagonal().add_(1.0)
            inverse = inverse - spread.T @ torch.cholesky_solve(spread, torch.linalg.cholesky(inner))
            inverse = (inverse + inverse.T) / 2  # rounding must not add up to something lopsided
            # W ← W + RXᵀ(Y − XW)
            weights = weights + (one_hot - inputs @ weights.T).T @ inputs @ inverse
        self.inverse, self.weights = inverse, weights

    def scores(self, features: Tensor, rows: slice) -> Tensor:
        """h·w_c."""
        assert self.weights is not None
        return self.expanded(features).double() @ self.weights[rows].T
