"""The quadratic family: a penalty that pulls weights to an anchor, and its explicit interpolation."""

from __future__ import annotations

import math
import warnings
from typing import Any, ClassVar, Literal

import torch

from clbench.errors import Remark
from clbench.strategy import Learner, Protection, Weights, gradients, layer_of

from ._anchor import TINY, Anchor, Scope
from ._anchored import Anchored, by_name
from ._importance import Importance

WhenBothZero = Literal["freeze", "free"]


class QuadraticPenalty(Anchored):
    """Adds the gradient of (λ/2)·Σ_k A_k(θ_k − θ*_k)² to the task's gradient.

    Lubana et al. 2022 (CoLLAs), eq. 1. Added as a gradient rather than to the loss: the same step without a graph.
    ``clamp`` limits λA to 1/η, η being the learning rate of the step: a step of plain SGD then never passes the anchor.
    ``doubled`` leaves the ½ out, as that paper's code does. A run in which ηλA came to more than 1 under SGD says so:
    its steps passed the anchor, and beyond ``stable_up_to`` they swing ever further.
    """

    advice: ClassVar[str] = "Lower strategy.lam or the learning rate, or set strategy.clamp=true"

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
        self.acted: bool | None = None  # None: there was no stage to act in
        self.largest = 0.0  # ηλA of the run, under SGD
        self.limit = math.inf  # what it may be
        self.layer = ""  # where that was

    def pull(self, learner: Learner, importances: Weights, anchors: Weights) -> None:
        """Compute λA and λAθ* once per stage; numbers are read back from the device here, where no step waits."""
        self.whole = list(torch._foreach_mul(importances, self.lam * self.factor))
        self.anchors = anchors
        self.strengths = [*self.whole]  # a list of its own: a checkpoint is put back in place
        self.pulls = list(torch._foreach_mul(self.strengths, anchors))
        self.rate = self.highest = 0.0
        largest = torch.stack([strength.abs().max() for strength in self.whole]).tolist()
        self.stiffest, name = max(zip(largest, self.names, strict=True))
        self.stiff_layer = layer_of(name)
        self.acted = self.acted or self.stiffest > 0

    def release(self) -> None:
        """Let go of λA and λAθ*."""
        self.whole, self.anchors, self.strengths, self.pulls = [], [], [], []

    @torch.no_grad()
    def before_update(self, learner: Learner, **kwargs: Any) -> None:
        """Add λA(θ − θ*) to the gradient, as λAθ − λAθ*: in place, since a temporary each step costs more."""
        if self.anchored:
            self._suit(learner.optimizer)
            found = gradients(self.weights)
            torch._foreach_addcmul_(found, self.strengths, self.weights)  # type: ignore[arg-type]
            torch._foreach_sub_(found, self.pulls)

    def _suit(self, optimizer: torch.optim.Optimizer) -> None:
        """Clamp for this step's learning rate, which a schedule changes at each, or remember how far it goes."""
        rate = optimizer.param_groups[0]["lr"]
        if rate == self.rate:
            return
        self.rate, self.highest = rate, max(rate, self.highest)
        if self.clamp:
            self.strengths = self._clamped(rate)
            self.pulls = list(torch._foreach_mul(self.strengths, self.anchors))
        elif isinstance(optimizer, torch.optim.SGD) and rate * self.stiffest > self.largest:
            first = self.largest <= 1
            self.largest, self.layer = rate * self.stiffest, self.stiff_layer
            self.limit = stable_up_to(optimizer.param_groups[0])
            if first and self.largest > 1:
                warnings.warn(Remark(f"a penalty is strong: {self._told()}. {self.advice}."), stacklevel=2)

    def _clamped(self, rate: float) -> Weights:
        return list(torch._foreach_clamp_max(self.whole, 1 / rate if rate > 0 else math.inf))

    def protection(self) -> Protection | None:
        """Each weight's A and λA; clamped, as at the stage's largest learning rate."""
        if not self.anchored:
            return None
        strengths = self._clamped(self.highest) if self.clamp else self.whole
        return Protection("penalty", by_name(self.names, self.held), by_name(self.names, strengths))

    def warnings(self) -> list[str]:
        """Say so if ηλA was above 1, or if nothing was held at all."""
        if self.acted is False and self.lam > 0:
            return ["never fired: every importance was 0, so that no weight was held"]
        if self.largest <= 1:
            return []
        return [f"{'unstable' if self.largest > self.limit else 'overshoot'}: {self._told()}"]

    def _told(self) -> str:
        return (
            f"ηλA up to {self.largest:.3g} (layer {self.layer}); above 1 a step passes the anchor, above "
            f"{self.limit:.3g} such steps diverge"
        )


def stable_up_to(group: dict[str, Any]) -> float:
    """Largest ηa with which SGD on (a/2)θ² does not diverge: 2(1+m) with momentum m, Nesterov's 2(1+m)/(1+2m).

    Where the roots of θ_{t+1} = (1 + m − ηa)θ_t − mθ_{t−1} leave the unit circle.
    """
    momentum = float(group["momentum"])
    return 2 * (1 + momentum) / (1 + 2 * momentum if group["nesterov"] else 1)


class ExplicitInterpolation(Anchored):
    """First the optimiser's step on the task alone, then θ ← (1−R)θ + Rθ* with R = √A / (√α + √A).

    Lubana et al. 2022 (CoLLAs), section 6. α is the running importance of the current stage, from 0; there is no λ.
    Where √α + √A = 0 the authors' code freezes the weight (R = 1); 'free' leaves it to the optimiser (R = 0), as new
    rows of a growing classifier always are. The optimiser's momentum is left alone.
    """

    exclusive = "goes back to an anchor after the optimiser's step"

    def __init__(self, importance: Importance, anchor: Anchor, when_both_zero: WhenBothZero, scope: Scope) -> None:
        super().__init__(importance, anchor, scope)
        self.when_both_zero = when_both_zero
        self.acted: bool | None = None  # whether any R lay between 0 and 1 at a stage's end; None: there was no stage

    def pull(self, learner: Learner, importances: Weights, anchors: Weights) -> None:
        """Take the square roots of A once per stage."""
        roots = list(torch._foreach_sqrt(importances))
        self.bottom = list(torch._foreach_add(roots, TINY))
        self.top = [bottom.clone() for bottom in self.bottom] if self.when_both_zero == "freeze" else roots
        for name, top in zip(self.names, self.top, strict=True):
            top[self.anchor.new_rows(name)] = 0.0
        self.anchors = anchors
        # Kept from step to step: allocating them each time costs more than the arithmetic.
        self.ratios = [torch.empty_like(root) for root in roots]

    def release(self) -> None:
        """Let go of the roots and of R."""
        self.bottom, self.top, self.anchors, self.ratios = [], [], [], []

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

    def after_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """See whether this stage's weights were held without being frozen, then take it in."""
        if self.anchored:
            ratios = torch.cat([ratio.flatten() for ratio in self.ratios])
            self.acted = self.acted or bool(((ratios > 0) & (ratios < 1)).any())
        super().after_training_exp(learner)

    def warnings(self) -> list[str]:
        """Say so if it was fine-tuning or freezing all the time."""
        if self.acted is False:
            return ["never fired: at each stage's end every weight was frozen at its anchor or free (R = 1 or 0)"]
        return []

    def protection(self) -> Protection | None:
        """Each weight's A, and R of the last step."""
        if not self.anchored:
            return None
        return Protection("explicit", by_name(self.names, self.held), by_name(self.names, self.ratios))
