"""Permutation tests: how often would chance alone give as large a difference?

With ranks in the place of values they are Wilcoxon's tests. All arrangements are counted up to 65,536 of them; beyond,
some are drawn from a fixed seed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from clbench.analysis.statistics import ROUNDING

if TYPE_CHECKING:
    import numpy as np

EXACT = 2**16


def sign_flips(differences: Sequence[float]) -> float:
    """Return the share of all choices of signs whose sum is at least as far from 0."""
    import numpy as np

    values = np.asarray([d for d in differences if d != 0])
    n = len(values)
    if n == 0:
        return 1.0
    if 2**n <= EXACT:
        signs = 1.0 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
        return _share(np.abs(signs @ values), abs(values.sum()))
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(EXACT, n))
    return _share_drawn(np.abs(signs @ values), abs(values.sum()))


def relabellings(values: Sequence[float], first: int) -> float:
    """Return the share of all ways to choose the first group whose mean difference is at least as large."""
    import numpy as np

    pool = np.asarray(values)
    n, total = len(pool), float(np.sum(pool))

    def differences(sums: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        found: np.ndarray[Any, Any] = np.abs(sums / first - (total - sums) / (n - first))
        return found

    observed = float(differences(pool[:first].sum(keepdims=True))[0])
    if math.comb(n, first) <= EXACT:
        sums = np.asarray([pool[list(chosen)].sum() for chosen in combinations(range(n), first)])
        return _share(differences(sums), observed)
    random = np.random.default_rng(0)
    sums = random.permuted(np.tile(pool, (EXACT // 8, 1)), axis=1)[:, :first].sum(1)
    return _share_drawn(differences(sums), observed)


def _share(found: Any, observed: float) -> float:
    """Equal up to rounding counts as equal."""
    return float((found >= observed * (1 - 1e-9) - ROUNDING).mean())


def _share_drawn(found: Any, observed: float) -> float:
    """The arrangement that was observed is one of those drawn, so that p is never 0."""
    return float(((found >= observed * (1 - 1e-9) - ROUNDING).sum() + 1) / (len(found) + 1))


def ranks(values: Sequence[float]) -> list[float]:
    """Return ranks from 1, equal values sharing their mean."""
    order = sorted(values)
    return [(2 * order.index(value) + order.count(value) + 1) / 2 for value in values]


def signed_ranks(differences: Sequence[float]) -> list[float]:
    """Return the ranks of absolute differences with the differences' signs; zeros are left out."""
    # Differences that are equal but for rounding share a rank.
    kept = [float(f"{d:.12g}") for d in differences if abs(d) > ROUNDING]
    return [math.copysign(rank, d) for rank, d in zip(ranks([abs(d) for d in kept]), kept, strict=True)]
