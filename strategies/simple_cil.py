"""Cosine prototypes on frozen features."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from clbench.registry import strategy

from ._frozen_features import First
from .ncm import ClassMeans


@strategy("simple-cil", family="frozen")
class SimpleCIL(ClassMeans):
    """SimpleCIL: features frozen after the first stage, answered by the class mean with the greatest cosine.

    Zhou et al. 2023 (arXiv:2303.07338), whose network is pretrained and frozen from the start (``first: frozen``): each
    class's weights in a cosine classifier are the mean of its features, argmax_c f·μ_c / (‖f‖·‖μ_c‖).
    first: as for 'ncm'.

    Cost: as for 'ncm'.
    """

    def __init__(self, *, first: First = "train") -> None:
        super().__init__(first)

    def scores(self, features: Tensor, rows: slice) -> Tensor:
        """The cosines, but for ‖f‖, which all classes share."""
        return features.double() @ functional.normalize(self.means(rows)).T
