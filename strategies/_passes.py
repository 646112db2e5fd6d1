"""Methods that look at what the network computes of a batch, through hooks on its modules."""

from __future__ import annotations

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
