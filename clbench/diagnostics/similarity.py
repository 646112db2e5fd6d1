"""How alike two sets of features of the same images are."""

from __future__ import annotations

import torch
from torch import Tensor


def hsic(k: Tensor, l: Tensor) -> Tensor:  # noqa: E741
    """Unbiased Hilbert–Schmidt independence criterion of two kernel matrices [n, n], n > 3.

    Song et al. 2012 (JMLR 13), eq. 5.
    """
    n = len(k)
    k, l = k - k.diag().diag(), l - l.diag().diag()  # noqa: E741
    trace = (k * l).sum()
    sums = k.sum() * l.sum() / ((n - 1) * (n - 2))
    mixed = 2 * (k.sum(0) @ l.sum(0)) / (n - 2)
    value: Tensor = (trace + sums - mixed) / (n * (n - 3))
    return value


def cka(x: Tensor, y: Tensor) -> Tensor:
    """Linear centred kernel alignment of features [n, p] and [n, q], debiased; about 1 alike, about 0 unrelated.

    Kornblith et al. 2019 (arXiv:1905.00414), eq. 4, with the unbiased HSIC, so that few samples of many features do not
    look alike by chance.
    """
    x, y = (_centred(values) for values in (x, y))
    k, l = x @ x.T, y @ y.T  # noqa: E741
    norm = (hsic(k, k).clamp_min(0.0) * hsic(l, l).clamp_min(0.0)).sqrt()
    value: Tensor = hsic(k, l) / norm.clamp_min(torch.finfo(norm.dtype).tiny)
    return value


def _centred(values: Tensor) -> Tensor:
    values = values.flatten(1).double().nan_to_num().clamp(-1e15, 1e15)  # of a network that is about to diverge
    values = values - values.mean(0)
    centred: Tensor = values / values.norm().clamp_min(1e-30)
    return centred
