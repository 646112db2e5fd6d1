"""Proximal steps, argmin_v ½‖v − w‖² + t·penalty(v), of the penalties that make weights sparse.

They run on every weight after every step, so each is as few passes over memory as it can be.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

NEWTON_STEPS = 8


def soft(w: Tensor, t: float) -> Tensor:
    """Of ‖v‖₁: sign(w)·max(|w| − t, 0)."""
    return functional.softshrink(w, t)


def hard(w: Tensor, t: float) -> Tensor:
    """Of ‖v‖₀, the number of elements that are not 0: those up to √(2t) become 0."""
    return functional.hardshrink(w, math.sqrt(2 * t))


def transformed_l1(w: Tensor, t: float, a: float) -> Tensor:
    """Of Σ (a+1)|v|/(a+|v|): 0 up to a threshold, above it the larger root v of v + t·a(a+1)/(a+v)² = |w|.

    Zhang and Xin 2017 (doi:10.4310/CMS.2017.v15.n1.a9) give thresholds and root in closed form. Its cosine of an arc
    cosine loses a small t in rounding and costs ten times as much as Newton's method, which from v = |w| comes down to
    the root; where t is as small as in training, its first step is already exact to rounding.
    """
    c = t * a * (a + 1)
    size = w.abs()
    if 2 * c / a**3 < 1e-3:  # then f' is 1, and the threshold where the step reaches 0
        return size.sub_(size.add(a).pow_(-2), alpha=c).clamp_min_(0.0).copysign_(w)
    root = size
    for _ in range(NEWTON_STEPS):
        around = (root + a).pow_(-2)
        slope = 1 - 2 * c * around.pow(1.5)
        root = (root - (root + c * around - size) / slope.clamp_min_(1e-6)).clamp_min_(0.0)
    if t > a * a / (2 * (a + 1)):  # the minimiser jumps
        root.mul_(size > math.sqrt(2 * t * (a + 1)) - a / 2)
    return root.copysign_(w)


def l1_minus_l2(w: Tensor, t: float) -> tuple[Tensor, Tensor]:
    """Of ‖v‖₁ − ‖v‖₂ over all elements: the soft threshold, made longer by t; of small w the largest element alone.

    Lou and Yan 2018 (doi:10.1007/s10915-017-0463-2), lemma 1. Returns a tensor and the number that it is to be
    multiplied with, which saves a pass over memory.
    """
    low, high = torch.aminmax(w)
    largest = torch.maximum(-low, high)
    tiny = torch.finfo(w.dtype).tiny
    below = (largest * (1 - 1e-6)).clamp_(tiny, t)  # leaves the largest, with what equals it, where all are small
    shrunk = functional.softshrink(w / below, 1.0)  # times ``below``: only thresholds that are plain numbers are fast
    return shrunk, below + largest.clamp_max(t) / torch.linalg.vector_norm(shrunk).clamp_min_(tiny)


def group(rows: Tensor, t: float, scale: Tensor | float = 1.0, out: Tensor | None = None) -> Tensor:
    """Of Σ_g √|g|·‖v_g‖₂ over rows·scale [groups, size]: each becomes shorter by t√|g|, or 0."""
    lengths = torch.linalg.vector_norm(rows, dim=1, keepdim=True).clamp_min_(torch.finfo(rows.dtype).tiny)
    return torch.mul(rows, (scale - t * math.sqrt(rows.shape[1]) / lengths).clamp_min_(0.0), out=out)
