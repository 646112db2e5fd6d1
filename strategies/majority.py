"""The most frequent class: what an accuracy is worth where classes are unequal."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from clbench.registry import strategy
from clbench.strategy import Learner

from ._rule import Rule


@strategy("majority", family="bound", role="control")
class Majority(Rule):
    """Answer the most frequent class of the latest stage, whatever the sample: no network is trained.

    The zero rule that Holte 1993 (doi:10.1023/A:1022631118932) holds simple classifiers against. Of classes that are
    equally frequent it takes the first. A head answers with the class of the latest stage that used it; until there was
    one the untrained network answers.

    Cost: none: nothing is trained.
    """

    def __init__(self) -> None:
        super().__init__()
        self.of_head: dict[int, int] = {}

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Count the stage's labels."""
        labels, heads = learner.data.told
        for head in heads.unique().tolist():
            own = labels[(heads == head) & (labels >= 0)]
            if len(own):
                self.of_head[head] = int(own.bincount().argmax())

    def answers(self, learner: Learner) -> Tensor:
        """The head's class; a task has one head."""
        head = learner.heads
        assert isinstance(head, int)
        return torch.full_like(learner.mbatch[1], self.of_head.get(head, -1))
