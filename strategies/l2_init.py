"""L2 towards the initial weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from clbench.registry import NonNegative, strategy
from clbench.strategy import Learner, Strategy, grown, named_weights

from ._layers import norm_parameters


@strategy("l2-init", family="plasticity", version=2)
class L2Init(Strategy):
    """Regenerative regularisation: (λ/2)‖θ − θ_0‖² towards the initial weights keeps them able to learn.

    Kumar et al. 2023 (arXiv:2308.11958), with the ½ of our penalties; every weight but those of normalisation
    layers. Weights that a batch gives no gradient, such as other tasks' heads, are left alone. New rows of a growing
    classifier are pulled towards what they were when they came.
    lam: λ, how strongly weights are pulled to where they began.

    Cost: an addition to the gradient each step; a copy of the initial weights.
    """

    def __init__(self, *, lam: NonNegative = 0.001) -> None:
        super().__init__()
        self.lam = lam
        self.initial: dict[str, Tensor] = {}

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Remember weights that are new."""
        norms = norm_parameters(learner.model)
        named = {n: w for n, w in named_weights(learner.model, include_head=True).items() if id(w) not in norms}
        for name, weight in named.items():
            self.initial[name] = grown(self.initial.get(name), weight.detach().clone())
        self.held = [(weight, self.initial[name]) for name, weight in named.items()]

    def repeats(self) -> bool:
        """Each step does the same to the same tensors."""
        return True

    @torch.no_grad()
    def before_update(self, learner: Learner, **kwargs: Any) -> None:
        """Add λ(θ − θ_0) to the gradient of weights that have one."""
        used = [(weight, anchor, weight.grad) for weight, anchor in self.held if weight.grad is not None]
        weights, anchors, found = (list(part) for part in zip(*used, strict=True))
        torch._foreach_add_(found, weights, alpha=self.lam)
        torch._foreach_sub_(found, anchors, alpha=self.lam)
