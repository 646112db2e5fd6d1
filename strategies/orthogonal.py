"""Orthogonal weights: the control of racecar training."""

from __future__ import annotations

from clbench.registry import NonNegative, strategy

from .parseval import Parseval


@strategy("orthogonal")
class Orthogonal(Parseval):
    """Orthogonality constraint: λ‖WᵀW − I‖²_F for every layer, the classifier too.

    The control of Xie and Thuerey 2020 (racecar, arXiv:2007.00024), which a linear layer that reverses itself fulfils.
    Its gradient 4λ(WWᵀ − I)W is that of 'parseval', which leaves the classifier out. Kernels of a convolution are laid
    out as rows.
    """

    include_head = True

    def __init__(self, *, lam: NonNegative = 1e-4) -> None:
        super().__init__(lam=lam)
