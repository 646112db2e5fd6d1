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


def train(
    train_part: tuple[Tensor, Tensor],
    test_part: tuple[Tensor, Tensor],
    tasks: int,
    method: str,
    batch: int = 128,
    lr: float = 0.05,
    lam: float = 100.0,
) -> dict[str, Any]:
    """Train and evaluate; return R, training seconds and samples per second, and the whole time."""
    begun = time.perf_counter()
    (train_images, train_labels), (test_images, test_labels) = train_part, test_part
    torch.manual_seed(0)
    orders = [torch.randperm(784) for _ in range(tasks)]
    tests = permuted(test_images, orders)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr)
    weights = list(model.parameters())
    # The penalties of all tasks, folded: Σ A, and Σ Aθ*.
    total = [torch.zeros_like(w) for w in weights]
    pulled = [torch.zeros_like(w) for w in weights]
    R, seconds, samples = [], 0.0, 0
    for task in range(tasks):
        (inputs,) = permuted(train_images, [orders[task]])
        started = time.perf_counter()
        for index in torch.randperm(len(inputs)).split(batch):
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(inputs[index]), train_labels[index])
            loss.backward()
            if method == "ewc" and task:
                with torch.no_grad():
                    for w, a, b in zip(weights, total, pulled, strict=True):
                        assert w.grad is not None
                        w.grad.addcmul_(a, w, value=lam).sub_(b, alpha=lam)
            optimizer.step()
        if method == "ewc":
            batches = 0
            found = [torch.zeros_like(w) for w in weights]
            for start in range(0, len(inputs), batch):
                part = slice(start, start + batch)
                loss = functional.cross_entropy(model(inputs[part]), train_labels[part])
                for sum_, g in zip(found, torch.autograd.grad(loss, weights), strict=True):
                    sum_.addcmul_(g, g)
                batches += 1
            for a, b, f, w in zip(total, pulled, found, weights, strict=True):
                a.add_(f, alpha=1 / batches)
                b.addcmul_(f, w.detach(), value=1 / batches)
        seconds += time.perf_counter() - started
        samples += len(inputs)
        with torch.no_grad():
            R.append([float((model(x).argmax(1) == test_labels).float().mean()) for x in tests])
    return {
        "R": R,
        "train_seconds": seconds,
        "samples_per_second": samples / seconds,
        "seconds": time.perf_counter() - begun,
    }
