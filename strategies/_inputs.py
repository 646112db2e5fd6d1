"""Gradients of the loss with respect to the inputs, for methods that change what the network sees."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from clbench.strategy import Learner


def input_gradient(learner: Learner, x: Tensor) -> Tensor:
    """∇_x of each sample's cross-entropy at ``x``, which stands for the inputs of the current batch.

    Call it in evaluation mode, so that statistics of normalisation layers stay as they are.
    """
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        loss = functional.cross_entropy(learner.logits(x, learner.heads), learner.mbatch[1], reduction="sum")
    (found,) = torch.autograd.grad(loss, x)
    return found
