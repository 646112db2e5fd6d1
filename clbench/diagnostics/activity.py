"""Units and features: how many are silent, and how many dimensions are in use."""

from __future__ import annotations

import torch
from torch import Tensor

DORMANT = 0.025
ENERGY = 0.99


def dead_share(outputs: Tensor) -> Tensor:
    """Share of units [samples, units] that are 0 on all samples (Lu et al. 2019, arXiv:1903.06733)."""
    return (outputs == 0).all(0).float().mean()


def linear_share(outputs: Tensor) -> Tensor:
    """Share of rectified units [samples, units] that are on for all samples, and so linear (arXiv:2201.12795)."""
    return (outputs > 0).all(0).float().mean()


def live_groups(rows: Tensor) -> Tensor:
    """Share of a layer's units or maps, the rows of its weight [units, …], that have a weight left."""
    return (rows.flatten(1) != 0).any(1).float().mean()


def dormant_share(outputs: Tensor) -> Tensor:
    """Share of units whose mean |h| is at most 0.025 of the layer's (Sokar et al. 2023, arXiv:2302.12902, eq. 1)."""
    means = outputs.abs().mean(0)
    return (means <= DORMANT * means.mean()).float().mean()


def effective_rank(singular: Tensor) -> Tensor:
    """exp(−Σ p log p) with p = σ/Σσ (Roy and Vetterli 2007, doi:10.5281/zenodo.40328); from 1 to the number of σ."""
    p = singular / singular.sum().clamp_min(1e-30)
    entropy: Tensor = torch.special.entr(p).sum()
    return entropy.exp()


def srank(singular: Tensor) -> Tensor:
    """How many of the largest σ make up 99 % of their sum (Kumar et al. 2021, arXiv:2010.14498)."""
    reached = singular.cumsum(0) < ENERGY * singular.sum()
    return reached.sum() + 1
