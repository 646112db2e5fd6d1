"""Herding: samples whose features' mean comes nearest to that of all, greedily one after another."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from clbench.data.tensors import TaskData
from clbench.strategy import evaluating

BATCH = 1024


@torch.no_grad()
def features_of(model: nn.Module, data: TaskData) -> Tensor:
    """L2-normalised features [n, features] of samples, not augmented, the network in evaluation mode."""
    backbone: nn.Module = model.backbone  # type: ignore[assignment]
    with evaluating(model):
        found = torch.cat([backbone(x).float() for x, _, _ in data.batches(BATCH)])
    return functional.normalize(found)


@torch.no_grad()
def herded(features: Tensor, count: int) -> Tensor:
    """Rows of at most ``count`` of the features [n, features], in the order in which they are chosen, none twice.

    Rebuffi et al. 2017 (arXiv:1611.07725), algorithm 4: with μ the mean of all features φ,
    p_k = argmin_x ‖μ − (φ(x) + Σ_{j<k} φ(p_j))/k‖, which is argmax_x φ(x)·(kμ − Σ_{j<k} φ(p_j)) − ½‖φ(x)‖².
    A product of the features with one vector for each place; the device is asked nothing on the way.
    """
    mean = features.mean(0)
    own = features.square().sum(1) / -2  # −½‖φ‖², and −∞ for what is chosen
    wanted, chosen = mean.clone(), []
    for _ in range(min(count, len(features))):
        row = torch.addmv(own, features, wanted).argmax(0, keepdim=True)
        own.index_fill_(0, row, float("-inf"))
        wanted += mean - features.index_select(0, row)[0]
        chosen.append(row)
    return torch.cat(chosen) if chosen else torch.empty(0, dtype=torch.int64, device=features.device)


def class_means(features: Tensor, labels: Tensor, classes: Tensor) -> Tensor:
    """Mean of each class's features, L2-normalised [classes, features]; 0 of a class that has none."""
    member = functional.one_hot(labels, int(max(labels.max(), classes.max())) + 1).to(features.dtype)
    return functional.normalize((member.T @ features).index_select(0, classes))
