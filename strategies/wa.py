"""Weight alignment: rehearsal with distillation, and new classes' weights made as long as old ones'."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from clbench.registry import Count, strategy
from clbench.strategy import Learner

from ._budget import Budget
from ._exemplars import Choice
from ._layers import head_layers
from ._rehearsal import Classes, Rehearsal, never_distilled
from ._teacher import divergence

TEMPERATURE = 2.0


@strategy("wa", family="memory", version=2)
class WeightAligning(Rehearsal):
    """WA: exemplars and distillation; after each stage new classes' weights are scaled to the old ones' mean length.

    Zhao et al. 2020 (arXiv:1911.07053): (1 − λ)·CE + λ·τ²·KL(softmax(teacher/τ) ‖ softmax(f/τ)) over old classes, with
    λ = old classes by all so far and τ = 2; then W_new ← γ·W_new, γ = mean‖w_old‖ / mean‖w_new‖ (eq. 8 and 9). Biases
    stay. Classes that come back count as new.
    memory, per_class, selection: as for 'icarl'.
    align: scale the weights. distil: distil the old network; false: λ = 0.
    positive: where weights are scaled, also set those of the classifier that are below 0 to 0 after each update
    (section 4.3): otherwise their length says little of how large the logits are (split MNIST: 54 instead of 82 %).

    Cost: as for 'icarl' without the means: each stage trains on the exemplars too, and from the second stage on a
    forward pass of the last stage's network each step. A copy of the network; the exemplars.
    """

    method = "wa"

    def __init__(
        self,
        *,
        memory: Budget = 500,
        per_class: Count | None = None,
        selection: Choice = "herding",
        align: bool = True,
        distil: bool = True,
        positive: bool = True,
    ) -> None:
        super().__init__(memory, per_class, selection)
        self.align = align
        self.distil = distil
        self.positive = positive

    def after_forward(self, learner: Learner, **kwargs: Any) -> None:
        """Ask the teacher, if it is distilled."""
        if self.distil:
            super().after_forward(learner, **kwargs)

    def loss(self, logits: Tensor, targets: Tensor, classes: Classes) -> Tensor:
        """Cross-entropy, and what the teacher says of old classes."""
        return distilled_loss(logits, targets, self.taught, classes)

    @torch.no_grad()
    def after_update(self, learner: Learner, **kwargs: Any) -> None:
        """Keep the classifier's weights from falling below 0."""
        if self.align and self.positive:
            (layer,) = head_layers(learner.model)
            layer.weight.clamp_min_(0.0)

    @torch.no_grad()
    def correct(self, learner: Learner, classes: Classes) -> None:
        """Align the weights."""
        if self.align and len(classes.old):
            (layer,) = head_layers(learner.model)
            weight = layer.weight
            lengths = weight.norm(dim=1)
            gain = lengths[classes.old].mean() / lengths[classes.new].mean().clamp_min(1e-12)
            weight[classes.new] *= gain

    def warnings(self) -> list[str]:
        """Whether there were old classes."""
        return never_distilled(self)


def distilled_loss(logits: Tensor, targets: Tensor, taught: Tensor | None, classes: Classes) -> Tensor:
    """(1 − λ)·CE + λ·τ²·KL, from logits [n, seen] and the teacher's of all classes; CE where there is no teacher."""
    loss = functional.cross_entropy(logits, targets)
    if taught is None:
        return loss
    mine, old = logits.index_select(1, classes.old_columns), taught.index_select(1, classes.old)
    return (1 - classes.share) * loss + classes.share * divergence(mine, old, TEMPERATURE)
