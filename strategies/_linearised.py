"""A network linearised around its weights, and least squares on it by products with its Jacobian."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.func import vjp
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from clbench.data.tensors import TaskData
from clbench.strategy import Learner, Weights, evaluating, named_weights

BATCH = 512


class Linearised:
    """f(x) = f_w(x) + J(x)·v around the weights w that a learner's network has, in evaluation mode.

    v has a tensor for each trainable weight, in the network's order. Means are over samples; J is never formed.
    """

    def __init__(self, learner: Learner) -> None:
        self.learner = learner
        weights = named_weights(learner.model, include_head=True)
        self.names = list(weights)
        self.at = {name: weight.detach() for name, weight in weights.items()}

    def outputs(self, x: Tensor, heads: Tensor | int, v: Weights) -> Tensor:
        """f(x), [n, outputs]."""
        with self._measuring():
            logits, back = self._vjp(x, heads)
            return logits + self._moved(logits, back, v)

    def target(self, data: TaskData) -> Weights:
        """b = mean_n J_nᵀ(y_n − f_w(x_n)), y one-hot."""
        total = [torch.zeros_like(weight) for weight in self.at.values()]
        with self._measuring():
            for x, labels, heads in data.batches(BATCH):
                logits, back = self._vjp(x, data.shared(heads))
                wanted = functional.one_hot(labels, logits.shape[1]).to(logits)
                torch._foreach_add_(total, back(wanted - logits))
        torch._foreach_div_(total, len(data))
        return total

    def curvature(self, data: TaskData, v: Weights, mu: float) -> Weights:
        """(H + μI)·v with H = mean_n J_nᵀJ_n."""
        total = [torch.zeros_like(weight) for weight in v]
        with self._measuring():
            for x, _, heads in data.batches(BATCH):
                logits, back = self._vjp(x, data.shared(heads))
                torch._foreach_add_(total, back(self._moved(logits, back, v)))
        torch._foreach_div_(total, len(data))
        torch._foreach_add_(total, v, alpha=mu)
        return total

    def _moved(self, logits: Tensor, back: Callable[[Tensor], Weights], v: Weights) -> Tensor:
        """J(x)·v: the gradient of ⟨J(x)ᵀu, v⟩ by u, wherever u is. Not every layer has a forward derivative."""
        found: Any = vjp(back, torch.zeros_like(logits))
        moved: Tensor = found[1](v)[0]
        return moved

    def _vjp(self, x: Tensor, heads: Tensor | int) -> tuple[Tensor, Callable[[Tensor], Weights]]:
        """f_w(x), and u → J(x)ᵀ·u summed over samples."""
        found: Any = vjp(lambda p: self.learner.logits(x, heads, p), self.at)

        def back(u: Tensor) -> Weights:
            (gradient,) = found[1](u)
            return [gradient[name] for name in self.names]

        return found[0], back

    @contextmanager
    def _measuring(self) -> Iterator[None]:
        """Evaluation mode; fused attention has no second derivative."""
        with evaluating(self.learner.model), sdpa_kernel(SDPBackend.MATH):
            yield


def conjugate_gradients(
    product: Callable[[Weights], Weights], b: Weights, iterations: int, tolerance: float
) -> tuple[Weights, bool]:
    """Solve A·v = b from 0 for a positive definite A that is known by its products; Hestenes and Stiefel 1952.

    Ends when ‖b − A·v‖ ≤ tolerance·‖b‖; whether it did before ``iterations`` were over is returned beside v.
    """
    v = [torch.zeros_like(one) for one in b]
    residual = [one.clone() for one in b]
    direction = [one.clone() for one in b]
    squared = first = _dot(residual, residual)
    for _ in range(iterations):
        if squared <= tolerance**2 * first:
            break
        along = product(direction)
        step = squared / _dot(direction, along)
        torch._foreach_add_(v, direction, alpha=step)
        torch._foreach_add_(residual, along, alpha=-step)
        before, squared = squared, _dot(residual, residual)
        torch._foreach_mul_(direction, squared / before)
        torch._foreach_add_(direction, residual)
    return v, squared <= tolerance**2 * first


def _dot(a: Weights, b: Weights) -> float:
    """⟨a, b⟩, in double precision: the residual of many weights must not drown in rounding."""
    return sum(float((x.double() * y.double()).sum()) for x, y in zip(a, b, strict=True))
