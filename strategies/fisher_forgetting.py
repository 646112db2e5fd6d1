"""Fisher forgetting: noise where the samples that stay do not need the weights."""

from __future__ import annotations

from typing import Any

import torch

from clbench.registry import Count, NonNegative, Positive, strategy
from clbench.strategy import Learner, named_weights

from ._request import OnRequest
from .ewc import Fisher

TINY = 1e-8  # of the Fisher information, so that a weight that nothing needs has a bounded noise before its limit


@strategy("fisher-forgetting", family="removal")
class FisherForgetting(OnRequest):
    """Fisher forgetting: noise on every weight, the more the less the samples that stay need it.

    Golatkar et al. 2020 (arXiv:1911.04933): θ ← θ + (λσ²)^¼·F^(−¼)·ε with ε ~ N(0, 1) and F the diagonal of the
    Fisher information of the samples that stay, in evaluation mode. What the removed samples alone have written is
    drowned; nothing is trained. As in its authors' code the noise of a weight is limited, since F is 0 where a unit
    never fires.
    noise: (λσ²)^¼, which trades what is forgotten for accuracy. limit: the largest standard deviation of a weight's
    noise. fisher_samples: on how many of the samples that stay F is measured, drawn by seed; null: all.

    Cost: for each request one forward pass over these samples and a backward pass for each class; nothing is kept.
    """

    def __init__(
        self, *, noise: NonNegative = 0.003, limit: Positive = 1.0, fisher_samples: Count | None = 5000
    ) -> None:
        super().__init__()
        self.noise = noise
        self.limit = limit
        self.fisher = Fisher("exact", fisher_samples)

    def after_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Add the noise; the stage that asks for it has trained nothing."""
        if learner.removed is None:
            return
        weights = list(named_weights(learner.model, include_head=True).values())
        importances = self.fisher.finish(learner, weights)
        random = learner.random(f"noise of stage {learner.stage}")
        with torch.no_grad():
            for weight, importance in zip(weights, importances, strict=True):
                drawn = torch.randn(weight.shape, generator=random).to(weight)
                weight.add_(drawn * (self.noise * (importance + TINY) ** -0.25).clamp_max(self.limit))
