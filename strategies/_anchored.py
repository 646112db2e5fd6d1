"""What holds weights at an anchor, by a penalty or by explicit interpolation.

Both protect the same weights (``_anchor.py``) with the same importances (``_importance.py``); they differ in when
they pull (``_quadratic.py``).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from clbench.errors import UserError
from clbench.strategy import Learner, Strategy, Weights, values

from ._anchor import Anchor, Scope, balance
from ._importance import Importance


class Anchored(Strategy):
    """What penalty and interpolation share: which weights, their importance, and the anchor."""

    def __init__(self, importance: Importance, anchor: Anchor, scope: Scope) -> None:
        super().__init__()
        self.importance = importance
        self.anchor = anchor
        self.scope = scope
        self.anchored = False

    def check(self, model: nn.Module) -> None:
        """Only networks that have a weight to hold."""
        if not self.scope.weights(model):
            raise UserError(
                "strategy: there is no weight to hold, since those before the classifier are none, and a classifier's "
                "own are left out. Set strategy.include_head=true, or use a network with features such as mlp."
            )

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Collect the weights of this stage and fit the anchor to them."""
        named = self.scope.weights(learner.model)
        self.names, self.weights = list(named), list(named.values())
        self.anchored = bool(self.anchor.importance)
        if self.anchored:
            importances, anchors = self.anchor.fitting(self.names, values(self.weights))
            if self.scope.balanced:
                importances = balance(self.names, importances)
            self.held = importances
            self.pull(learner, importances, anchors)
        self.importance.begin(learner, self.weights)

    def repeats(self) -> bool:
        """Each step does the same to the same tensors."""
        return True

    def pull(self, learner: Learner, importances: Weights, anchors: Weights) -> None:
        """Prepare what each step of this stage needs of A and θ*."""
        raise NotImplementedError

    def release(self) -> None:
        """Let go of what ``pull`` has prepared."""
        raise NotImplementedError

    def before_training_epoch(self, learner: Learner, **kwargs: Any) -> None:
        """Tell the importance."""
        self.importance.epoch(learner, self.weights)

    def after_forward(self, learner: Learner, **kwargs: Any) -> None:
        """Let the importance see the logits."""
        self.importance.forwarded(learner, self.weights)

    def after_backward(self, learner: Learner, **kwargs: Any) -> None:
        """Let the importance see the task's own gradient."""
        self.importance.observe(learner, self.weights)

    def after_update(self, learner: Learner, **kwargs: Any) -> None:
        """Let the importance see the step."""
        self.importance.stepped(learner, self.weights)

    def after_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Measure the stage's importance and move the anchor; what the stage alone needed is let go."""
        self.anchor.add(self.names, self.importance.finish(learner, self.weights), values(self.weights))
        self.importance.end()
        self.anchored = False
        self.held = []
        self.release()


def by_name(names: list[str], tensors: Weights) -> dict[str, Tensor]:
    """Weights' values by name."""
    return dict(zip(names, tensors, strict=True))
