"""Batches mixed with themselves, region by region."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from clbench.strategy import Learner

Side = tuple[int, int]  # from, to


class CutMix:
    """A region of each image comes from another image of the batch, and so does that share of the label.

    Yun et al. 2019 (arXiv:1905.04899), α = 1: with probability ``share`` in a step, a box of area 1 − λ, λ ~ U(0, 1),
    around a place drawn in the image, the same for the whole batch; loss λ·CE(y) + (1 − λ)·CE(y'), λ the area that is
    left once the box is cut at the image's edges.
    """

    def __init__(self, share: float) -> None:
        self.share = share
        self._plan: list[tuple[Side, Side, Tensor] | None] = []
        self._mixed: tuple[float, Tensor] | None = None

    def plan(self, learner: Learner, random: torch.Generator) -> None:
        """Draw an epoch's boxes and partners."""
        height, width = learner.data.samples.shape[-2:]
        sizes = learner.batch_sizes
        drawn = torch.rand((len(sizes), 4), generator=random, dtype=torch.float64).tolist()
        self._plan = []
        for size, (chance, left, row, column) in zip(sizes, drawn, strict=True):
            partners = torch.randperm(size, generator=random)
            box = _side(height, left, row), _side(width, left, column)
            self._plan.append((*box, partners.to(learner.device)) if chance < self.share else None)
        self._plan.reverse()

    def apply(self, learner: Learner) -> None:
        """Mix this batch, or leave it."""
        planned, self._mixed = self._plan.pop(), None
        if planned is not None:
            (top, bottom), (left, right), partners = planned
            x, labels = learner.mbatch[0].clone(), learner.mbatch[1]
            x[..., top:bottom, left:right] = learner.mbatch[0][partners, :, top:bottom, left:right]
            learner.mbatch[0] = x
            cut = (bottom - top) * (right - left)
            self._mixed = 1 - cut / (x.shape[-1] * x.shape[-2]), labels[partners]

    def loss(self, learner: Learner) -> Tensor | None:
        """The batch's loss, if it was mixed."""
        if self._mixed is None:
            return None
        kept, others = self._mixed
        own = functional.cross_entropy(learner.mb_output, learner.mbatch[1])
        return kept * own + (1 - kept) * functional.cross_entropy(learner.mb_output, others)


def _side(length: int, left: float, place: float) -> Side:
    """One side of a box of √(1 − λ) of an image's length, around a place, cut at the edges."""
    half = int(length * math.sqrt(1 - left)) // 2
    middle = int(length * place)
    return max(middle - half, 0), min(middle + half, length)
