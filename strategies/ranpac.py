"""Ridge regression on random projections of frozen features."""

from __future__ import annotations

import torch
from torch import Tensor

from clbench.registry import Count, Positive, strategy
from clbench.strategy import Learner, grown

from ._frozen_features import Expansion, First, FrozenFeatures, blocks

RIDGES = [10.0**power for power in range(-8, 9)]


@strategy("ranpac", family="frozen")
class RanPAC(FrozenFeatures):
    """RanPAC: ridge regression of the classes on random rectified projections of frozen features.

    McDonnell et al. 2023 (arXiv:2307.02251), algorithm 1: h = relu(f·W) with W ~ N(0, 1) drawn once; over all samples
    G += hhᵀ and Q += hyᵀ with one-hot y; the classifier is (G + λI)⁻¹Q. λ of 10⁻⁸, 10⁻⁷, …, 10⁸ is chosen at each
    stage: fitted to four fifths of the stage's own samples, least squared error on a fifth drawn at random.
    units: how many projections; the paper's 10,000 are for features of 768. ridge: λ, the same throughout (null:
    chosen; in a stage of fewer than five samples the last one's, at first 1). first: as for 'ncm'.

    Cost: the first stage is fine-tuning's, later ones have no step; one forward pass over each stage's data when it
    ends, twice units² products for each sample, and one solution of units³ for each λ tried; 8·units² bytes, and
    16·units for each class.
    """

    def __init__(self, *, units: Count = 1000, ridge: Positive | None = None, first: First = "train") -> None:
        super().__init__(first)
        self.units = units
        self.given = ridge
        self.ridge = 1.0 if ridge is None else ridge
        self.expand: Expansion | None = None
        self.gram: Tensor | None = None  # G, [units, units]
        self.targets: Tensor | None = None  # Qᵀ, [rows, units]
        self.weights = torch.empty(0)  # [rows, units]

    def learn(self, learner: Learner, features: Tensor, rows: Tensor) -> None:
        """Choose λ, add the stage's samples, and make the classifier."""
        if self.expand is None:
            self.expand = Expansion(features, self.units, learner.random("random projections"))
        if self.given is None and len(rows) >= 5:
            self.ridge = self.chosen(features, rows, learner.random(f"held out of stage {learner.stage}"))
        gram, targets = self.sums(features, rows)
        self.gram = gram if self.gram is None else self.gram + gram
        self.targets = targets + grown(self.targets, torch.zeros_like(targets))
        eye = torch.eye(self.units, dtype=gram.dtype, device=gram.device)
        # W = (G + λI)⁻¹Q
        self.weights = torch.linalg.solve(self.gram + self.ridge * eye, self.targets.T).T.contiguous()

    def sums(self, features: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """G and Qᵀ of some samples, float64."""
        assert self.expand is not None
        gram = torch.zeros(self.units, self.units, dtype=torch.float64, device=features.device)
        targets = gram.new_zeros(len(self.counts), self.units)
        for part, one_hot in blocks(self.expand(features), rows, len(self.counts)):
            gram += part.T @ part
            targets += one_hot.T @ part
        return gram, targets

    def chosen(self, features: Tensor, rows: Tensor, random: torch.Generator) -> float:
        """The λ that, fitted to four fifths of a stage's samples, has the least squared error on a fifth."""
        assert self.expand is not None
        order = torch.randperm(len(rows), generator=random).to(rows.device)
        held, fitted = order[: len(rows) // 5], order[len(rows) // 5 :]
        gram, targets = self.sums(features[fitted], rows[fitted])
        ((inputs, one_hot),) = blocks(self.expand(features[held]), rows[held], len(self.counts), len(held))
        eye = torch.eye(self.units, dtype=gram.dtype, device=gram.device)
        errors = []
        for ridge in RIDGES:
            factor, failed = torch.linalg.cholesky_ex(gram + ridge * eye)
            error = (inputs @ torch.cholesky_solve(targets.T, factor) - one_hot).square().mean()
            # A λ that float64 cannot tell from 0 beside G is none.
            errors.append(torch.where(failed > 0, torch.inf, error))
        return RIDGES[int(torch.stack(errors).argmin())]

    def scores(self, features: Tensor, rows: slice) -> Tensor:
        """h·w_c."""
        assert self.expand is not None
        return self.expand(features).double() @ self.weights[rows].T
