"""Without any assumption of shape: sign flips of whole seed vectors, the largest statistic of all comparisons counted.

Westfall and Young (1993), *Resampling-Based Multiple Testing*, max-t. Where methods do not differ, a seed's differences
are as likely as their negatives, all at once; flipping a seed's sign in every comparison keeps what they share. p of a
comparison is the share of flips whose largest |t| of all comparisons is at least its own: adjusted for their number,
and for their correlation. The least p is 2^(1−n) whatever their number, so that six seeds can tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from clbench.analysis.statistics import ROUNDING

if TYPE_CHECKING:
    import numpy as np

    from clbench.analysis.apart import Values

EXACT_SEEDS = 13  # up to here all 2^(n−1) flips are counted
DRAWN = 4096
AT_ONCE = 1024  # comparisons


def joint_p(pairs: Sequence[tuple[Values, Values]], one_sided: bool = False) -> list[float | None]:
    """Return adjusted p-values of "first and second of this pair do not differ", by the seeds that all pairs share.

    ``one_sided``: of "the first is not better", where every pair stands with its mirror image among the pairs. None for
    all where fewer than two seeds are shared by all.
    """
    import numpy as np

    shared = sorted(set.intersection(*({*mine} & {*other} for mine, other in pairs))) if pairs else []
    if len(shared) < 2:
        return [None] * len(pairs)
    differences = np.asarray([[mine[seed] - other[seed] for seed in shared] for mine, other in pairs])
    observed = _t(differences, np.ones((1, len(shared))))[:, 0]
    largest = _largest(differences, _signs(len(shared)))
    own = np.abs(observed) if not one_sided else observed
    below = np.searchsorted(np.sort(largest), own * (1 - 1e-9) - ROUNDING)  # equal up to rounding counts as equal
    return [float(share) for share in 1 - below / len(largest)]


def _largest(differences: np.ndarray[Any, Any], signs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The largest |t| of all comparisons under each flip; thousands of comparisons would not fit in memory at once."""
    import numpy as np

    largest = np.zeros(len(signs))
    for start in range(0, len(differences), AT_ONCE):
        some = np.abs(_t(differences[start : start + AT_ONCE], signs)).max(axis=0)
        largest = np.maximum(largest, some)
    return largest


def _signs(n: int) -> np.ndarray[Any, Any]:
    """Flips, shape (flips, n), the identity first; the first seed stays, since |t| is the same when all are flipped."""
    import numpy as np

    if n <= EXACT_SEEDS:
        return 1.0 - 2.0 * ((np.arange(0, 2**n, 2)[:, None] >> np.arange(n)) & 1)
    drawn = np.random.default_rng(0).choice([-1.0, 1.0], size=(DRAWN, n))
    drawn[0] = 1.0
    return drawn


def _t(differences: np.ndarray[Any, Any], signs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Student's t of each comparison under each flip, shape (comparisons, flips); without spread very large or 0."""
    import numpy as np

    n = differences.shape[1]
    means = differences @ signs.T / n
    squares = (differences**2).sum(axis=1, keepdims=True)  # flips leave them as they are
    errors = np.sqrt(np.maximum(squares - n * means**2, 0.0) / (n - 1) / n)
    found: np.ndarray[Any, Any] = means / np.maximum(errors, ROUNDING)
    return found
