"""ReDo: recycle dormant neurons."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from clbench.registry import Count, NonNegative, strategy
from clbench.strategy import Learner, Strategy, evaluating

from ._units import Activity, hidden_layers, replace_units


@strategy("redo", family="plasticity", version=2)
class ReDo(Strategy):
    """Recycle dormant neurons: now and then, units that hardly fire get new incoming and zero outgoing weights.

    Sokar et al. 2023 (arXiv:2302.12902), definition 3.1 and algorithm 1: a unit is dormant if its mean |h|, divided by
    the layer's mean, is at most the threshold, over ``samples`` images of the stage; h is what the next layer reads, so
    a map after pooling. The optimiser's state of both sides is forgotten. Networks whose layers follow one another.
    looks: how often units are looked at in a stage, evenly spread over its steps, or over the most it may have where it
    ends at a training accuracy. every: instead, steps of the run between two looks (null: ``looks`` holds; the paper's
    1000 gradient steps are of runs far longer than most stages). threshold: share of the layer's mean
    activity up to which a unit is dormant, 0.025 or 0.1 in the paper. samples: images of the stage that a look is at.

    Cost: a forward pass over ``samples`` images at each look; nothing else each step.
    """

    rewrites = True

    def __init__(
        self,
        *,
        looks: Count = 4,
        every: Count | None = None,
        threshold: NonNegative = 0.025,
        samples: Count = 512,
    ) -> None:
        super().__init__()
        self.looks = looks
        self.every = every
        self.threshold = threshold
        self.samples = samples
        self.steps = 0
        self.looked = 0
        self.recycled = torch.zeros(())

    def check(self, model: nn.Module) -> None:
        """Only networks whose units can be told apart."""
        hidden_layers(model, "redo")

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Find the layers, which a growing classifier changes, and the images to look at."""
        self.layers = hidden_layers(learner.model, "redo")
        self.random = learner.random(f"redo of stage {learner.stage}")
        self.looked_at = learner.data.drawn(self.samples, self.random)
        self.recycled = self.recycled.to(learner.device)
        if self.every is None:
            self.steps = 0  # of the stage; else of the run

    def after_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Let the images go."""
        del self.looked_at

    def after_update(self, learner: Learner, **kwargs: Any) -> None:
        """Recycle, now and then."""
        self.steps += 1
        if self.steps % (self.every or max(1, learner.stage_steps // self.looks)) == 0:
            self.looked += 1
            activity = Activity(self.layers)
            with torch.no_grad(), evaluating(learner.model):
                data = self.looked_at
                for x, _, heads in data.batches(len(data)):
                    learner.logits(x, data.shared(heads))
            activity.off()
            # from the last layer to the first, so that what is zeroed stays so
            for layer, outputs in zip(self.layers[::-1], activity.outputs[::-1], strict=True):
                dormant = scores(outputs) <= self.threshold
                replace_units(learner, layer, dormant, self.random)
                self.recycled += dormant.sum()

    def warnings(self) -> list[str]:
        """Say so if no unit was recycled."""
        if not self.looked:
            why = (
                "no stage came to its first look"
                if self.every is None
                else f"the run had fewer than {self.every} steps"
            )
            return [f"never fired: redo looked at no unit, since {why}"]
        if not self.recycled:
            return [f"never fired: redo found no unit below its threshold {self.threshold:g} in {self.looked} looks"]
        return []


def scores(outputs: Tensor) -> Tensor:
    """s_i = mean|h_i| / mean over the layer's units of mean|h| (eq. 1); 0 where the whole layer is silent.

    outputs: [samples, units, inputs that a unit feeds].
    """
    means = outputs.abs().mean((0, 2))
    return means / means.mean().clamp_min(1e-12)
