"""What methods have in common that make a network forget training samples on request."""

from __future__ import annotations

from clbench.strategy import Learner, Strategy


class OnRequest(Strategy):
    """Base of methods that answer requests (``learner.removed``); until one comes they are fine-tuning.

    ``epochs_on_request``: for how many epochs the stage that makes the request trains; None: as long as the run does.
    """

    forgets = True
    exclusive = "removes training samples on request"
    epochs_on_request: int | None = 0

    def stage_epochs(self, learner: Learner) -> int | None:
        """The method's own number when samples are to be forgotten."""
        return None if learner.removed is None else self.epochs_on_request
