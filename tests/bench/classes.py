"""Speed against Avalanche's own classes of the same methods: iCaRL, ER-ACE and SCR.

    python -m tests.bench.classes [--rounds 3]

Class-incremental split MNIST, whole tasks, MLP 784-256-256, SGD 0.05, one epoch, 500 images in memory, one thread.
Three take turns in one process: clbench's method, Avalanche's class as its documentation shows it, on its own
benchmark, and the same class as clbench runs it, fed from resident tensors. A row has the medians of the seconds that
the second task takes, where the memory is replayed, and of the rounds' ratios to clbench's. Needs the real images
(CLBENCH_TEST_DATA or ../shared/data).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from clbench.config import resolve
from clbench.data.sources import DataPlace
from clbench.engine.run import Machine, run
from tests.real_data import prepared

MEMORY = 500
BATCHES = {"icarl": 32, "er-ace": 10, "scr": 10}
OURS: dict[str, dict[str, Any]] = {"icarl": {}, "er-ace": {}, "scr": {"batch": 100}}
THEIRS: dict[str, dict[str, Any]] = {
    "icarl": {"name": "ICaRL", "memory_size": MEMORY, "fixed_memory": True},
    "er-ace": {"name": "ER_ACE", "mem_size": MEMORY, "batch_size_mem": 10},
    "scr": {"name": "SCR", "mem_size": MEMORY, "batch_size_mem": 100},
}


def in_clbench(method: str, strategy: dict[str, Any], root: Path) -> float:
    """Seconds of the second task in a run of clbench's."""
    scenario = {"name": "split-class-mnist", "keep": 2, "class_order": "fixed"}
    model = {"name": "mlp", "widths": [256, 256]}
    setting: dict[str, Any] = {"model": model, "optimizer": {"name": "sgd", "lr": 0.05}, "epochs": 1}
    (config,) = resolve({"scenario": scenario, "strategy": strategy, "batch_size": BATCHES[method]}, setting)
    return run(config, Machine(DataPlace.default(root, offline=True), "cpu", threads=1)).cost[1].train_seconds


def stock(method: str, root: Path) -> float:
    """Seconds of the second task in Avalanche alone."""
    from avalanche.benchmarks.classic import SplitMNIST
    from avalanche.models import SCRModel
    from avalanche.training import supervised
    from avalanche.training.plugins import EvaluationPlugin

    torch.set_num_threads(1)
    torch.manual_seed(0)
    features = nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU())
    options = dict(THEIRS[method])
    make = getattr(supervised, options.pop("name"))
    if method == "icarl":
        classifier = nn.Linear(256, 10)
        options |= {"feature_extractor": features, "classifier": classifier, "buffer_transform": None}
        trained: nn.Module = nn.ModuleList([features, classifier])
    else:
        projection = nn.Sequential(nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 128))
        trained = SCRModel(features, projection) if method == "scr" else nn.Sequential(features, nn.Linear(256, 10))
        options["model"] = trained
    optimizer = torch.optim.SGD(trained.parameters(), 0.05)
    settings = {"train_mb_size": BATCHES[method], "train_epochs": 1, "evaluator": EvaluationPlugin(loggers=[])}
    strategy = make(optimizer=optimizer, **options, **settings)
    first, second = list(SplitMNIST(5, dataset_root=root, fixed_class_order=[*range(10)]).train_stream)[:2]
    strategy.train(first)
    begun = time.perf_counter()
    strategy.train(second)
    return time.perf_counter() - begun


def main() -> None:
    """Take turns and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    root = prepared()
    if root is None:
        sys.exit("the real images are not here: set CLBENCH_TEST_DATA, or provide ../shared/data")
    warnings.simplefilter("ignore")  # Avalanche's own deprecations
    print("| method | clbench, s | Avalanche, s | ratio | Avalanche's class in clbench, s | ratio |")
    print("|---|---:|---:|---:|---:|---:|")
    for method, options in OURS.items():
        theirs = THEIRS[method] | {"name": f"avalanche.training.supervised.{THEIRS[method]['name']}"}
        times = [
            (
                in_clbench(method, {"name": method, "memory": MEMORY} | options, root),
                stock(method, root),
                in_clbench(method, theirs, root),
            )
            for _ in range(rounds)
        ]
        own, alone, guest = (statistics.median(column) for column in zip(*times, strict=True))
        of_alone, of_guest = (statistics.median(one[place] / one[0] for one in times) for place in (1, 2))
        print(f"| {method} | {own:.1f} | {alone:.1f} | {of_alone:.1f} | {guest:.1f} | {of_guest:.1f} |", flush=True)


if __name__ == "__main__":
    main()
