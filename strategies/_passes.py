"""Methods that look at what the network computes of a batch, through hooks on its modules."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from clbench.strategy import Learner, Strategy


class LooksAtPasses(Strategy):
    """Base of methods whose hooks act in a batch's own pass alone, while ``looking``: others run the network beside."""

    looking = False

    def pass_begins(self, learner: Learner) -> None:
        """Look."""
        self.looking = True

    def pass_ends(self, learner: Learner) -> None:
        """No more."""
        self.looking = False


class KeepsFeatures(LooksAtPasses):
    """Base of methods that need the features of a batch's own pass: ``features`` [n, features], while they watch."""

    features: Tensor | None = None

    def watch(self, model: nn.Module) -> None:
        """Keep the features of passes from now on."""
        backbone: Any = model.backbone
        self.watching = backbone.register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, inputs: Any, features: Tensor) -> None:
        if self.looking:
            self.features = features

    def unwatch(self) -> None:
        """No more, and let go of them."""
        self.watching.remove()
        self.features = None


@contextmanager
def features_seen(model: Any) -> Iterator[list[Tensor]]:
    """Collect the features [n, features], float32, of each pass through a network."""
    found: list[Tensor] = []
    hook = model.backbone.register_forward_hook(lambda module, inputs, output: found.append(output.float()))
    try:
        yield found
    finally:
        hook.remove()


@torch.no_grad()
def features_by(learner: Learner, model: Any) -> Tensor:
    """Features [n, features] of the batch by another network like the run's own, in the run's number format."""
    with features_seen(model) as found:
        learner.logits(learner.mbatch[0], 0, of=model)
    return found[0]
