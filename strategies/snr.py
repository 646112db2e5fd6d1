"""Self-normalised resets: a unit that is silent for longer than is usual for it begins anew."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from clbench.registry import Count, UnitInterval, strategy
from clbench.strategy import Learner

from ._units import WatchesUnits, replace_units


class Silence:
    """For each unit of a layer: steps since it last fired on any sample, how often it fired, and its age in steps."""

    def __init__(self, units: int, device: torch.device) -> None:
        self.silent, self.fired, self.age = (torch.zeros(units, device=device) for _ in range(3))

    def observe(self, h: Tensor) -> None:
        """Take in what the readers read in a step, [samples, units, inputs that a unit feeds]."""
        fires = h.amax((0, 2)) > 0
        self.age += 1
        self.silent += 1
        self.silent.masked_fill_(fires, 0.0)
        self.fired += fires

    def unusual(self, rate: float, least: int) -> Tensor:
        """Mask of units whose silence has a probability below ``rate``.

        Gaps between firings are taken as geometric with the unit's own mean gap μ: P(gap > a) = (1 − 1/μ)^a.
        """
        gap = (self.age - self.silent).clamp_min(1.0) / self.fired.clamp_min(1.0)
        probability = (1 - 1 / gap.clamp_min(1.0)) ** self.silent
        return (probability < rate) & (self.silent >= least)

    def begin_anew(self, chosen: Tensor) -> None:
        """Forget the past of the chosen units."""
        for values in (self.silent, self.fired, self.age):
            values.masked_fill_(chosen, 0.0)


@strategy("snr", family="plasticity")
class SelfNormalizedResets(WatchesUnits):
    """Self-normalised resets: a unit whose silence is improbable for it gets new incoming and zero outgoing weights.

    Farias and Jozefiak 2024 (arXiv:2410.20098), with the gaps between firings taken as geometric. A unit fires in a
    step if any sample of the batch activates it. The optimiser's state of both sides is forgotten. Networks whose
    layers follow one another.
    rate: probability below which a silence is improbable. every: steps between two looks. least: silent steps that
    are always allowed.

    Cost: a look at every unit's activity each step, without another pass; three numbers for each unit.
    """

    rewrites = True
    method = "snr"

    def __init__(self, *, rate: UnitInterval = 0.01, every: Count = 100, least: Count = 100) -> None:
        super().__init__()
        self.rate = rate
        self.every = every
        self.least = least
        self.steps = 0
        self.units: list[Silence] = []
        self.reset = torch.zeros(())

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Watch; histories go on."""
        super().before_training_exp(learner)
        self.random = learner.random(f"self-normalised resets of stage {learner.stage}")
        self.units = self.units or [Silence(layer.units, learner.device) for layer in self.layers]
        self.reset = self.reset.to(learner.device)

    @torch.no_grad()
    def after_update(self, learner: Learner, **kwargs: Any) -> None:
        """Watch, and every so many steps reset whose silence is improbable."""
        self.steps += 1
        for layer, units, h in zip(self.layers, self.units, self.activity.outputs, strict=True):
            units.observe(h)
            if self.steps % self.every == 0:
                chosen = units.unusual(self.rate, self.least)
                replace_units(learner, layer, chosen, self.random)
                units.begin_anew(chosen)
                self.reset += chosen.sum()

    def warnings(self) -> list[str]:
        """Say so if no unit was reset."""
        if self.steps < self.every:
            return [f"never fired: snr looks every {self.every} steps, and the run had {self.steps}"]
        if not self.reset:
            looks = self.steps // self.every
            return [f"never fired: snr found no unit in {looks} looks whose silence was improbable; nothing was reset"]
        return []
