"""Feature covariance-aware metric: a Mahalanobis distance for each class, on frozen features."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from clbench.registry import Positive, strategy
from clbench.strategy import Learner, grown

from ._frozen_features import First
from .ncm import ClassMeans

TINY = 1e-10  # on the diagonal of correlations: where features add up to a constant, shrinkage leaves a zero


@strategy("fecam", family="frozen")
class FeCAM(ClassMeans):
    """FeCAM: each class has a covariance of its own, and the nearest by Mahalanobis distance is the answer.

    Goswami et al. 2023 (arXiv:2309.14062), as in its code: features go through Tukey's x^½; each class's covariance is
    shrunk twice, Σ + γ·v₁·I + γ·v₂·(1 − I) with the means v₁ of its diagonal and v₂ off it, and divided by its
    deviations to correlations; the distance is that of L2-normed vectors. Negative features keep their sign. The code
    leaves entries of exactly 0 out of v₂, and takes Euclidean distances after the first stage; here neither is so.
    power: Tukey's, 1 leaves features as they are. shrinkage: γ, the paper's γ₁ = γ₂. first: as for 'ncm'.

    Cost: the first stage is fine-tuning's, later ones have no step; one forward pass over each stage's data when it
    ends; in evaluation d² products for each sample and class; 8·d² bytes for each class, twice that while evaluated.
    """

    def __init__(self, *, power: Positive = 0.5, shrinkage: Positive = 1.0, first: First = "train") -> None:
        super().__init__(first)
        self.power = power
        self.shrinkage = shrinkage
        self.tukey_sums: Tensor | None = None  # of transformed features, [rows, d]
        self.moments: Tensor | None = None  # and of their products, [rows, d, d]
        self.precisions = torch.empty(0)  # inverse correlations [rows, d, d], while it is evaluated

    def tukey(self, features: Tensor) -> Tensor:
        """Tukey's ladder of powers: the skewed becomes more like a Gaussian."""
        return features.sign() * features.abs() ** self.power

    def learn(self, learner: Learner, features: Tensor, rows: Tensor) -> None:
        """Add the stage's samples, class by class."""
        super().learn(learner, features, rows)
        count, width = len(self.counts), features.shape[1]
        empty = torch.zeros(count, width, width, dtype=torch.float64, device=features.device)
        self.moments = grown(self.moments, empty)
        self.tukey_sums = grown(self.tukey_sums, empty.new_zeros(count, width))
        for row in rows.unique().tolist():
            own = self.tukey(features[rows == row].double())
            self.moments[row] += own.T @ own
            self.tukey_sums[row] += own.sum(0)

    def correlations(self, rows: slice) -> Tensor:
        """Shrunk covariances as correlations, float64 [rows, d, d]."""
        assert self.moments is not None
        assert self.tukey_sums is not None
        counts = self.counts[rows, None, None]
        sums = self.tukey_sums[rows]
        products = sums[:, :, None] * sums[:, None, :] / counts.clamp_min(1)
        shrunk = (self.moments[rows] - products) / (counts - 1).clamp_min(1)
        for _ in range(2):
            shrunk = shrink(shrunk, self.shrinkage)
        deviations = shrunk.diagonal(dim1=1, dim2=2).clamp_min(torch.finfo(shrunk.dtype).tiny).sqrt()
        found = shrunk / deviations[:, :, None] / deviations[:, None, :]
        found.diagonal(dim1=1, dim2=2).fill_(1.0)  # so too of a class of one sample, which varies in nothing
        return found

    def before_eval(self, learner: Learner, **kwargs: Any) -> None:
        """Invert the correlations once for all that is evaluated."""
        super().before_eval(learner, **kwargs)
        if self.moments is not None:
            self.precisions = torch.stack(
                [_inverse(self.correlations(slice(c, c + 1))[0]) for c in range(len(self.counts))]
            )

    def after_eval(self, learner: Learner, **kwargs: Any) -> None:
        """Let them go: they are as large as all that is kept."""
        super().after_eval(learner, **kwargs)
        self.precisions = torch.empty(0)

    def scores(self, features: Tensor, rows: slice) -> Tensor:
        """−(f̃ − μ̃_c)ᵀ·P_c·(f̃ − μ̃_c) with transformed, L2-normed f̃ and μ̃_c."""
        vectors = functional.normalize(self.tukey(features.double()))
        found = []
        for mean, precision in zip(
            functional.normalize(self.tukey(self.means(rows))), self.precisions[rows], strict=True
        ):
            away = vectors - mean
            found.append(-(away @ precision * away).sum(1))
        return torch.stack(found, 1)


def shrink(covariances: Tensor, strength: float) -> Tensor:
    """Σ + γ·v₁·I + γ·v₂·(1 − I), with the means of each matrix [c, d, d] on its diagonal and off it."""
    width = covariances.shape[1]
    diagonal = covariances.diagonal(dim1=1, dim2=2).mean(1)[:, None, None]
    off = (covariances.sum((1, 2))[:, None, None] - width * diagonal) / max(width * (width - 1), 1)
    eye = torch.eye(width, dtype=covariances.dtype, device=covariances.device)
    return covariances + strength * (diagonal * eye + off * (1 - eye))


def _inverse(correlation: Tensor) -> Tensor:
    """Inverse of a positive semi-definite matrix with ones on its diagonal."""
    eye = torch.eye(len(correlation), dtype=correlation.dtype, device=correlation.device)
    return torch.cholesky_inverse(torch.linalg.cholesky(correlation + TINY * eye))
