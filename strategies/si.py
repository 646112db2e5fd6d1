"""Synaptic intelligence: importance is what a weight's path did for the loss."""

from __future__ import annotations

import torch

from clbench.registry import NonNegative, Positive, strategy
from clbench.strategy import Learner, Weights, values

from ._importance import Parameters, PathIntegral
from ._quadratic import Accumulate, Anchor, ExplicitInterpolation, QuadraticPenalty, WhenBothZero


class SynapticIntelligence(PathIntegral):
    """ω += −g·Δθ at each step; A = relu(ω / ((θ − θ_start)² + ξ))."""

    def __init__(self, xi: float) -> None:
        self.xi = xi

    def begin(self, learner: Learner, weights: Parameters) -> None:
        """Start a new path."""
        super().begin(learner, weights)
        self.omega = [torch.zeros_like(weight) for weight in weights]

    @torch.no_grad()
    def stepped(self, learner: Learner, weights: Parameters) -> None:
        """Add this step's share."""
        torch._foreach_add_(self.omega, self.path(weights))

    @torch.no_grad()
    def current(self, weights: Parameters) -> Weights:
        """Importance of the path so far."""
        distance = torch._foreach_sub(values(weights), self.start)
        torch._foreach_mul_(distance, distance)
        torch._foreach_add_(distance, self.xi)
        importance = torch._foreach_div(self.omega, distance)
        torch._foreach_clamp_min_(importance, 0.0)
        return list(importance)


@strategy("si")
def si(
    *,
    lam: NonNegative = 0.1,
    xi: Positive = 0.1,
    accumulate: Accumulate = "sum",
    include_head: bool = False,
) -> QuadraticPenalty:
    """Synaptic intelligence: penalty (λ/2)·Σ A(θ−θ*)² with A the sum over tasks of path importances.

    Zenke et al. 2017 (arXiv:1703.04200), eqs. 4 and 5, with this harness's ½ (their c is λ/2).
    """
    return QuadraticPenalty(SynapticIntelligence(xi), Anchor(accumulate), lam, include_head)


@strategy("si-fixed")
def si_fixed(
    *,
    xi: Positive = 0.1,
    accumulate: Accumulate = "mean",
    when_both_zero: WhenBothZero = "freeze",
    include_head: bool = False,
) -> ExplicitInterpolation:
    """SI by explicit interpolation; no λ.

    Lubana et al. 2022 (CoLLAs), section 6, with the path importance of Zenke et al. 2017 (arXiv:1703.04200).
    """
    return ExplicitInterpolation(SynapticIntelligence(xi), Anchor(accumulate), when_both_zero, include_head)
