"""Riemannian walk: a running Fisher plus a path score in its metric."""

from __future__ import annotations

import torch

from clbench.registry import Count, NonNegative, Positive, UnitInterval, strategy
from clbench.strategy import Learner, Weights, copies, gradients, grown, values

from ._anchor import TINY, Accumulate, Anchor, Scope
from ._importance import Parameters, PathIntegral
from ._quadratic import ExplicitInterpolation, QuadraticPenalty, WhenBothZero


class RiemannianWalk(PathIntegral):
    """A = F + s: F ← κg² + (1−κ)F, and s += relu(ω / (½FΔθ² + ε)) every ``interval`` steps.

    ω is the sum of −g·Δθ over the interval, Δθ in the denominator the move over it. Both start anew at each stage –
    unless ``keep_fisher``, with which F goes on, as in the code of Lubana et al. 2022. ``scaled`` divides F and s each
    by its largest value over all weights.
    """

    def __init__(
        self, rate: float, interval: int, epsilon: float, *, keep_fisher: bool = False, scaled: bool = False
    ) -> None:
        self.rate = rate
        self.interval = interval
        self.epsilon = epsilon
        self.keep_fisher = keep_fisher
        self.scaled = scaled
        self.fisher: Weights = []

    def begin(self, learner: Learner, weights: Parameters) -> None:
        """Start Fisher, path and score from nothing."""
        super().begin(learner, weights)
        self.steps = 0
        zeros = [torch.zeros_like(weight) for weight in weights]
        kept = self.keep_fisher and self.fisher
        self.fisher = [grown(old, new) for old, new in zip(self.fisher, zeros, strict=True)] if kept else zeros
        self.omega = [torch.zeros_like(weight) for weight in weights]
        self.score = [torch.zeros_like(weight) for weight in weights]
        self.checkpoint = copies(weights)

    def observe(self, learner: Learner, weights: Parameters) -> None:
        """Bring the Fisher up to date."""
        super().observe(learner, weights)
        found = gradients(weights)
        torch._foreach_mul_(self.fisher, 1 - self.rate)
        torch._foreach_addcmul_(self.fisher, found, found, self.rate)

    @torch.no_grad()
    def stepped(self, learner: Learner, weights: Parameters) -> None:
        """Follow the path; score it when an interval ends."""
        torch._foreach_add_(self.omega, self.path(weights))
        self.steps += 1
        if self.steps % self.interval:
            return
        divergence = torch._foreach_sub(values(weights), self.checkpoint)
        torch._foreach_mul_(divergence, divergence)
        torch._foreach_mul_(divergence, self.fisher)
        torch._foreach_mul_(divergence, 0.5)
        torch._foreach_add_(divergence, self.epsilon)
        gained = torch._foreach_div(self.omega, divergence)
        torch._foreach_clamp_min_(gained, 0.0)
        torch._foreach_add_(self.score, gained)
        torch._foreach_zero_(self.omega)
        torch._foreach_copy_(self.checkpoint, values(weights))

    def current(self, weights: Parameters) -> Weights:
        """F + s."""
        if not self.scaled:
            return list(torch._foreach_add(self.fisher, self.score))
        return list(torch._foreach_add(_by_largest(self.fisher), _by_largest(self.score)))


def _by_largest(values: Weights) -> Weights:
    largest = torch.stack([value.max() for value in values]).max().clamp_min(TINY)
    return list(torch._foreach_div(values, largest))


@strategy("rwalk")
def rwalk(
    *,
    lam: NonNegative = 0.01,
    rate: UnitInterval = 0.9,
    interval: Count = 10,
    epsilon: Positive = 1e-3,
    scaled: bool = False,
    accumulate: Accumulate = "mean",
    clamp: bool = False,
    balanced: bool = False,
    include_head: bool = False,
    include_norm: bool = True,
    parity: bool = False,
) -> QuadraticPenalty:
    """Riemannian walk: penalty with running Fisher plus path score; old and new importance are averaged.

    Chaudhry et al. 2018 (arXiv:1801.10112), eqs. 6 to 9. 'rate' is their α, 'interval' Δt. scaled: F and the score
    are divided by their largest values, as that paper suggests. parity: as in the code of Lubana et al. 2022, the
    running Fisher goes on over tasks, no ½, the first mean taken with nothing. Other options as for 'ewc'.
    """
    measured = RiemannianWalk(rate, interval, epsilon, keep_fisher=parity, scaled=scaled)
    scope = Scope(include_head, include_norm, balanced)
    anchor = Anchor(accumulate, halve_first=parity)
    return QuadraticPenalty(measured, anchor, lam, scope, clamp=clamp, doubled=parity)


@strategy("rwalk-fixed")
def rwalk_fixed(
    *,
    rate: UnitInterval = 0.9,
    interval: Count = 10,
    epsilon: Positive = 1e-3,
    scaled: bool = False,
    accumulate: Accumulate = "mean",
    when_both_zero: WhenBothZero = "freeze",
    balanced: bool = False,
    include_head: bool = False,
    include_norm: bool = True,
    parity: bool = False,
) -> ExplicitInterpolation:
    """RWalk by explicit interpolation; no λ.

    Lubana et al. 2022 (CoLLAs), section 6, with the importance of Chaudhry et al. 2018 (arXiv:1801.10112). parity: the
    running Fisher goes on over tasks and the first mean is taken with nothing, as in the authors' code.
    """
    measured = RiemannianWalk(rate, interval, epsilon, keep_fisher=parity, scaled=scaled)
    anchor = Anchor(accumulate, halve_first=parity)
    return ExplicitInterpolation(measured, anchor, when_both_zero, Scope(include_head, include_norm, balanced))
