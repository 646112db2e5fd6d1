"""Proximal steps, argmin_v ½‖v − w‖² + t·penalty(v), of the penalties that make weights sparse."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def soft(w: Tensor, t: float) -> Tensor:
    """Of ‖v‖₁: sign(w)·max(|w| − t, 0)."""
    return torch.nn.functional.softshrink(w, t)


def hard(w: Tensor, t: float) -> Tensor:
    """Of ‖v‖₀, the number of elements that are not 0: those up to √(2t) become 0."""
    return torch.nn.functional.hardshrink(w, math.sqrt(2 * t))


def transformed_l1(w: Tensor, t: float, a: float) -> Tensor:
    """Of Σ (a+1)|v|/(a+|v|) (Zhang and Xin 2017, doi:10.4310/CMS.2017.v15.n2.a9, theorem 3.1).

    Above a threshold the root of v + t·a(a+1)/(a+v)² = |w|, which Cardano's formula gives by an angle.
    """
    size = w.abs()
    turns_at = a * a / (2 * (a + 1))
    least = t * (a + 1) / a if t <= turns_at else math.sqrt(2 * t * (a + 1)) - a / 2
    angle = (1 - 27 * t * a * (a + 1) / (2 * (a + size).pow(3))).clamp_(-1, 1).acos_()
    root = (2 / 3) * (a + size) * angle.div_(3).cos_() - 2 * a / 3 + size / 3
    return torch.where(size > least, root.copysign_(w), 0.0)


def l1_minus_l2(w: Tensor, t: float) -> Tensor:
    """Of ‖v‖₁ − ‖v‖₂ over all elements (Lou and Yan 2018, doi:10.1007/s10915-017-0463-2, lemma 1)."""
    largest = w.abs().max()
    shrunk = soft(w, t)
    norm = shrunk.norm()
    stretched = shrunk * (1 + t / norm.clamp_min(torch.finfo(w.dtype).tiny))
    single = torch.where(torch.arange(w.numel(), device=w.device).view(w.shape) == w.abs().argmax(), w, 0.0)
    return torch.where(largest > t, stretched, single)


def group(rows: Tensor, t: float) -> Tensor:
    """Of Σ_g √|g|·‖v_g‖₂ over the rows [groups, size]: each becomes shorter by t√|g|, or 0."""
    size = rows.shape[1]
    lengths = rows.norm(dim=1, keepdim=True)
    return rows * (1 - t * math.sqrt(size) / lengths.clamp_min(torch.finfo(rows.dtype).tiny)).clamp_min_(0.0)
