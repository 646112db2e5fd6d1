"""Utility-based perturbed gradient descent."""

from __future__ import annotations

import random
from typing import Any, Literal

import torch
from torch import Tensor

from clbench.registry import NonNegative, Share, strategy
from clbench.strategy import Learner, Strategy, grown, named_weights

POOL = 2**20
Maximum = Literal["corrected", "uncorrected"]


@strategy("upgd", family="plasticity")
class Upgd(Strategy):
    """Perturbed gradient descent by utility: useful weights are held, useless ones moved by gradient and noise.

    Elsayed and Mahmood 2024 (arXiv:2404.00781), algorithm 1, weight-wise with global normalisation:
    U ← βU + (1−β)(−gθ), Û = U/(1−βᵗ), g ← (g + σξ)(1 − sigmoid(Û/max Û)), ξ ~ N(0, 1). The step is the optimiser's: the
    paper's is plain SGD. Heads that the batch does not use are left alone. Noise is cut from a pool of a million draws
    at a new place each step, since drawing it each step would cost more than the step.
    beta: decay of the running utility. noise: σ, the spread of the noise.
    maximum: 'corrected' divides by max Û, as algorithm 1 has it, so that the correction cancels; 'uncorrected' divides
    Û by max U, as the authors' code does: until t is some 1/(1−β) steps weights of positive utility are all but frozen,
    and those of negative utility move at nearly twice the speed.

    Cost: element-wise work on every weight each step; a utility for each weight, and a pool of a million draws or twice
    the largest weight.
    """

    exclusive = "changes the optimiser's step"

    def __init__(self, *, beta: Share = 0.999, noise: NonNegative = 0.001, maximum: Maximum = "corrected") -> None:
        super().__init__()
        self.beta = beta
        self.noise = noise
        self.maximum = maximum
        self.utility: dict[str, Tensor] = {}
        self.steps: dict[str, int] = {}  # t of each weight, which counts from its first gradient

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Collect the weights; utilities go on, from 0 where a growing classifier has new rows."""
        self.weights = named_weights(learner.model, include_head=True)
        for name, weight in self.weights.items():
            begun = torch.zeros_like(weight, memory_format=torch.contiguous_format)
            self.utility[name] = grown(self.utility.get(name), begun)
        draws = learner.random(f"perturbation of stage {learner.stage}")
        largest = max(weight.numel() for weight in self.weights.values())
        self.pool = torch.randn(max(POOL, 2 * largest), generator=draws).mul_(self.noise).to(learner.device)
        self.places = random.Random(draws.initial_seed())

    @torch.no_grad()
    def before_update(self, learner: Learner, **kwargs: Any) -> None:
        """Change the gradients."""
        used = [(name, weight) for name, weight in self.weights.items() if weight.grad is not None]
        weights = [weight for _, weight in used]
        found: list[Tensor] = [weight.grad for weight in weights]  # type: ignore[misc]
        utilities = [self.utility[name] for name, _ in used]
        torch._foreach_mul_(utilities, self.beta)
        torch._foreach_addcmul_(utilities, found, weights, value=self.beta - 1)  # type: ignore[arg-type]
        highest = torch.stack([utility.max() for utility in utilities]).max().clamp_min(1e-30)
        # 1 − sigmoid(x) = sigmoid(−x)
        free = list(torch._foreach_mul(utilities, -1 / highest))
        if self.maximum == "uncorrected":
            for name, _ in used:
                self.steps[name] = self.steps.get(name, 0) + 1
            torch._foreach_div_(free, [1 - self.beta ** self.steps[name] for name, _ in used])
        torch._foreach_sigmoid_(free)
        if self.noise:
            torch._foreach_add_(found, [self._noise(weight) for weight in weights])
        torch._foreach_mul_(found, free)

    def after_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Let go of the pool; the next stage has one of its own."""
        del self.pool

    def _noise(self, weight: Tensor) -> Tensor:
        start = self.places.randrange(len(self.pool) - weight.numel())
        return self.pool[start : start + weight.numel()].view(weight.shape)
