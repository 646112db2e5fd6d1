"""Elastic weight consolidation: importance is the diagonal of the Fisher information."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from clbench.data.tensors import TaskData
from clbench.registry import Count, NonNegative, UnitInterval, strategy
from clbench.strategy import Learner, Weights, gradients
from clbench.strategy.per_sample import Term, mean_moments

from ._anchor import Accumulate, Anchor, IncludeHead, Scope, anchor_of
from ._importance import Form, Importance, Parameters, RunningMean, RunningThenBatch
from ._parity import ParityFisher
from ._quadratic import ExplicitInterpolation, QuadraticPenalty, WhenBothZero

FisherKind = Literal["exact", "sampled", "empirical", "argmax", "batched"]


class Fisher(Importance):
    """Diagonal Fisher information after a stage: mean over samples of (∂ log p(y|x)/∂θ)², in evaluation mode.

    The label y is: every class, weighted by the model's own p(y|x) (exact); one draw from it (sampled); the true label
    (empirical); the model's prediction (argmax). 'batched' squares the gradient of each mini-batch's mean loss
    instead, as Avalanche does; it depends on the batch size. ``samples`` caps how many images are used (None: all).
    """

    def __init__(self, kind: FisherKind, samples: int | None = None) -> None:
        self.kind = kind
        self.samples = samples

    def finish(self, learner: Learner, weights: Parameters) -> Weights:
        """Measure over the stage's data."""
        random = learner.random(f"Fisher of stage {learner.stage}")
        data = learner.data.drawn(self.samples, random)
        if self.kind == "batched":
            return self._batched(learner, weights, data)

        def terms(logits: Tensor, labels: Tensor) -> list[Term]:
            probabilities = logits.softmax(1)
            match self.kind:
                case "exact":
                    # √p inside the gradient is p outside its square.
                    return [Term(_log_probability_of(c), p.sqrt()) for c, p in enumerate(probabilities.unbind(1))]
                case "sampled":
                    labels = torch.multinomial(probabilities.cpu(), 1, generator=random)[:, 0].to(labels.device)
                case "argmax":
                    labels = logits.argmax(1)
            return [Term(_log_likelihood, labels)]

        return mean_moments(learner, weights, data, terms, torch.square)

    def _batched(self, learner: Learner, weights: Parameters, data: TaskData) -> Weights:
        learner.model.eval()
        sums = [torch.zeros_like(weight) for weight in weights]
        batches = data.batches(learner.train_mb_size)
        for x, labels, heads in batches:
            shared = data.shared(heads)
            loss = functional.cross_entropy(learner.logits(x, shared), labels)
            found = torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)
            torch._foreach_addcmul_(sums, found, found)
        learner.model.train()
        torch._foreach_div_(sums, len(batches))
        return sums


def _log_probability_of(label: int):  # type: ignore[no-untyped-def]
    def phi(logits: Tensor, root: Tensor) -> Tensor:
        return functional.log_softmax(logits, 1)[:, label] * root

    return phi


def _log_likelihood(logits: Tensor, labels: Tensor) -> Tensor:
    return functional.log_softmax(logits, 1).gather(1, labels[:, None])[:, 0]


class OnlineFisher(RunningMean):
    """Running Fisher of the current stage: ω ← κg² + (1−κ)ω, g the mini-batch's gradient, from 0."""

    def observe(self, learner: Learner, weights: Parameters) -> None:
        """Take this step's gradient in."""
        found = gradients(weights)
        torch._foreach_mul_(self.running, 1 - self.rate)
        torch._foreach_addcmul_(self.running, found, found, self.rate)  # without a temporary


