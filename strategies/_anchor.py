"""What is held and where: accumulated importances, anchors, and the weights in question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from clbench.strategy import Weights, by_layer, grown, has_heads, layer_of, named_weights

from ._layers import norm_parameters

Accumulate = Literal["separate", "online", "sum", "mean", "normalised"]
IncludeHead = Literal["auto", True, False]
# Added to a sum of square roots to settle 0/0; far below any √A that survives flushing of denormals (1e-19).
TINY = 1e-30


class Anchor:
    """Importance A and anchor θ* of everything learnt so far, by name of weight.

    separate: one anchor and one A per task. Σ_t A_t(θ−θ_t)² = (Σ_t A_t)(θ−θ̄)² + const with θ̄ = Σ_t A_t θ_t / Σ_t A_t,
    so the sum folds exactly into one A and one anchor: cost and memory do not grow with tasks.
    online: A ← γA + A_new; sum: A ← A + A_new; mean: A ← (A + A_new)/2; normalised: the mean, each task's importances
    first divided by their sum, so that A always sums to 1. These four anchor at the latest weights.
    ``halve_first`` averages the first task's importances with nothing, as the online modes of the code of Lubana et
    al. 2022 do.
    """

    def __init__(self, accumulate: Accumulate, gamma: float = 1.0, halve_first: bool = False) -> None:
        self.accumulate = accumulate
        self.gamma = gamma
        self.halve_first = halve_first
        self.importance: dict[str, Tensor] = {}
        self.weights: dict[str, Tensor] = {}

    def add(self, names: list[str], importances: Weights, weights: Weights) -> None:
        """Take a finished stage in."""
        if self.accumulate == "normalised":
            whole = torch.stack([importance.sum() for importance in importances]).sum().clamp_min(TINY)
            importances = list(torch._foreach_div(importances, whole))
        for name, new, weight in zip(names, importances, weights, strict=True):
            if name not in self.importance:
                self.importance[name] = new / 2 if self.halve_first else new.clone()
                self.weights[name] = weight.clone()
                continue
            old, anchor = self._fitting(name, weight)
            match self.accumulate:
                case "separate":
                    total = old + new
                    share = torch.where(total > 0, new / total, 0.0)
                    self.importance[name], self.weights[name] = total, anchor.lerp(weight, share)
                    continue
                case "online":
                    total = self.gamma * old + new
                case "sum":
                    total = old + new
                case "mean" | "normalised":
                    total = (old + new) / 2
            self.importance[name], self.weights[name] = total, weight.clone()

    def fitting(self, names: list[str], weights: Weights) -> tuple[Weights, Weights]:
        """A and θ* for the given weights; zero importance where a growing classifier has new rows."""
        pairs = [self._fitting(name, weight) for name, weight in zip(names, weights, strict=True)]
        return [pair[0] for pair in pairs], [pair[1] for pair in pairs]

    def new_rows(self, name: str) -> slice:
        """Say which rows of a weight have come since the anchor was set: those of a classifier that has grown."""
        return slice(len(self.importance[name]), None)

    def _fitting(self, name: str, weight: Tensor) -> tuple[Tensor, Tensor]:
        return grown(self.importance[name], torch.zeros_like(weight)), grown(self.weights[name], weight.clone())


def anchor_of(accumulate: Accumulate, *, parity: bool, online: bool, gamma: float = 1.0) -> Anchor:
    """Return the anchor that options ask for.

    parity: that of the code of Lubana et al. 2022, which knows the mean and the normalised mean alone and halves the
    first task's importances where they run along (``online``).
    """
    if not parity:
        return Anchor(accumulate, gamma)
    return Anchor("normalised" if accumulate == "normalised" else "mean", halve_first=online)


@dataclass(frozen=True)
class Scope:
    """Which weights are protected, and whether their layers are balanced.

    ``include_head``: with "auto" a classifier that tasks share is protected and heads of their own are left out: old
    ones get no gradient, and the new one has nothing that it could be held to. ``balanced`` rescales the importances of
    each layer so that their mean is the mean over layers (Lubana et al. 2022, CoLLAs, section 5).
    """

    include_head: IncludeHead
    include_norm: bool
    balanced: bool

    def weights(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """Protected weights by name."""
        head = not has_heads(model) if self.include_head == "auto" else self.include_head
        named = named_weights(model, head)
        if self.include_norm:
            return named
        norms = norm_parameters(model)
        return {name: weight for name, weight in named.items() if id(weight) not in norms}


def balance(names: list[str], importances: Weights) -> Weights:
    """Importances scaled so that every layer's mean is the mean over layers; layers without any are left alone."""
    joined = by_layer(dict(zip(names, importances, strict=True)))
    means = {layer: values.mean() for layer, values in joined.items()}
    target = torch.stack(list(means.values())).mean()
    scales = {layer: torch.where(mean > 0, target / mean, 1.0) for layer, mean in means.items()}
    return [importance * scales[layer_of(name)] for name, importance in zip(names, importances, strict=True)]
