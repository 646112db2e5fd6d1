"""The quadratic family: a penalty that pulls weights to an anchor, and its explicit interpolation.

Both protect the same weights with the same importances (``_importance.py``); they differ in when they pull.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from clbench.strategy import Learner, Strategy, Weights, gradients, grown, named_weights, values

from ._importance import Importance

Accumulate = Literal["separate", "online", "sum", "mean"]
WhenBothZero = Literal["freeze", "free"]
# Added to a sum of square roots to settle 0/0; far below any √A that survives flushing of denormals (1e-19).
TINY = 1e-30


class Anchor:
    """Importance A and anchor θ* of everything learnt so far, by name of weight.

    separate: one anchor and one A per task. Σ_t A_t(θ−θ_t)² = (Σ_t A_t)(θ−θ̄)² + const with θ̄ = Σ_t A_t θ_t / Σ_t A_t,
    so the sum folds exactly into one A and one anchor: cost and memory do not grow with tasks.
    online: A ← γA + A_new; sum: A ← A + A_new; mean: A ← (A + A_new)/2; these three anchor at the latest weights.
    """

    def __init__(self, accumulate: Accumulate, gamma: float = 1.0) -> None:
        self.accumulate = accumulate
        self.gamma = gamma
        self.importance: dict[str, Tensor] = {}
        self.weights: dict[str, Tensor] = {}

    def add(self, names: list[str], importances: Weights, weights: Weights) -> None:
        """Take a finished stage in."""
        for name, new, weight in zip(names, importances, weights, strict=True):
            if name not in self.importance:
                self.importance[name], self.weights[name] = new.clone(), weight.clone()
                continue
            old, anchor = self._fitting(name, weight)
            match self.accumulate:
                case "separate":
                    total = old + new
                    share = torch.where(total > 0, new / total, 0.0)
                    self.importance[name], self.weights[name] = total, anchor.lerp(weight, share)
                    continue
                case "online":
                    total = self.gamma * old + new
                case "sum":
                    total = old + new
                case "mean":
                    total = (old + new) / 2
            self.importance[name], self.weights[name] = total, weight.clone()

    def fitting(self, names: list[str], weights: Weights) -> tuple[Weights, Weights]:
        """A and θ* for the given weights; zero importance where a growing classifier has new rows."""
        pairs = [self._fitting(name, weight) for name, weight in zip(names, weights, strict=True)]
        return [pair[0] for pair in pairs], [pair[1] for pair in pairs]

    def _fitting(self, name: str, weight: Tensor) -> tuple[Tensor, Tensor]:
        return grown(self.importance[name], torch.zeros_like(weight)), grown(self.weights[name], weight.clone())


class _Anchored(Strategy):
    """What penalty and interpolation share: which weights, their importance, and the anchor."""

    def __init__(self, importance: Importance, anchor: Anchor, include_head: bool) -> None:
        super().__init__()
        self.importance = importance
        self.anchor = anchor
        self.include_head = include_head

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Collect the weights of this stage and fit the anchor to them."""
        named = named_weights(learner.model, self.include_head)
        self.names, self.weights = list(named), list(named.values())
        self.anchored = bool(self.anchor.importance)
        if self.anchored:
            self.pull(*self.anchor.fitting(self.names, values(self.weights)))
        self.importance.begin(learner, self.weights)

    def pull(self, importances: Weights, anchors: Weights) -> None:
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
    """

    def __init__(self, importance: Importance, anchor: Anchor, lam: float, include_head: bool) -> None:
        super().__init__(importance, anchor, include_head)
        self.lam = lam

    def pull(self, importances: Weights, anchors: Weights) -> None:
        """Compute λA and λAθ* once per stage."""
        self.strengths = list(torch._foreach_mul(importances, self.lam))
        self.pulls = list(torch._foreach_mul(self.strengths, anchors))

    @torch.no_grad()
    def before_update(self, learner: Learner, **kwargs: Any) -> None:
        """Add λA(θ − θ*) to the gradient, as λAθ − λAθ*: in place, since a temporary each step costs more."""
        if self.anchored:
            found = gradients(self.weights)
            torch._foreach_addcmul_(found, self.strengths, self.weights)  # type: ignore[arg-type]
            torch._foreach_sub_(found, self.pulls)


class ExplicitInterpolation(_Anchored):
    """First the optimiser's step on the task alone, then θ ← (1−R)θ + Rθ* with R = √A / (√α + √A).

    Lubana et al. 2022 (CoLLAs), section 6. α is the running importance of the current stage, from 0; there is no λ.
    Where √α + √A = 0 the authors' code freezes the weight (R = 1); 'free' leaves it to the optimiser (R = 0). The
    optimiser's momentum is left alone.
    """

    def __init__(
        self, importance: Importance, anchor: Anchor, when_both_zero: WhenBothZero, include_head: bool
    ) -> None:
        super().__init__(importance, anchor, include_head)
        self.when_both_zero = when_both_zero

    def pull(self, importances: Weights, anchors: Weights) -> None:
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
