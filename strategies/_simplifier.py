"""The auxiliary network of neural friendly training: it makes a batch easier for the network that learns it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from clbench.errors import UserError
from clbench.strategy import Learner, evaluating


class Simplifier(nn.Module):
    """g(x) = x + h(x), with h of two layers: 3 × 3 convolutions of images, else linear layers over the whole sample.

    The last layer begins at 0, so that g begins as the identity: the first batches are the data themselves, not what
    an untrained network makes of them.
    """

    def __init__(self, shape: tuple[int, ...], width: int) -> None:
        super().__init__()
        if len(shape) == 3:
            inner: nn.Module = nn.Conv2d(shape[0], width, 3, padding=1)
            last: nn.Linear | nn.Conv2d = nn.Conv2d(width, shape[0], 3, padding=1)
        else:
            size = torch.Size(shape).numel()
            inner, last = nn.Linear(size, width), nn.Linear(width, size)
        nn.init.zeros_(last.weight)
        assert last.bias is not None
        nn.init.zeros_(last.bias)
        self.flat = len(shape) != 3
        self.change = nn.Sequential(inner, nn.ReLU(), last)

    def forward(self, x: Tensor) -> Tensor:
        """Inputs [n, …] → easier inputs of the same shape."""
        given = x.flatten(1) if self.flat else x
        change: Tensor = self.change(given)
        return x + change.reshape(x.shape)


def simplifier(learner: Learner, width: int) -> Simplifier:
    """Draw one from the run's seed, on the host, so that it is the same on every device.

    Raises UserError where inputs are codes, which cannot be moved a little.
    """
    data = learner.data
    one = data.inputs(data.samples[:1])
    if not one.is_floating_point():
        raise UserError(
            "strategy 'friendly-training': the inputs are codes of categories, which cannot be made easier by degrees. "
            "Use images or rows of numbers."
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(learner.random("simplifier").initial_seed())
        return Simplifier(tuple(one.shape[1:]), width).to(learner.device)


def simplifier_step(
    learner: Learner, g: Simplifier, optimizer: torch.optim.Optimizer, x: Tensor, share: float, eta: float
) -> None:
    """One step of g on mean_n [CE(f(x̂_n), y_n) + η‖x̂_n − x_n‖²], x̂ = x + ν·(g(x) − x), ν being ``share``.

    The network f is in evaluation mode and takes no gradient.
    """
    weights = list(g.parameters())
    with torch.enable_grad(), evaluating(learner.model):
        easier = x + share * (g(x) - x)
        loss = functional.cross_entropy(learner.logits(easier, learner.heads), learner.mbatch[1])
        loss = loss + eta * (easier - x).square().sum() / len(x)
        found = torch.autograd.grad(loss, weights)
    for weight, gradient in zip(weights, found, strict=True):
        weight.grad = gradient
    optimizer.step()
