"""Learning without forgetting: the old network's predictions, distilled."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from clbench.registry import Positive, strategy

from ._teacher import Distillation, Strength, divergence, head_logits

Loss = Literal["softmax", "bce"]


@strategy("lwf", family="distillation")
class LearningWithoutForgetting(Distillation):
    """Learning without forgetting: what the last stage's network says of old classes is distilled on new data.

    Li and Hoiem 2016 (arXiv:1606.09282), eq. 2, with Hinton's τ²: + μ·τ²·KL(softmax(teacher/τ) ‖ softmax(f/τ)) over the
    classes learnt so far, summed over old heads: their cost grows with them in task-incremental streams.
    loss: 'softmax' is the above; 'bce' sums binary cross-entropies with the teacher's sigmoids instead (Smith et al.
    2023, arXiv:2203.17269).
    temperature: τ, which softens both networks' answers.
    mu: strength, one number, or a list with one for each stage, whose last holds on.

    Cost: from the second stage on a forward pass of the last stage's network each step; a copy of the network.
    """

    method = "lwf"

    def __init__(self, *, mu: Strength = 1.0, temperature: Positive = 2.0, loss: Loss = "softmax") -> None:
        super().__init__(mu)
        self.temperature = temperature
        self.loss = loss

    def distance(self, model: nn.Module, student: Tensor, teacher: Tensor) -> Tensor:
        """Over all heads with old classes."""
        found = []
        for head, labels in self.known.items():
            mine = head_logits(model, student, head).index_select(1, labels)
            with torch.no_grad():
                old = head_logits(self.teacher, teacher, head).index_select(1, labels)
            found.append(self._of_head(mine, old))
        return torch.stack(found).sum()

    def _of_head(self, mine: Tensor, old: Tensor) -> Tensor:
        if self.loss == "bce":
            return functional.binary_cross_entropy_with_logits(mine, old.sigmoid(), reduction="sum") / len(mine)
        return divergence(mine, old, self.temperature)
