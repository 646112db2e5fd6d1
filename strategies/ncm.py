"""Nearest class mean on frozen features."""

from __future__ import annotations

import torch
from torch import Tensor

from clbench.registry import strategy
from clbench.strategy import Learner, grown

from ._frozen_features import First, FrozenFeatures, blocks


class ClassMeans(FrozenFeatures):
    """Keeps the sum of each class's features: what nearest means, cosines and discriminants are made of."""

    def __init__(self, first: First) -> None:
        super().__init__(first)
        self.sums: Tensor | None = None  # [rows, d]

    def learn(self, learner: Learner, features: Tensor, rows: Tensor) -> None:
        """Add the stage's samples."""
        count = len(self.counts)
        self.sums = grown(self.sums, torch.zeros(count, features.shape[1], dtype=torch.float64, device=features.device))
        for part, one_hot in blocks(features, rows, count):
            self.sums += one_hot.T @ part

    def means(self, rows: slice = slice(None)) -> Tensor:
        """Mean features μ_c of some rows, float64 [rows, d]; zeros where there was no sample."""
        assert self.sums is not None
        return self.sums[rows] / self.counts[rows, None].clamp_min(1)


@strategy("ncm", family="frozen")
class NearestClassMean(ClassMeans):
    """Nearest class mean: features frozen after the first stage, answered by the class whose mean is nearest.

    argmin_c ‖f(x) − μ_c‖, as Mensink et al. 2013 (doi:10.1109/TPAMI.2013.83), with the Euclidean distance of
    features as they are. Class means are exact, whatever the order of samples and classes.
    first: 'train' trains the network in the first stage as the run says; 'frozen' leaves it as it is drawn, or as
    ``pretrain`` made it. Either way it stays as it is from then on.

    Cost: the first stage is fine-tuning's, later ones have no step; one forward pass over each stage's data when it
    ends, and a product with the means in evaluation; a float64 mean for each class (8·d bytes).
    """

    def __init__(self, *, first: First = "train") -> None:
        super().__init__(first)

    def scores(self, features: Tensor, rows: slice) -> Tensor:
        """−‖f − μ_c‖², but for ‖f‖², which all classes share."""
        means = self.means(rows)
        return 2 * features.double() @ means.T - means.square().sum(1)
