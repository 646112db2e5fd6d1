"""Test sets with the means and covariances of the real one, and nothing else of it."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Kind = Literal["isotropic", "gaussian"]


def clones(images: Tensor, labels: Tensor, kind: Kind, random: torch.Generator) -> Tensor:
    """Gaussian images for the labels of real ones [n, …]: class by class with their mean and covariance.

    Refinetti et al. 2023 (arXiv:2211.11567): networks learn distributions of increasing complexity, first means, then
    covariances. 'isotropic' has one variance for all pixels of a class, 'gaussian' the whole covariance, by weighting
    centred images: Σ_i ξ_i (x_i − μ)/√(n−1), ξ ~ N(0, 1). A class of one image is its mean.
    """
    flat = images.flatten(1).float()
    made = torch.empty_like(flat)
    for label in labels.unique():
        mine = (labels == label).nonzero()[:, 0]
        mean = flat[mine].mean(0)
        centred = (flat[mine] - mean) / max(len(mine) - 1, 1) ** 0.5
        wide = (len(mine), len(mine) if kind == "gaussian" else flat.shape[1])
        drawn = torch.randn(wide, generator=random).to(flat.device)
        spread = centred if kind == "gaussian" else (centred.square().sum() / flat.shape[1]).sqrt()
        made[mine] = mean + (drawn @ spread if kind == "gaussian" else drawn * spread)
    return made.view(images.shape)
