"""Layers that stay at their random initialisation."""

from __future__ import annotations

from typing import Any, Literal

from torch import nn

from clbench.errors import UserError
from clbench.registry import strategy
from clbench.strategy import Learner, Strategy

from ._layers import weight_layers

Pattern = Literal["even", "odd", "all"] | list[int]


@strategy("frozen-layers", family="bound")
class FrozenLayers(Strategy):
    """Chosen layers keep their initial weights throughout; the others and the classifier learn.

    Random layers among learnt ones, as in Shen et al. 2021 (reservoir transformers, arXiv:2012.15045) and Rosenfeld and
    Tsotsos 2018 (arXiv:1802.00844). Normalisations learn.
    layers: which; 'even' (the second, fourth, … linear or convolutional layer), 'odd', 'all', or a list of numbers that
    counts from 1, or from −1 at the end.

    Cost: no more than fine-tuning: frozen layers need no gradient of their own weights.
    """

    def __init__(self, *, layers: Pattern = "even") -> None:
        super().__init__()
        self.layers = layers
        self.frozen = 0

    def check(self, model: nn.Module) -> None:
        """Only networks that have the layers."""
        self._chosen(model)

    def before_training(self, learner: Learner, **kwargs: Any) -> None:
        """Freeze them, before any other part of a composition collects what it protects."""
        for layer in self._chosen(learner.model):
            layer.requires_grad_(False)
            self.frozen += 1

    def warnings(self) -> list[str]:
        """Say so if there was nothing to freeze."""
        if self.frozen:
            return []
        return [f"never fired: frozen-layers froze nothing, since the network has no layer that is '{self.layers}'"]

    def _chosen(self, model: nn.Module) -> list[nn.Module]:
        layers = weight_layers(model, include_head=False)
        if isinstance(self.layers, str):
            begin, step = {"even": (1, 2), "odd": (0, 2), "all": (0, 1)}[self.layers]
            return list(layers[begin::step])
        count = len(layers)
        for number in self.layers:
            if not 1 <= abs(number) <= count:
                raise UserError(
                    f"strategy.layers: frozen-layers cannot freeze layer {number} of a network with {count} before its "
                    f"classifier. Use 1 to {count}, or −1 to −{count}."
                )
        return [layers[number - 1 if number > 0 else number] for number in self.layers]
