"""Riemannian walk: a running Fisher plus a path score in its metric."""

from __future__ import annotations

from typing import Literal

import torch

from clbench.registry import Count, NonNegative, Positive, UnitInterval, strategy
from clbench.strategy import Learner, Weights, copies, gradients, grown, values

from ._anchor import TINY, Anchor, IncludeHead, Scope, anchor_of
from ._importance import Importance, Parameters, PathIntegral
from ._parity import ParityWalk
from ._quadratic import ExplicitInterpolation, QuadraticPenalty, WhenBothZero

Negative = Literal["task", "interval"]
Normalise = Literal["max", "min-max"]


class RiemannianWalk(PathIntegral):
    """A = F/max F + relu(s)/max s, the largest values taken over all protected weights.

    Every ``interval`` steps F ← κ·mean g² + (1−κ)·F, and s += Σ(−g·Δθ) / (½F·(θ_t2 − θ_t1)² + ε), sum and mean over the
    interval from t1 to t2; F goes on over stages. What is left of a stage when its last interval is full counts for
    nothing, as in the authors' code, unless the stage had no other. At its end s ← (s_old + s)/2.
    """

    def __init__(self, rate: float, interval: int, epsilon: float, negative: Negative, normalise: Normalise) -> None:
        self.rate = rate
        self.interval = interval
        self.epsilon = epsilon
        self.negative = negative
        self.normalise = normalise
        self.fisher: Weights = []
        self.averaged: Weights = []  # scores of the stages before

    def begin(self, learner: Learner, weights: Parameters) -> None:
        """Start path and score from nothing; the Fisher goes on."""
        super().begin(learner, weights)
        self.steps = 0
        self.fisher = _grown(self.fisher, weights)
        self.averaged = _grown(self.averaged, weights) if self.averaged else []
        self.squares, self.omega, self.score = (_grown([], weights) for _ in range(3))
        self.checkpoint = copies(weights)
        self.latest = self._importance(self.score)

    def observe(self, learner: Learner, weights: Parameters) -> None:
        """Keep the gradient, and add its square."""
        super().observe(learner, weights)
        found = gradients(weights)
        torch._foreach_addcmul_(self.squares, found, found)

    @torch.no_grad()
    def stepped(self, learner: Learner, weights: Parameters) -> None:
        """Follow the path; score it when an interval ends."""
        torch._foreach_add_(self.omega, self.path(weights))
        self.steps += 1
        if self.steps % self.interval == 0:
            self._end_interval(weights, self.interval)

    def _end_interval(self, weights: Parameters, steps: int) -> None:
        torch._foreach_mul_(self.fisher, 1 - self.rate)
        torch._foreach_add_(self.fisher, self.squares, alpha=self.rate / steps)
        divergence = torch._foreach_sub(values(weights), self.checkpoint)
        torch._foreach_mul_(divergence, divergence)
        torch._foreach_mul_(divergence, self.fisher)
        torch._foreach_mul_(divergence, 0.5)
        torch._foreach_add_(divergence, self.epsilon)
        gained = torch._foreach_div(self.omega, divergence)
        if self.negative == "interval":
            torch._foreach_clamp_min_(gained, 0.0)
        torch._foreach_add_(self.score, gained)
        torch._foreach_zero_(self.omega)
        torch._foreach_zero_(self.squares)
        torch._foreach_copy_(self.checkpoint, values(weights))
        self.latest = self._importance(self.score)

    def current(self, weights: Parameters) -> Weights:
        """A of this stage's score as of the last interval."""
        return self.latest

    @torch.no_grad()
    def finish(self, learner: Learner, weights: Parameters) -> Weights:
        """A of the scores averaged over stages."""
        if 0 < self.steps < self.interval:
            self._end_interval(weights, self.steps)
        if self.averaged:
            torch._foreach_lerp_(self.averaged, self.score, 0.5)
        else:
            self.averaged = [score.clone() for score in self.score]
        return self._importance(self.averaged)

    def end(self) -> None:
        """Let go of the stage's path and score; Fisher and averaged scores go on."""
        super().end()
        self.squares, self.omega, self.score, self.checkpoint, self.latest = [], [], [], [], []

    def _importance(self, score: Weights) -> Weights:
        positive = list(torch._foreach_clamp_min(score, 0.0))
        return list(torch._foreach_add(self._normalised(self.fisher), self._normalised(positive)))

    def _normalised(self, values: Weights) -> Weights:
        """Values ≥ 0 divided by the largest of all; 'min-max' maps the smallest to 0 too."""
        if self.normalise == "min-max":
            smallest = torch.stack([value.min() for value in values]).min()
            values = [value - smallest for value in values]
        largest = torch.stack([value.max() for value in values]).max().clamp_min(TINY)
        return list(torch._foreach_div(values, largest))


