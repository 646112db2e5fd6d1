"""The control that every regulariser must beat: do nothing to the features."""

from __future__ import annotations

from typing import Any

from torch import nn

from clbench.registry import strategy
from clbench.strategy import Learner, Strategy, named_weights


@strategy("frozen-backbone", family="bound", role="control")
class FrozenBackbone(Strategy):
    """Features frozen after the first stage; only the classifier goes on learning.

    The control for explicit interpolation (Lubana et al. 2022, CoLLAs), under which features barely move. Statistics
    of normalisation layers are frozen too.

    Cost: less than fine-tuning: later stages need no gradient of the features.
    """

    rewrites = True
    held = False

    def after_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Freeze the backbone once."""
        for weight in named_weights(learner.model).values():
            weight.requires_grad_(False)
            weight.grad = None

    def before_training_epoch(self, learner: Learner, **kwargs: Any) -> None:
        """Keep running statistics as they are."""
        if learner.stage > 0:
            self.held = True
            backbone = learner.model.backbone
            assert isinstance(backbone, nn.Module)
            backbone.eval()

    def warnings(self) -> list[str]:
        """Say so if there was no stage to train with frozen features."""
        return (
            []
            if self.held
            else ["never fired: frozen-backbone freezes after the first stage, and the run had no other"]
        )
