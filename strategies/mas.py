"""Memory-aware synapses: importance is how much the output moves with a weight."""

from __future__ import annotations

import torch
from torch import Tensor

from clbench.registry import Count, NonNegative, UnitInterval, strategy
from clbench.strategy import Learner, Weights

from ._importance import Importance, Parameters
from ._per_sample import Term, mean_moments
from ._quadratic import Accumulate, Anchor, ExplicitInterpolation, QuadraticPenalty, WhenBothZero


def _squared_norm(logits: Tensor, _: Tensor) -> Tensor:
    return logits.square().sum(1)


class OutputSensitivity(Importance):
    """Mean over samples of |∂‖f(x)‖²/∂θ| after a stage, in evaluation mode; labels are not used."""

    def __init__(self, samples: int | None = None) -> None:
        self.samples = samples

    def finish(self, learner: Learner, weights: Parameters) -> Weights:
        """Measure over the stage's data."""
        data = learner.data.drawn(self.samples, learner.random(f"sensitivity of stage {learner.stage}"))
        return mean_moments(learner, weights, data, lambda _, labels: [Term(_squared_norm, labels)], torch.abs)


class OnlineSensitivity(Importance):
    """Running form: ω ← κ|∂ mean‖f‖²/∂θ| + (1−κ)ω over mini-batches, from 0.

    It has a backward pass of its own, so the task's gradient is never mixed in.
    """

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def begin(self, learner: Learner, weights: Parameters) -> None:
        """Start from nothing."""
        self.running = [torch.zeros_like(weight) for weight in weights]

    def forwarded(self, learner: Learner, weights: Parameters) -> None:
        """Take this step's output in."""
        objective = learner.mb_output.square().sum(1).mean()
        found = torch.autograd.grad(objective, weights, retain_graph=True, allow_unused=True, materialize_grads=True)
        torch._foreach_mul_(self.running, 1 - self.rate)
        torch._foreach_add_(self.running, torch._foreach_abs(found), alpha=self.rate)

    def current(self, weights: Parameters) -> Weights:
        """ω."""
        return self.running


@strategy("mas")
def mas(
    *,
    lam: NonNegative = 0.01,
    samples: Count | None = None,
    accumulate: Accumulate = "sum",
    include_head: bool = False,
) -> QuadraticPenalty:
    """Memory-aware synapses: penalty with A = mean |∂‖f(x)‖²/∂θ|, per sample.

    Aljundi et al. 2018 (arXiv:1711.09601), eqs. 2 and 4. 'samples' caps how many images are used (null: all).
    """
    return QuadraticPenalty(OutputSensitivity(samples), Anchor(accumulate), lam, include_head)


@strategy("mas-fixed")
def mas_fixed(
    *,
    rate: UnitInterval = 0.8,
    accumulate: Accumulate = "mean",
    when_both_zero: WhenBothZero = "freeze",
    include_head: bool = False,
) -> ExplicitInterpolation:
    """MAS by explicit interpolation, with the running sensitivity of mini-batches; no λ.

    Lubana et al. 2022 (CoLLAs), section 6, with the importance of Aljundi et al. 2018 (arXiv:1711.09601).
    """
    return ExplicitInterpolation(OnlineSensitivity(rate), Anchor(accumulate), when_both_zero, include_head)
