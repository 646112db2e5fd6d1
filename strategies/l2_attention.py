"""L2 on the attention of a vision transformer."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import nn

from clbench.errors import UserError
from clbench.registry import NonNegative, strategy
from clbench.strategy import Learner

from ._anchor import Anchor, Scope
from ._quadratic import QuadraticPenalty
from .l2 import Uniform


class _Attention(Scope):
    """The projections to queries, keys and values alone."""

    def weights(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """Weights and biases of layers called qkv."""
        return {name: weight for name, weight in super().weights(model).items() if ".qkv." in name}


@strategy("l2-attention", family="penalty")
class L2Attention(QuadraticPenalty):
    """Only the QKV projections of a vision transformer learn, held by (λ/2)‖θ − θ*‖² to those of the last task.

    Smith et al. 2023 (arXiv:2203.17269), section 5. Heads are free. Made for a pretrained network (--pretrain):
    everything else stays as it is from the first task on. Refuses networks without attention.
    lam: λ, how strongly they are held.

    Cost: less than fine-tuning, since most weights need no gradient; an anchor and A for those that learn.
    """

    rewrites = True
    advice: ClassVar[str] = "Lower strategy.lam or the learning rate"

    def __init__(self, *, lam: NonNegative = 1.0) -> None:
        scope = _Attention(include_head=False, include_norm=True, balanced=False)
        super().__init__(Uniform(), Anchor("mean"), lam, scope)

    def check(self, model: nn.Module) -> None:
        """Only vision transformers."""
        if not self.scope.weights(model):
            raise UserError(
                "strategy 'l2-attention' found no QKV projections in this network. Use a vision transformer: "
                "--model vit."
            )

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Freeze the rest, once."""
        kept = {id(weight) for weight in self.scope.weights(learner.model).values()}
        for name, weight in learner.model.named_parameters():
            weight.requires_grad_(id(weight) in kept or name.startswith("classifier"))
        super().before_training_exp(learner)
