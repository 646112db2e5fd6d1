"""The quadratic family: a penalty that pulls weights to an anchor, and its explicit interpolation.

Both protect the same weights (``_anchor.py``) with the same importances (``_importance.py``); they differ in when
they pull.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from clbench.strategy import Learner, Protection, Strategy, Weights, gradients, values

from ._anchor import TINY, Anchor, Scope, balance
from ._importance import Importance

WhenBothZero = Literal["freeze", "free"]


class _Anchored(Strategy):
    """What penalty and interpolation share: which weights, their importance, and the anchor."""

    def __init__(self, importance: Importance, anchor: Anchor, scope: Scope) -> None:
        super().__init__()
        self.importance = importance
        self.anchor = anchor
        self.scope = scope
        self.anchored = False

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

    def pull(self, learner: Learner, importances: Weights, anchors: Weights) -> None:
        """Prepare what each step of this stage needs of A and θ*."""
        raise NotImplementedError

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
        """Measure the stage's importance and move the anchor."""
        self.anchor.add(self.names, self.importance.finish(learner, self.weights), values(self.weights))


class QuadraticPenalty(_Anchored):
    """Adds the gradient of (λ/2)·Σ_k A_k(θ_k − θ*_k)² to the task's gradient.

    Lubana et al. 2022 (CoLLAs), eq. 1. Added as a gradient rather than to the loss: the same step without a graph.
    ``clamp`` limits A to 1/(ηλ), η being the learning rate at the stage's start: one step of plain SGD then never
    passes the anchor. ``doubled`` leaves the ½ out, as that paper's code does.
    """

    def __init__(
        self,
        importance: Importance,
        anchor: Anchor,
        lam: float,
        scope: Scope,
        *,
        clamp: bool = False,
        doubled: bool = False,
    ) -> None:
        super().__init__(importance, anchor, scope)
        self.lam = lam
        self.clamp = clamp
        self.factor = 2.0 if doubled else 1.0

    def pull(self, learner: Learner, importances: Weights, anchors: Weights) -> None:
        """Compute λA and λAθ* once per stage."""
        self.strengths = list(torch._foreach_mul(importances, self.lam))
        if self.clamp:
            torch._foreach_clamp_max_(self.strengths, 1 / learner.optimizer.param_groups[0]["lr"])
        torch._foreach_mul_(self.strengths, self.factor)
        self.pulls = list(torch._foreach_mul(self.strengths, anchors))

    @torch.no_grad()
    def before_update(self, learner: Learner, **kwargs: Any) -> None:
        """Add λA(θ − θ*) to the gradient, as λAθ − λAθ*: in place, since a temporary each step costs more."""
        if self.anchored:
            found = gradients(self.weights)
            torch._foreach_addcmul_(found, self.strengths, self.weights)  # type: ignore[arg-type]
            torch._foreach_sub_(found, self.pulls)

    def protection(self) -> Protection | None:
        """Each weight's A and λA."""
        if not self.anchored:
            return None
        return Protection("penalty", _by_name(self.names, self.held), _by_name(self.names, self.strengths))


class ExplicitInterpolation(_Anchored):
    """First the optimiser's step on the task alone, then θ ← (1−R)θ + Rθ* with R = √A / (√α + √A).

    Lubana et al. 2022 (CoLLAs), section 6. α is the running importance of the current stage, from 0; there is no λ.
    Where √α + √A = 0 the authors' code freezes the weight (R = 1); 'free' leaves it to the optimiser (R = 0). The
    optimiser's momentum is left alone.
    """

    exclusive = "goes back to an anchor after the optimiser's step"

    def __init__(self, importance: Importance, anchor: Anchor, when_both_zero: WhenBothZero, scope: Scope) -> None:
        super().__init__(importance, anchor, scope)
        self.when_both_zero = when_both_zero

    def pull(self, learner: Learner, importances: Weights, anchors: Weights) -> None:
        """Take the square roots of A once per stage."""
        roots = list(torch._foreach_sqrt(importances))
        self.bottom = list(torch._foreach_add(roots, TINY))
        self.top = self.bottom if self.when_both_zero == "freeze" else roots
        self.anchors = anchors
        # Kept from step to step: allocating them each time costs more than the arithmetic.
        self.ratios = [torch.empty_like(root) for root in roots]

    @torch.no_grad()
    def after_update(self, learner: Learner, **kwargs: Any) -> None:
        """Bring the running importance up to date, then interpolate."""
        super().after_update(learner)
        if self.anchored:
            alphas = self.importance.current(self.weights)
            for weight, alpha, top, bottom, anchor, ratio in zip(
                self.weights, alphas, self.top, self.bottom, self.anchors, self.ratios, strict=True
            ):
                torch.sqrt(alpha, out=ratio)
                torch.div(top, ratio.add_(bottom), out=ratio)
                weight.lerp_(anchor, ratio)

    def protection(self) -> Protection | None:
        """Each weight's A, and R of the last step."""
        if not self.anchored:
            return None
        return Protection("explicit", _by_name(self.names, self.held), _by_name(self.names, self.ratios))


def _by_name(names: list[str], tensors: Weights) -> dict[str, Tensor]:
    return dict(zip(names, tensors, strict=True))
