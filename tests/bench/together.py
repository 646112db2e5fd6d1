"""What training many models in one batched step would gain: measured before it is built.

    python -m tests.bench.together [--rounds 5]

One thread, plain SGD, ReLU networks, CPU time of a step of one model. 'One by one' is a bare loop. 'Stacked': weights
[models, out, in], one product for all models, one optimiser; whatever looks at a network would have to know the leading
axis. 'Own weights': only the products are joined, and each model keeps weights, optimiser and loss of its own, so that
no strategy would notice. Ratios are medians of rounds in turns. It also says whether a stacked model is, bit for bit,
the model alone.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

STEPS = 100
RATE = 0.05
SHAPES: tuple[tuple[list[int], int], ...] = (
    ([64, 100, 100, 10], 16),  # split digits as its standard recipe has it
    ([784, 100, 100, 10], 16),
    ([784, 256, 256, 10], 64),
)
Network = list[tuple[Tensor, Tensor]]  # weights and bias of each layer
Step = Callable[[Tensor, Tensor], None]
Way = tuple[Step, Callable[[int], Network]]  # a step of all models, and the weights of one of them


class _Products(torch.autograd.Function):
    """Linear layers side by side, with the products in the very order in which autograd has them for one layer."""

    @staticmethod
    def forward(context: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """x [models, n, in], weight [models, out, in], bias [models, out] to [models, n, out]."""
        context.save_for_backward(x, weight)
        return torch.baddbmm(bias[:, None], x, weight.mT)

    @staticmethod
    def backward(context: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        """Gradients of all three."""
        (grad,) = grads
        x, weight = context.saved_tensors
        back = torch.bmm(grad, weight) if context.needs_input_grad[0] else None
        return back, torch.bmm(grad.mT, x), grad.sum(1)


def network(widths: list[int], models: int) -> Network:
    """Layers of several models, stacked: weights [models, out, in], biases [models, out]."""
    made = [[nn.Linear(i, o) for _ in range(models)] for i, o in pairwise(widths)]
    return [
        (torch.stack([one.weight.detach() for one in layer]), torch.stack([one.bias.detach() for one in layer]))
        for layer in made
    ]


def alone(layers: Network, model: int) -> Network:
    """Leaves of one of them."""
    return [(w[model].clone().requires_grad_(), b[model].clone().requires_grad_()) for w, b in layers]


def forward(x: Tensor, layers: Network) -> Tensor:
    """Logits of x [n, inputs] by one model, or of x [models, n, inputs] by several that are stacked."""
    for place, (weight, bias) in enumerate(layers):
        x = functional.linear(x, weight, bias) if x.dim() == 2 else _Products.apply(x, weight, bias)
        x = x.relu() if place < len(layers) - 1 else x
    return x


def optimiser(layers: Network) -> torch.optim.Optimizer:
    """SGD over all weights."""
    return torch.optim.SGD([weight for layer in layers for weight in layer], RATE)


def one_by_one(layers: Network, models: int) -> Way:
    """Each model has a step of its own, on x [models, n, inputs]."""
    networks = [alone(layers, model) for model in range(models)]
    optimisers = [optimiser(one) for one in networks]

    def step(x: Tensor, y: Tensor) -> None:
        for own, descent, inputs, labels in zip(networks, optimisers, x, y, strict=True):
            descent.zero_grad()
            functional.cross_entropy(forward(inputs, own), labels).backward()
            descent.step()

    return step, networks.__getitem__


def stacked(layers: Network, models: int) -> Way:
    """One step for all."""
    own = [(weight.clone().requires_grad_(), bias.clone().requires_grad_()) for weight, bias in layers]
    descent = optimiser(own)

    def step(x: Tensor, y: Tensor) -> None:
        descent.zero_grad()
        logits = forward(x, own)
        losses = functional.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="none")
        losses.view(models, -1).mean(1).sum().backward()
        descent.step()

    return step, lambda model: [(weight[model], bias[model]) for weight, bias in own]


def own_weights(layers: Network, models: int) -> Way:
    """Products for all, and everything else for each."""
    networks = [alone(layers, model) for model in range(models)]
    optimisers = [optimiser(one) for one in networks]

    def step(x: Tensor, y: Tensor) -> None:
        for descent in optimisers:
            descent.zero_grad()
        together = [tuple(map(torch.stack, zip(*same, strict=True))) for same in zip(*networks, strict=True)]
        logits = forward(x, [(weight, bias) for weight, bias in together])
        torch.autograd.backward([*map(functional.cross_entropy, logits.unbind(), y.unbind())])
        for descent in optimisers:
            descent.step()

    return step, networks.__getitem__


def timed(step: Step, x: Tensor, y: Tensor) -> float:
    """Milliseconds of CPU time for a step of one model; x [steps, models, n, inputs]."""
    begun = time.process_time()
    for inputs, labels in zip(x, y, strict=True):
        step(inputs, labels)
    return 1000 * (time.process_time() - begun) / len(x) / x.shape[1]


def equal(one: Network, other: Network) -> bool:
    """Whether two models have the same weights, bit for bit."""
    return all(torch.equal(a, b) for pair in zip(one, other, strict=True) for a, b in zip(*pair, strict=True))


def main() -> None:
    """Take turns and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    print("| network | batch | models | one by one, ms | stacked | own weights | the same bit for bit |")
    print("|---|---:|---:|---:|---:|---:|---|")
    for widths, batch in SHAPES:
        for models in (5, 20):
            torch.manual_seed(0)
            layers = network(widths, models)
            x, y = torch.randn(STEPS, models, batch, widths[0]), torch.randint(0, widths[-1], (STEPS, models, batch))
            ways = [make(layers, models) for make in (one_by_one, stacked, own_weights)]
            times = [[timed(step, x, y) for step, _ in ways] for _ in range(rounds)]
            base = statistics.median(one[0] for one in times)
            gains = " | ".join(f"{statistics.median(one[0] / one[place] for one in times):.1f} ×" for place in (1, 2))
            same = all(equal(ways[0][1](model), way[1](model)) for way in ways[1:] for model in range(models))
            name = "-".join(map(str, widths))
            print(f"| {name} | {batch} | {models} | {base:.2f} | {gains} | {'yes' if same else 'no'} |", flush=True)


if __name__ == "__main__":
    main()
