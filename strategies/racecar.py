"""Racecar training: the network must also run backwards."""

from __future__ import annotations

from typing import Any, Literal

from torch import nn

from clbench.errors import UserError
from clbench.models.reverse import IrreversibleError, Reversal
from clbench.registry import NonNegative, strategy
from clbench.strategy import Learner

from ._passes import LooksAtPasses

Kind = Literal["full", "layer-wise"]


@strategy("racecar", family="regulariser")
class Racecar(LooksAtPasses):
    """Racecar: a reverse pass with the same weights, transposed, must give back each layer's input.

    Xie and Thuerey 2020 (arXiv:2007.00024), eqs. 3–5: d'_m = act(norm((d'_{m+1} − b)Wᵀ)) from the logits down to the
    input, + λ·Σ_m ½·mean (d_m − d'_m)². The mean is over samples and elements, so that λ means the same for every size
    of layer; the paper's λ of 1e-5 is of sums. The input's estimate has no activation. Pooling goes back by repeating
    values, a residual block by the sum of both ways. Works with mlp, lenet, cnn6 (activation relu or tanh) and the
    ResNets.
    lam: λ, the strength of the reverse pass's error.
    reverse: 'full' goes back from each estimate; 'layer-wise' from what the forward pass had there.

    Cost: a reverse pass through the network and its backward pass each step: three products more for each layer, where
    the step has three, and two for the first; nothing is kept.
    """

    def __init__(self, *, lam: NonNegative = 0.001, reverse: Kind = "full") -> None:
        super().__init__()
        self.lam = lam
        self.reverse = reverse

    def check(self, model: nn.Module) -> None:
        """Only networks that can be gone back through."""
        try:
            Reversal(model)
        except IrreversibleError as error:
            raise UserError(
                f"strategy 'racecar' cannot go back through a {error}. Use mlp, lenet or cnn6 with activation relu or "
                "tanh, or resnet18 or slim-resnet18 without attention."
            ) from None

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Remember forward passes from here on."""
        self.reversal = Reversal(learner.model, self.reverse == "full")
        if self.lam:
            self.reversal.on(lambda: self.looking)

    def repeats(self) -> bool:
        """Each step does the same to the same tensors."""
        return True

    def before_backward(self, learner: Learner, **kwargs: Any) -> None:
        """Add the reverse pass's error to the loss."""
        if self.lam:
            learner.loss = learner.loss + self.lam * self.reversal.back().error

    def after_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Remember none any more."""
        self.reversal.off()
