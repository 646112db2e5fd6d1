"""Synaptic intelligence: importance is what a weight's path did for the loss."""

from __future__ import annotations

import torch

from clbench.errors import UserError
from clbench.registry import NonNegative, Positive, strategy
from clbench.strategy import Learner, Weights, values

from ._anchor import Accumulate, IncludeHead, Scope, anchor_of
from ._importance import Parameters, PathIntegral
from ._parity import ParityPath
from ._quadratic import ExplicitInterpolation, QuadraticPenalty, WhenBothZero


class SynapticIntelligence(PathIntegral):
    """ω += −g·Δθ at each step; A = relu(ω / ((θ − θ_start)² + ξ)).

    ``signed`` leaves the relu out, so that weights whose path raised the loss are pushed away from the anchor.
    """

    def __init__(self, xi: float, signed: bool = False) -> None:
        self.xi = xi
        self.signed = signed

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
        if not self.signed:
            torch._foreach_clamp_min_(importance, 0.0)
        return list(importance)

    def end(self) -> None:
        """Let go of path and ω."""
        super().end()
        self.omega = []


@strategy("si", family="penalty", version=2, concerns=("parity", "clamp"))
def si(
    *,
    lam: NonNegative = 1.0,
    xi: Positive = 0.1,
    signed: bool = False,
    accumulate: Accumulate = "sum",
    clamp: bool = False,
    balanced: bool = False,
    include_head: IncludeHead = "auto",
    include_norm: bool = True,
    parity: bool = False,
) -> QuadraticPenalty:
    """Synaptic intelligence: penalty (λ/2)·Σ A(θ−θ*)² with A the sum over tasks of path importances.

    Zenke et al. 2017 (arXiv:1703.04200), eqs. 4 and 5, with this harness's ½ (their c is λ/2). lam: λ, how strongly
    weights are held. xi: ξ, which damps importances of weights that hardly moved. signed: keep negative importances, of
    which Lubana et al. 2022 (CoLLAs) show that they are unstable; with accumulate sum, mean or online.
    parity: as in the code of the latter, running means of relu(g·(θ − θ_epoch)) over (θ − θ*)², averaged over tasks
    from 0, no ½; ``xi`` and ``accumulate`` (but 'normalised') say nothing then. Others as for 'ewc'.

    Cost: element-wise work on every weight each step; its path, A and anchor, however many tasks.
    """
    if signed and parity:
        raise UserError(
            "strategy.signed: the code that strategy.parity follows has no negative importances. Leave one of them out."
        )
    if signed and (balanced or accumulate in ("separate", "normalised")):
        raise UserError(
            "strategy.signed: negative importances have no weighted mean of anchors and no sum to divide by. Use it "
            "with accumulate sum, mean or online, and balanced=false."
        )
    scope = Scope(include_head, include_norm, balanced)
    anchor = anchor_of(accumulate, parity=parity, online=True)
    measured = ParityPath() if parity else SynapticIntelligence(xi, signed)
    return QuadraticPenalty(measured, anchor, lam, scope, clamp=clamp, doubled=parity)


@strategy("si-fixed", family="interpolation", version=2, concerns=("parity",))
def si_fixed(
    *,
    xi: Positive = 0.1,
    accumulate: Accumulate = "mean",
    when_both_zero: WhenBothZero = "freeze",
    balanced: bool = False,
    include_head: IncludeHead = "auto",
    include_norm: bool = True,
    parity: bool = False,
) -> ExplicitInterpolation:
    """SI by explicit interpolation; no λ.

    Lubana et al. 2022 (CoLLAs), section 6, with the path importance of Zenke et al. 2017 (arXiv:1703.04200). parity: as
    for 'si'; it needs momentum, since under plain SGD g·Δθ is never positive and everything stays frozen. xi: as for
    'si'. Others as for 'ewc-fixed'.

    Cost: element-wise work on every weight and its interpolation each step; its path, A, α and anchor, however many
    tasks.
    """
    measured = ParityPath() if parity else SynapticIntelligence(xi)
    anchor = anchor_of(accumulate, parity=parity, online=True)
    return ExplicitInterpolation(measured, anchor, when_both_zero, Scope(include_head, include_norm, balanced))