@strategy("ewc", family="penalty", version=2, concerns=("parity", "clamp"))
def ewc(
    *,
    lam: NonNegative = 10.0,
    form: Form = "batch",
    fisher: FisherKind = "exact",
    fisher_samples: Count | None = 5000,
    rate: UnitInterval = 0.8,
    accumulate: Accumulate = "separate",
    gamma: UnitInterval = 1.0,
    clamp: bool = False,
    balanced: bool = False,
    include_head: IncludeHead = "auto",
    include_norm: bool = True,
    parity: bool = False,
) -> QuadraticPenalty:
    """Elastic weight consolidation: (λ/2)·Σ_t F_t(θ−θ_t)², one anchor per task, folded to constant cost.

    Kirkpatrick et al. 2017 (arXiv:1612.00796), eq. 3.
    lam: λ, how strongly weights are held. form: 'batch' is measured after the stage, 'online' runs along, ω ← rate·g² +
    (1−rate)·ω of mini-batch gradients. fisher: the labels of the batch form, 'exact' every class by the network's own
    probability, 'sampled' one drawn from it, 'argmax' the likeliest, 'empirical' the true one; 'batched' squares the
    gradients of mini-batches, as Avalanche does. fisher_samples: how many images it is measured on (null: all).
    rate: of the online form, the weight of the newest mini-batch. accumulate: how tasks' A come together, 'separate'
    with an anchor for each task, the others at the latest weights: 'online' gamma·A + new (gamma 1 where it is no
    option), 'sum', 'mean' (A + new)/2, 'normalised' the mean of A that sum to 1. gamma: decay of earlier tasks' A where
    accumulate is 'online'. clamp: A ≤ 1/(ηλ), η being the step's. balanced: the same mean A in every layer.
    include_head: auto holds a classifier that tasks share and leaves heads of their own out. include_norm: whether
    weights of normalisation layers are held. parity: as in the code of Lubana et al. 2022 (CoLLAs), no ½, importances
    averaged whatever ``accumulate`` says (but 'normalised'), and online from 0, with gradients that have the penalty's
    in them.

    Cost: where form is 'batch', after each stage a pass of per-sample gradients over ``fisher_samples`` images; an
    addition to the gradient each step; A and an anchor for each weight, however many tasks.
    """
    running = ParityFisher(rate) if parity else OnlineFisher(rate)
    measured = running if form == "online" else Fisher(fisher, fisher_samples)
    anchor = anchor_of(accumulate, parity=parity, online=form == "online", gamma=gamma)
    scope = Scope(include_head, include_norm, balanced)
    return QuadraticPenalty(measured, anchor, lam, scope, clamp=clamp, doubled=parity)


@strategy("ewc-online", family="penalty", version=2, concerns=("clamp",))
def ewc_online(
    *,
    lam: NonNegative = 10.0,
    fisher: FisherKind = "exact",
    fisher_samples: Count | None = 5000,
    gamma: UnitInterval = 1.0,
    clamp: bool = False,
    balanced: bool = False,
    include_head: IncludeHead = "auto",
    include_norm: bool = True,
) -> QuadraticPenalty:
    """EWC with one anchor, the latest weights, and F ← γF + F_new.

    Schwarz et al. 2018 (Progress & Compress, arXiv:1805.06370), eq. 9, after Huszár 2018 (arXiv:1712.03847). Others as
    for 'ewc'.

    Cost: as for 'ewc'.
    """
    scope = Scope(include_head, include_norm, balanced)
    return QuadraticPenalty(Fisher(fisher, fisher_samples), Anchor("online", gamma), lam, scope, clamp=clamp)


@strategy("ewc-fixed", family="interpolation", version=2, concerns=("parity",))
def ewc_fixed(
    *,
    form: Form = "online",
    fisher: FisherKind = "exact",
    fisher_samples: Count | None = 5000,
    rate: UnitInterval = 0.8,
    accumulate: Accumulate = "mean",
    when_both_zero: WhenBothZero = "freeze",
    balanced: bool = False,
    include_head: IncludeHead = "auto",
    include_norm: bool = True,
    parity: bool = False,
) -> ExplicitInterpolation:
    """EWC by explicit interpolation: step on the task, then go back towards the anchor by √A/(√α+√A); no λ.

    Lubana et al. 2022 (CoLLAs), section 6, with the running Fisher ω ← rate·g² + (1−rate)·ω of mini-batch gradients.
    form: 'batch' takes A from the Fisher after the stage instead, of the kind ``fisher``; α runs along in either.
    when_both_zero: what happens where √α + √A is 0: 'freeze' holds the weight at its anchor, as the authors' code does,
    'free' leaves it to the optimiser. parity: as in the authors' code, importances are averaged, online from 0. Others
    as for 'ewc'.

    Cost: each step a running importance and an interpolation of every weight; A, α and an anchor for each weight,
    however many tasks; where form is 'batch', a pass of per-sample gradients after each stage.
    """
    running = ParityFisher(rate) if parity else OnlineFisher(rate)
    measured = running if form == "online" else RunningThenBatch(running, Fisher(fisher, fisher_samples))
    anchor = anchor_of(accumulate, parity=parity, online=form == "online")
    return ExplicitInterpolation(measured, anchor, when_both_zero, Scope(include_head, include_norm, balanced))
