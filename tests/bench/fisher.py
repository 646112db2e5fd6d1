"""How fast the diagonal Fisher is: the closed form in one pass against ``vmap(grad)``, turn by turn.

    python -m tests.bench.fisher [--rounds 5] [--samples 12000]

MNIST images, MLP 784-400-400-10, all weights. ``vmap(grad)`` runs the empirical kind in chunks of 64 samples, on a
tenth of the samples, and its time is multiplied; the exact kind is timed like the others. Medians over rounds.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional

from clbench.data import cache
from clbench.data.inputs import Pixels
from clbench.data.sources import DataPlace
from clbench.data.tensors import TaskData
from clbench.strategies.ewc import Fisher
from tests.helpers import FakeLearner, task_data
from tests.real_data import prepared

KINDS: tuple[Any, ...] = ("argmax", "empirical", "sampled", "batched", "exact")
SHARE = 10


def by_vmap(model: nn.Module, data: TaskData) -> Tensor:
    """Mean of squared gradients of the log-likelihood, sample by sample, of all weights in a row."""
    weights = {name: weight.detach() for name, weight in model.named_parameters()}

    def likelihood(parameters: dict[str, Tensor], x: Tensor, label: Tensor) -> Tensor:
        logits = functional_call(model, parameters, (x[None],))
        value: Tensor = functional.log_softmax(logits, 1)[0].gather(0, label[None])[0]
        return value

    found = vmap(grad(likelihood), in_dims=(None, 0, 0), chunk_size=64)(weights, data.inputs(data.samples), data.labels)
    return torch.cat([value.square().mean(0).flatten() for value in found.values()])


def seconds(work: Callable[[], Any]) -> float:
    """Wall-clock time of a call."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def main() -> None:
    """Time every kind and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--samples", type=int, default=12_000)
    options = parser.parse_args()
    root = prepared()
    if root is None:
        sys.exit("The benchmark needs the MNIST images: set CLBENCH_TEST_DATA or provide ../shared/data.")
    mnist = cache.load("mnist", DataPlace.default(root, offline=True))
    images, labels = (
        torch.from_numpy(part[: options.samples].copy()) for part in (mnist.train_samples, mnist.train_labels)
    )
    data = task_data(images, labels)
    data.encode = Pixels(torch.full((1, 1, 1), 1 / 255), torch.zeros(1, 1, 1))
    torch.manual_seed(0)
    layers = [nn.Linear(784, 400), nn.ReLU(), nn.Linear(400, 400), nn.ReLU(), nn.Linear(400, 10)]
    model = nn.Sequential(nn.Flatten(), *layers)
    learner, weights = FakeLearner(model, data, batch_size=128), list(model.parameters())
    few = data.subset(torch.arange(len(data) // SHARE))
    learner.data = few
    ours = torch.cat([value.flatten() for value in Fisher("empirical").finish(learner, weights)])
    torch.testing.assert_close(ours, by_vmap(model, few), rtol=1e-3, atol=1e-9)
    learner.data = data
    times: dict[str, list[float]] = {kind: [] for kind in (*KINDS, "vmap")}
    for _ in range(options.rounds):
        for kind in KINDS:
            times[kind].append(seconds(lambda kind=kind: Fisher(kind).finish(learner, weights)))  # type: ignore[misc]
        times["vmap"].append(SHARE * seconds(lambda: by_vmap(model, few)))
    print("| Fisher | s, median | vmap(grad) ÷ it |\n|---|---:|---:|")
    for kind in KINDS:
        ratio = statistics.median(slow / fast for slow, fast in zip(times["vmap"], times[kind], strict=True))
        print(f"| {kind} | {statistics.median(times[kind]):.2f} | {ratio:.1f} |")
    print(f"| vmap(grad), empirical | {statistics.median(times['vmap']):.1f} | 1 |")


if __name__ == "__main__":
    main()
