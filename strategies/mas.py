"""Memory-aware synapses: importance is how much the output moves with a weight."""

from __future__ import annotations

import torch
from torch import Tensor

from clbench.registry import Count, NonNegative, UnitInterval, strategy
from clbench.strategy import Learner, Weights
from clbench.strategy.per_sample import Term, mean_moments

from ._anchor import Accumulate, IncludeHead, Scope, anchor_of
from ._importance import Form, Importance, Parameters, RunningMean, RunningThenBatch
from ._parity import ParitySensitivity
from ._quadratic import ExplicitInterpolation, QuadraticPenalty, WhenBothZero


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


class OnlineSensitivity(RunningMean):
    """Running form: ω ← κ|∂ mean‖f‖²/∂θ| + (1−κ)ω over mini-batches, from 0.

    It has a backward pass of its own, so that the task's gradient is not mixed in.
    """

    def forwarded(self, learner: Learner, weights: Parameters) -> None:
        """Differentiate this step's output, and take it in."""
        objective = learner.mb_output.square().sum(1).mean()
        found = torch.autograd.grad(objective, weights, retain_graph=True, allow_unused=True, materialize_grads=True)
        self.take(list(torch._foreach_abs(found)))


@strategy("mas", family="penalty", version=2, concerns=("parity", "clamp"))
def mas(
    *,
    lam: NonNegative = 0.03,
    form: Form = "batch",
    samples: Count | None = None,
    rate: UnitInterval = 0.8,
    accumulate: Accumulate = "sum",
    clamp: bool = False,
    balanced: bool = False,
    include_head: IncludeHead = "auto",
    include_norm: bool = True,
    parity: bool = False,
) -> QuadraticPenalty:
    """Memory-aware synapses: penalty with A = mean |∂‖f(x)‖²/∂θ|, per sample.

    Aljundi et al. 2018 (arXiv:1711.09601), eqs. 2 and 4. samples: how many images the batch form is measured on (null:
    all). form: 'batch' is measured after the stage, 'online' runs along with mini-batches, ω ← rate·|∂ mean‖f‖²/∂θ| +
    (1−rate)·ω. rate: of the online form, the weight of the newest mini-batch. parity: as in the code of Lubana et al.
    2022, no ½ and importances averaged; online from 0, of the batch's sum after the step, the step's gradients mixed
    in. Others as for 'ewc'.

    Cost: where form is 'batch', after each stage a pass of per-sample gradients over ``samples`` images, where it is
    'online' a second backward pass each step; an addition to the gradient each step; A and an anchor for each weight,
    however many tasks.
    """
    running = ParitySensitivity(rate) if parity else OnlineSensitivity(rate)
    measured = running if form == "online" else OutputSensitivity(samples)
    scope = Scope(include_head, include_norm, balanced)
    anchor = anchor_of(accumulate, parity=parity, online=form == "online")
    return QuadraticPenalty(measured, anchor, lam, scope, clamp=clamp, doubled=parity)


@strategy("mas-fixed", family="interpolation", version=2, concerns=("parity",))
def mas_fixed(
    *,
    form: Form = "online",
    samples: Count | None = None,
    rate: UnitInterval = 0.8,
    accumulate: Accumulate = "mean",
    when_both_zero: WhenBothZero = "freeze",
    balanced: bool = False,
    include_head: IncludeHead = "auto",
    include_norm: bool = True,
    parity: bool = False,
) -> ExplicitInterpolation:
    """MAS by explicit interpolation, with the running sensitivity of mini-batches; no λ.

    Lubana et al. 2022 (CoLLAs), section 6, with the importance of Aljundi et al. 2018 (arXiv:1711.09601). form: 'batch'
    takes A after the stage instead. samples: as for 'mas'. rate: as for 'mas'. parity: as for 'mas'. Others as for
    'ewc-fixed'.

    Cost: a second backward pass and an interpolation of every weight each step; A, α and an anchor for each weight,
    however many tasks.
    """
    running = ParitySensitivity(rate) if parity else OnlineSensitivity(rate)
    measured = running if form == "online" else RunningThenBatch(running, OutputSensitivity(samples))
    anchor = anchor_of(accumulate, parity=parity, online=form == "online")
    return ExplicitInterpolation(measured, anchor, when_both_zero, Scope(include_head, include_norm, balanced))
