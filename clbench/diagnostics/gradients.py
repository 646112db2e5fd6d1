"""Gradients at a stage's boundary: how large on old and on new data, and where they point."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from clbench.data.tensors import TaskData
from clbench.strategy import Learner, weight_groups

BINS = 20
FLOOR = 0.3  # DASH's λ
BATCH = 500


def mean_gradient(learner: Learner, data: TaskData, weights: Sequence[nn.Parameter]) -> list[Tensor | None]:
    """Gradient of the mean loss over some data; None for weights that the loss does not depend on."""
    total: list[Tensor | None] = [None] * len(weights)
    for x, labels, heads in data.batches(BATCH):
        logits = learner.logits(x, data.shared(heads))
        loss = functional.cross_entropy(logits, labels, reduction="sum") / len(data)
        for index, found in enumerate(torch.autograd.grad(loss, weights, allow_unused=True)):
            known = total[index]
            total[index] = found if known is None or found is None else known + found
    return total


def norm(gradient: Sequence[Tensor | None]) -> Tensor:
    """‖∇L‖ over all weights."""
    norms: Tensor = torch.stack([part.norm() for part in gradient if part is not None])
    whole: Tensor = norms.nan_to_num().norm()
    return whole.nan_to_num()  # what overflows is very large, not infinite


def cosines(weight: Tensor, gradient: Tensor) -> Tensor:
    """cos(−∇L, w) of each of a parameter's groups of weights (Shin et al. 2024, arXiv:2410.23495, section 4).

    A group without weights or without gradient has cosine 0.
    """
    return functional.cosine_similarity(weight_groups(-gradient), weight_groups(weight), dim=-1).flatten().nan_to_num()


def histogram(values: Tensor) -> list[int]:
    """Counts of cosines in 20 equal bins from −1 to 1."""
    counts: list[int] = torch.histc(values.float().cpu(), BINS, -1.0, 1.0).long().tolist()
    return counts


def clamped_share(values: Tensor) -> float:
    """Share of cosines below DASH's default λ = 0.3, whose groups it would shrink the most."""
    return float((values < FLOOR).float().mean())
