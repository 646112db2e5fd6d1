"""Mixed-privacy linear forgetting: a linearised network, from which samples are removed exactly."""

from __future__ import annotations

from typing import Any

from torch import nn

from clbench.errors import UserError
from clbench.registry import Count, Positive, strategy
from clbench.strategy import Learner, Weights, has_heads

from ._linearised import Linearised, conjugate_gradients
from ._request import OnRequest


@strategy("linear-forgetting", family="removal")
class LinearForgetting(OnRequest):
    """Linear forgetting: a linearised network answers; a request solves its linear system without what was removed.

    Mixed-privacy forgetting of Golatkar et al. 2021 (arXiv:2012.13431). Core weights w_c, which no request concerns,
    stay as the run begins with them: pretrained ('pretrain') or as they were drawn. What the stream shows goes into w_u
    of f(x) = f_{w_c}(x) + ∇f_{w_c}(x)·w_u, the minimum of mean_n ½‖f(x_n) − y_n‖² + (μ/2)‖w_u‖² over one-hot y, in
    evaluation mode. It solves (H + μI)·w_u = b, H = mean JᵀJ and b = mean Jᵀ(y − f_{w_c}), by conjugate gradients on
    Jacobian products. A request solves it anew for what stays, from w_u = 0 rather than, as the paper does, from the
    old w_u: so nothing of the removed samples is left that noise would have to hide, however early the solver ends.
    mu: μ. iterations: of conjugate gradients at most. tolerance: the residual relative to b at which they end.

    Cost: no step of training; for each stage up to ``iterations`` passes over its data, each a forward pass, two
    backward ones and one through a backward one; evaluation a backward pass less. Keeps w_u, 4 bytes a weight.
    """

    trains = False

    def __init__(
        self,
        *,
        mu: Positive = 0.001,
        iterations: Count = 100,
        tolerance: Positive = 0.001,
    ) -> None:
        super().__init__()
        self.mu = mu
        self.iterations = iterations
        self.tolerance = tolerance
        self.user: Weights = []
        self.reached = True

    def check(self, model: nn.Module) -> None:
        """One classifier alone: all weights are one linear system."""
        if has_heads(model):
            raise UserError(
                "strategy 'linear-forgetting': one linear system needs one classifier, and this network has a head for "
                "each task. Use a stream with one head, for instance forget-class-digits."
            )

    def stage_epochs(self, learner: Learner) -> int:
        """None at all: a linear system is solved."""
        return 0

    def after_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Solve for the samples of the stage: all of them at first, those that stay when some are to be removed."""
        linearised = Linearised(learner)
        target = linearised.target(learner.data)
        self.user, reached = conjugate_gradients(
            lambda v: linearised.curvature(learner.data, v, self.mu), target, self.iterations, self.tolerance
        )
        self.reached &= reached

    def after_eval_forward(self, learner: Learner, **kwargs: Any) -> None:
        """Add ∇f·w_u to what the core weights say."""
        if self.user:
            learner.mb_output = Linearised(learner).outputs(learner.mbatch[0], learner.heads, self.user)

    def warnings(self) -> list[str]:
        """Whether the linear systems were solved."""
        if self.reached:
            return []
        return [
            f"not converged: {self.iterations} iterations of conjugate gradients left a residual above "
            f"{self.tolerance:g} of the right side; raise strategy.iterations or strategy.mu"
        ]
