"""ReDo: recycle dormant neurons."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from clbench.registry import Count, NonNegative, strategy
from clbench.strategy import Learner, Strategy, evaluating

from ._units import Activity, hidden_layers, replace_units


@strategy("redo")
class ReDo(Strategy):
    """Recycle dormant neurons: every so many steps, units that hardly fire get new incoming and zero outgoing weights.

    Sokar et al. 2023 (arXiv:2302.12902), definition 3.1 and algorithm 1: a unit is dormant if its mean |h|, divided by
    the layer's mean, is at most the threshold, over ``samples`` images of the stage. The optimiser's state of both
    sides is forgotten. Networks whose layers follow one another.
    every: steps between two looks. threshold: 0.025 or 0.1 in the paper.
    """

    def __init__(self, *, every: Count = 1000, threshold: NonNegative = 0.025, samples: Count = 512) -> None:
        super().__init__()
        self.every = every
        self.threshold = threshold
        self.samples = samples
        self.steps = 0

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Find the layers, which a growing classifier changes, and the images to look at."""
        self.layers = hidden_layers(learner.model, "redo")
        self.random = learner.random(f"redo of stage {learner.stage}")
        self.looked_at = learner.data.drawn(self.samples, self.random)

    def after_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Let the images go."""
        del self.looked_at

    def after_update(self, learner: Learner, **kwargs: Any) -> None:
        """Recycle, every so many steps."""
        self.steps += 1
        if self.steps % self.every == 0:
            activity = Activity(self.layers)
            with torch.no_grad(), evaluating(learner.model):
                data = self.looked_at
                for x, _, heads in data.batches(len(data)):
                    learner.logits(x, data.shared(heads))
            activity.off()
            # from the last layer to the first, so that what is zeroed stays so
            for layer, outputs in zip(self.layers[::-1], activity.outputs[::-1], strict=True):
                replace_units(learner, layer, scores(outputs) <= self.threshold, self.random)


def scores(outputs: Tensor) -> Tensor:
    """s_i = mean|h_i| / mean over the layer's units of mean|h| (eq. 1); 0 where the whole layer is silent."""
    means = outputs.abs().mean(0)
    return means / means.mean().clamp_min(1e-12)
