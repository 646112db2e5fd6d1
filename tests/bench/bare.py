"""The yardstick: permuted MNIST in a bare PyTorch loop over tensors, as a careful person would write it by hand."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


def network() -> nn.Sequential:
    """MLP 784-256-256-10."""
    return nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))


def permuted(images: Tensor, orders: Sequence[Tensor]) -> list[Tensor]:
    """Normalised float images of every task."""
    flat = images.flatten(1)
    return [(flat[:, order].float() / 255 - 0.1307) / 0.3081 for order in orders]


class Bare:
    """A network in training: naive, or EWC with all penalties folded into Σ A and Σ Aθ*."""

    def __init__(self, method: str, batch: int = 128, lr: float = 0.05, lam: float = 100.0) -> None:
        self.method, self.batch, self.lam = method, batch, lam
        self.model = network()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr)
        self.weights = list(self.model.parameters())
        self.total = [torch.zeros_like(w) for w in self.weights]
        self.pulled = [torch.zeros_like(w) for w in self.weights]
        self.stages = 0

    def stage(self, inputs: Tensor, labels: Tensor) -> float:
        """Train one epoch, measure the importances, and return the seconds."""
        begun = time.perf_counter()
        for index in torch.randperm(len(inputs)).split(self.batch):
            self.optimizer.zero_grad()
            loss = functional.cross_entropy(self.model(inputs[index]), labels[index])
            loss.backward()
            if self.method == "ewc" and self.stages:
                with torch.no_grad():
                    for w, a, b in zip(self.weights, self.total, self.pulled, strict=True):
                        assert w.grad is not None
                        w.grad.addcmul_(a, w, value=self.lam).sub_(b, alpha=self.lam)
            self.optimizer.step()
        if self.method == "ewc":
            self._measure(inputs, labels)
        self.stages += 1
        return time.perf_counter() - begun

    def _measure(self, inputs: Tensor, labels: Tensor) -> None:
        """Add the mean over mini-batches of the squared gradient of the mean loss."""
        found = [torch.zeros_like(w) for w in self.weights]
        starts = range(0, len(inputs), self.batch)
        for start in starts:
            part = slice(start, start + self.batch)
            loss = functional.cross_entropy(self.model(inputs[part]), labels[part])
            for sum_, g in zip(found, torch.autograd.grad(loss, self.weights), strict=True):
                sum_.addcmul_(g, g)
        for a, b, f, w in zip(self.total, self.pulled, found, self.weights, strict=True):
            a.add_(f, alpha=1 / len(starts))
            b.addcmul_(f, w.detach(), value=1 / len(starts))


def train(
    train_part: tuple[Tensor, Tensor], test_part: tuple[Tensor, Tensor], tasks: int, method: str
) -> dict[str, Any]:
    """Train and evaluate; return R, and samples per second in training."""
    (train_images, train_labels), (test_images, test_labels) = train_part, test_part
    torch.manual_seed(0)
    orders = [torch.randperm(784) for _ in range(tasks)]
    tests = permuted(test_images, orders)
    bare = Bare(method)
    R, seconds = [], 0.0
    for order in orders:
        (inputs,) = permuted(train_images, [order])
        seconds += bare.stage(inputs, train_labels)
        with torch.no_grad():
            R.append([float((bare.model(x).argmax(1) == test_labels).float().mean()) for x in tests])
    return {"R": R, "samples_per_second": tasks * len(train_labels) / seconds}
