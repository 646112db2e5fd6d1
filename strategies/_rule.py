"""Rules that answer without a network: what any method must do better than."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from clbench.strategy import Learner, Strategy


class Rule(Strategy):
    """A rule in the network's place. The network stays as it was drawn, and answers where the rule knows nothing."""

    exclusive = "answers by a rule, without a network"
    trains = False

    @abstractmethod
    def answers(self, learner: Learner) -> Tensor:
        """Return the answer to each sample of the batch that is evaluated: int64 [n], −1 where the rule has none."""

    def stage_epochs(self, learner: Learner) -> int:
        """None at all."""
        return 0

    def after_eval_forward(self, learner: Learner, **kwargs: Any) -> None:
        """Put one-hot logits in the place of the network's."""
        answers, logits = self.answers(learner)[:, None], learner.mb_output
        chosen = answers == torch.arange(logits.shape[1], device=logits.device)
        learner.mb_output = torch.where(answers < 0, logits, chosen.to(logits))
