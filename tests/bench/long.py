"""Long streams: seconds against a bare loop that does the same, the two taking turns stage by stage in one process.

    python -m tests.bench.long [--tasks 200] [STRATEGY…]

Permuted MNIST, 10,000 images per task, batch 16, MLP 784-100-100-10, SGD 0.01, one epoch; each task's test images are
evaluated after its stage. Without names: naive and every strategy that touches the weights at each step. The ratio of
seconds (clbench ÷ bare) is taken stage by stage, training and evaluation with everything between; naive goes through
all tasks, the others through a tenth of them. Needs the real MNIST images (CLBENCH_TEST_DATA or ../shared/data).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from clbench.config import resolve
from tests.bench.stages import assembled
from tests.real_data import prepared

IMAGES, BATCH, LR = 10_000, 16, 0.01
STEPPING = ["l2-init", "weight-clipping", "continual-backprop", "redo", "snr", "hare-tortoise", "upgd", "parseval",
            "spectral-reg", "ewc-online", "ewc-fixed"]  # fmt: skip
SETTING = {
    "model": {"name": "mlp", "widths": [100, 100]},
    "optimizer": {"name": "sgd", "lr": LR, "reset": "never"},
    "batch_size": BATCH,
    "evaluate_all_every": 1000,
}


class Bare:
    """The same work by hand: permute, train one epoch counting right answers as it goes, evaluate."""

    def __init__(self, images: Tensor, labels: Tensor, test_images: Tensor, test_labels: Tensor) -> None:
        self.train, self.test = (images, labels), (test_images, test_labels)
        self.model = nn.Sequential(nn.Linear(784, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 10))
        self.optimizer = torch.optim.SGD(self.model.parameters(), LR)

    def stage(self) -> float:
        """Return the seconds of one task."""
        begun = time.perf_counter()
        order = torch.randperm(784)
        chosen = torch.randperm(len(self.train[0]))[:IMAGES]
        inputs, labels = self._inputs(self.train[0][chosen], order), self.train[1][chosen]
        right = torch.zeros((), dtype=torch.int64)
        for index in torch.randperm(len(inputs)).split(BATCH):
            self.optimizer.zero_grad()
            logits = self.model(inputs[index])
            loss = functional.cross_entropy(logits, labels[index])
            right += (logits.argmax(1) == labels[index]).sum()
            loss.backward()
            self.optimizer.step()
        with torch.no_grad():
            float((self.model(self._inputs(self.test[0], order)).argmax(1) == self.test[1]).float().mean())
        return time.perf_counter() - begun

    def _inputs(self, images: Tensor, order: Tensor) -> Tensor:
        return (images.flatten(1)[:, order].float() / 255 - 0.1307) / 0.3081


def ratios(strategy: str, tasks: int, root: Path) -> list[float]:
    """clbench's seconds ÷ the bare loop's, for each stage but the first, which warms both up."""
    scenario = {"name": "permuted-mnist", "tasks": tasks, "samples_per_task": IMAGES}
    (config,) = resolve(SETTING, {"strategy": strategy, "scenario": scenario})
    learner, benchmark, data = assembled(config, root)
    torch.set_num_threads(1)
    bare = Bare(
        *(torch.tensor(part) for part in (data.train_samples, data.train_labels, data.test_samples, data.test_labels))
    )
    found: list[float] = []
    for experience, test in zip(benchmark.streams["train"], benchmark.streams["test"], strict=True):
        theirs = bare.stage()
        begun = time.perf_counter()
        learner.fit(experience)
        experience.release()
        learner.row([test])
        found.append((time.perf_counter() - begun) / theirs)
    return found[1:]


def main() -> None:
    """Measure and print the table of docs/pages/explained/speed.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("strategies", nargs="*", default=["naive", *STEPPING])
    options = parser.parse_args()
    root = prepared()
    if root is None:
        sys.exit("This benchmark needs the real MNIST images: set CLBENCH_TEST_DATA or provide ../shared/data.")
    print("| strategy | tasks | seconds ÷ bare loop, median | quartiles |")
    print("|---|---:|---:|---:|")
    for name in options.strategies:
        tasks = options.tasks if name == "naive" else max(options.tasks // 10, 3)
        found = ratios(name, tasks, root)
        low, median, high = statistics.quantiles(found, n=4)
        print(f"| {name} | {tasks} | {median:.2f} | {low:.2f} to {high:.2f} |", flush=True)


if __name__ == "__main__":
    main()
