"""Methods that act between stages."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from clbench.strategy import Learner, Strategy


class BetweenStages(Strategy):
    """Base of methods that act before each stage but the first, and say so, by name, when a run had no other."""

    rewrites = True
    method = ""
    acted = 0

    @abstractmethod
    def act(self, learner: Learner) -> None:
        """Do it, before a later stage."""

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Act, but not before the first stage."""
        if learner.stage > 0:
            self.act(learner)
            self.acted += 1

    def warnings(self) -> list[str]:
        """Say so if there was one stage."""
        if self.acted:
            return []
        return [f"never fired: {self.method} acts before each stage but the first, and the run had one stage"]
