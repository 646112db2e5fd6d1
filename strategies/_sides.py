"""Which classes came before a stage, with it, or are still to come; logits of some made to fit those of others."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from clbench.data.tensors import sent
from clbench.models.network import MASKED

from ._rehearsal import Classes


@dataclass
class Sides:
    """Which of a network's outputs [outputs] are whose: the classes before the stage, its own, and those to come.

    ``own`` [outputs, outputs]: of a class, which classes its stage brought.
    """

    old: Tensor
    new: Tensor
    later: Tensor
    own: Tensor

    @staticmethod
    def of(classes: Classes, brought: list[set[int]], outputs: int) -> Sides:
        """Divide the outputs."""
        new = classes.brought
        stage = torch.full((outputs,), -1)
        for number, labels in enumerate([*(group - new for group in brought), new]):
            stage[sorted(labels)] = number
        at = sent(stage, classes.seen.device)
        known, last = at >= 0, at == len(brought)
        return Sides(known & ~last, last, ~known, at[:, None] == at)


def implanted(now: Tensor, right: Tensor, gamma: float) -> Tensor:
    """Logits [n, classes], scaled down to γ times the right class's logit [n] where the largest tops it."""
    top = now.max(1).values
    scaled = now * torch.where(top > right, gamma * right / top, 1.0)[:, None]
    return torch.where(now > MASKED / 2, scaled, now)
