"""Continual backpropagation: replace the least useful units, a few at a time."""

from __future__ import annotations

from collections import deque
from typing import Any

import torch
from torch import Tensor

from clbench.registry import Count, Share, UnitInterval, strategy
from clbench.strategy import Learner

from ._units import HiddenLayer, WatchesUnits, replace_units


class Usefulness:
    """Running utility of a layer's units, and whose turn it is.

    u ← ηu + (1−η)·(mean|w_out|·mean|h − ĥ| / mean|w_in|), ĥ the running mean of h; both corrected for their start. h is
    what the next layer reads, so after pooling; where a unit feeds several inputs of a linear layer, the places of its
    map, the product mean|w_out|·mean|h − ĥ| is taken for each and averaged, as in the authors' code (ConvGnT).
    """

    def __init__(self, units: int, weight: Tensor) -> None:
        self.utility, self.mean, self.age = (weight.new_zeros(units) for _ in range(3))
        self.uncorrected = weight.new_ones(units)  # η^age of each unit
        self.due = 0.0  # units to replace, with the fraction left from earlier steps
        self.young: deque[tuple[int, int]] = deque()  # (step, count) of replacements, to know the old without asking
        self.steps = 0

    def observe(self, layer: HiddenLayer, h: Tensor, decay: float) -> None:
        """Take in what the readers read in a step, [samples, units, inputs that a unit feeds]."""
        self.steps += 1
        self.age += 1
        self.uncorrected *= decay
        h = h.to(self.mean.dtype)  # of less precision than weights, where the run is
        self.mean.lerp_(h.mean((0, 2)), 1 - decay)
        mean = self.mean / (1 - self.uncorrected)
        contribution = (h - mean.unsqueeze(1)).abs_().mean(0).mul_(reading(layer)).mean(1)
        self.utility.lerp_(contribution / layer.incoming.weight.abs().flatten(1).mean(1), 1 - decay)

    def turn(self, rate: float, maturity: int) -> int:
        """How many units are to be replaced now; the host knows how many are old enough."""
        while self.young and self.young[0][0] < self.steps - maturity:
            self.young.popleft()
        if self.steps <= maturity:
            return 0
        self.due += rate * (len(self.age) - sum(count for _, count in self.young))
        count = int(self.due)
        self.due -= count
        return count

    def least(self, count: int, maturity: int) -> Tensor:
        """Mask of the old units of lowest corrected utility; they begin anew."""
        ranked = torch.where(self.age > maturity, self.utility / (1 - self.uncorrected), torch.inf)
        chosen = torch.zeros_like(self.age, dtype=torch.bool)
        chosen[ranked.topk(count, largest=False).indices] = True
        self.young.append((self.steps, count))
        return chosen

    def begin_anew(self, chosen: Tensor) -> None:
        """Forget the past of the chosen units."""
        for values, start in ((self.utility, 0.0), (self.mean, 0.0), (self.age, 0.0), (self.uncorrected, 1.0)):
            values.masked_fill_(chosen, start)


@strategy("continual-backprop", family="plasticity", version=2)
class ContinualBackprop(WatchesUnits):
    """Continual backpropagation: at every step the least useful of the mature units are replaced, a small share.

    Dohare et al. 2024 (arXiv:2306.13812), algorithm 1: new incoming weights, zero bias and outgoing weights; what a
    unit gave on average goes into the readers' biases. What counts is what the next layer reads of a unit, its map
    after pooling. Networks whose layers follow one another.
    rate: share of the mature units replaced per step. maturity: steps before a unit may be replaced.
    decay: of the running means of utility and activity.

    Cost: a look at every unit's activity each step, without another pass; a few numbers for each unit.
    """

    rewrites = True

    method = "continual-backprop"

    def __init__(self, *, rate: UnitInterval = 1e-4, maturity: Count = 100, decay: Share = 0.99) -> None:
        super().__init__()
        self.rate = rate
        self.maturity = maturity
        self.decay = decay
        self.units: list[Usefulness] = []
        self.replaced = 0

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Watch; utilities go on."""
        super().before_training_exp(learner)
        self.random = learner.random(f"continual backprop of stage {learner.stage}")
        self.units = self.units or [Usefulness(layer.units, layer.incoming.weight.detach()) for layer in self.layers]

    @torch.no_grad()
    def after_update(self, learner: Learner, **kwargs: Any) -> None:
        """Watch, and replace whose turn it is: all are chosen before any is replaced, as in the authors' code."""
        chosen = []
        for layer, units, h in zip(self.layers, self.units, self.activity.outputs, strict=True):
            units.observe(layer, h, self.decay)
            count = units.turn(self.rate, self.maturity)
            self.replaced += count
            chosen.append(units.least(count, self.maturity) if count else None)
        for layer, units, leaving in zip(self.layers, self.units, chosen, strict=True):
            if leaving is not None:
                give_to_readers(layer, torch.where(leaving, units.mean / (1 - units.uncorrected), 0.0))
                replace_units(learner, layer, leaving, self.random, zero_bias=True)
                units.begin_anew(leaving)

    def warnings(self) -> list[str]:
        """Say so if no unit was replaced."""
        if self.replaced:
            return []
        widest = max((len(units.age) for units in self.units), default=0)
        return [
            f"never fired: continual-backprop replaced no unit, since {self.rate:g} of at most {widest} mature units a "
            "step came to less than one; raise strategy.rate or train longer"
        ]


def reading(layer: HiddenLayer) -> Tensor:
    """mean|w_out| of what reads each unit, [units, inputs that a unit feeds]; of several heads, their sum."""
    means = []
    for reader in layer.outgoing:
        # [out, inputs, …] → [inputs], the mean over all else
        weights = reader.weight.abs().transpose(0, 1).flatten(1).mean(1)
        means.append(weights.view(layer.units, -1))
    return torch.stack(means).sum(0)


def give_to_readers(layer: HiddenLayer, means: Tensor) -> None:
    """b_next ← b_next + w_out·ĥ, so that the readers do not notice that a unit is gone."""
    for reader in layer.outgoing:
        if reader.bias is not None:
            # [out, units·spread, …] → [out, units], summed over what one unit feeds
            reader.bias += reader.weight.reshape(len(reader.weight), layer.units, -1).sum(2) @ means
