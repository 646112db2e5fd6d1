"""Supervised contrastive learning: the loss, and what counts as a class in it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from clbench.errors import UserError
from clbench.strategy import Learner

from ._passes import features_seen

HEADS = 100_000  # a class is label + HEADS · head: with heads of their own, equal labels are different classes


def kinds(labels: Tensor, heads: Tensor) -> Tensor:
    """Number the classes of samples [n], whatever head they are of."""
    return labels + HEADS * heads


def supervised_contrast(anchors: Tensor, others: Tensor, positive: Tensor, counted: Tensor, tau: float) -> Tensor:
    """Supervised contrastive loss (Khosla et al. 2020, arXiv:2004.11362, eq. 2), mean over anchors with a positive.

    −1/|P| Σ_{p ∈ P} log(exp(a·p/τ) / Σ_{o counted} exp(a·o/τ))

    anchors [n, d], others [m, d]: rows of length 1. positive, counted: bool [n, m], P and the sum below; an anchor is
    not among its own. Without any positive the loss is 0.
    """
    similar = (anchors @ others.T / tau).masked_fill(~counted, -torch.inf)
    share = similar - similar.logsumexp(1, keepdim=True)
    found = positive.sum(1)
    loss = -share.masked_fill(~positive, 0.0).sum(1) / found.clamp_min(1)
    return loss.sum() / (found > 0).sum().clamp_min(1)


def normalised(features: Tensor) -> Tensor:
    """Rows [n, d] of length 1."""
    return functional.normalize(features.float(), dim=1)


def features_of(learner: Learner, x: Tensor, heads: Tensor | int) -> Tensor:
    """Features [n, d] of inputs, in the number format that the run computes logits in."""
    with features_seen(learner.model) as found:
        learner.logits(x, heads)
    return found[0]


def refuse_without_features(name: str, model: nn.Module) -> None:
    """UserError for a network that classifies its input as it comes."""
    backbone: Any = model.backbone
    if not any(True for _ in backbone.parameters()):
        raise UserError(
            f"strategy '{name}' trains features, and this network has none: it classifies its input as it comes. "
            "Use one with hidden layers, for instance --model mlp."
        )