def _grown(known: Weights, weights: Parameters) -> Weights:
    zeros = [torch.zeros_like(weight) for weight in weights]
    return [grown(old, new) for old, new in zip(known, zeros, strict=True)] if known else zeros


def _measured(
    parity: bool, rate: float, interval: int, epsilon: float, negative: Negative, normalise: Normalise
) -> tuple[Importance, Anchor]:
    """The importance, and the anchor; the walk itself says what becomes of older importances: A ← A_new."""
    if parity:
        return ParityWalk(), anchor_of("mean", parity=True, online=True)
    return RiemannianWalk(rate, interval, epsilon, negative, normalise), Anchor("online", gamma=0.0)


@strategy("rwalk", family="penalty", version=2)
def rwalk(
    *,
    lam: NonNegative = 3.0,
    rate: UnitInterval = 0.9,
    interval: Count = 10,
    epsilon: Positive = 1e-3,
    negative: Negative = "task",
    normalise: Normalise = "max",
    clamp: bool = False,
    balanced: bool = False,
    include_head: IncludeHead = "auto",
    include_norm: bool = True,
    parity: bool = False,
) -> QuadraticPenalty:
    """Riemannian walk: penalty with a running Fisher plus path scores averaged over tasks, each over its largest.

    Chaudhry et al. 2018 (arXiv:1801.10112), eqs. 6 to 9; A is at most 2. Their code leaves the ½ of the denominator
    out, scores in the Fisher of the interval before, and adds the average of scores to the old ones.
    rate: their α, the weight of the newest interval in the Fisher. interval: their Δt, in steps. epsilon: what is added
    to the denominator of a score. negative: scores below 0 are cut off at the task's end ('task'), or interval by
    interval as in the authors' code. normalise: by the largest ('max'); 'min-max' also takes the smallest value off, as
    that code does. parity: as in the code of Lubana et al. 2022, which has another importance altogether (see
    ``_parity.py``), means from 0, no ½. Others as for 'ewc'.

    Cost: element-wise work on every weight each step; its Fisher, score, A and anchor, however many tasks.
    """
    measured, anchor = _measured(parity, rate, interval, epsilon, negative, normalise)
    scope = Scope(include_head, include_norm, balanced)
    return QuadraticPenalty(measured, anchor, lam, scope, clamp=clamp, doubled=parity)


@strategy("rwalk-fixed", family="interpolation", version=2)
def rwalk_fixed(
    *,
    rate: UnitInterval = 0.9,
    interval: Count = 10,
    epsilon: Positive = 1e-3,
    negative: Negative = "task",
    normalise: Normalise = "max",
    when_both_zero: WhenBothZero = "freeze",
    balanced: bool = False,
    include_head: IncludeHead = "auto",
    include_norm: bool = True,
    parity: bool = False,
) -> ExplicitInterpolation:
    """RWalk by explicit interpolation; no λ.

    Lubana et al. 2022 (CoLLAs), section 6, with the importance of Chaudhry et al. 2018 (arXiv:1801.10112): α has the
    Fisher, which goes on over tasks, and the current task's scores; A those averaged over tasks. rate: as for
    'rwalk'. interval: as for 'rwalk'. epsilon: as for 'rwalk'. negative: as for 'rwalk'. normalise: as for 'rwalk'.
    parity: as for 'rwalk'. Others as for 'ewc-fixed'.

    Cost: element-wise work on every weight and its interpolation each step; its Fisher, score, A and anchor, however
    many tasks.
    """
    measured, anchor = _measured(parity, rate, interval, epsilon, negative, normalise)
    return ExplicitInterpolation(measured, anchor, when_both_zero, Scope(include_head, include_norm, balanced))
