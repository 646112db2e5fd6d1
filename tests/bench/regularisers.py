"""What training-time regularisers cost: seconds of a stage against fine-tuning's, the two taking turns in one process.

    python -m tests.bench.regularisers [STRATEGY…] [--tasks 12] [--samples 10000]

Permuted MNIST by its recipe (MLP 784-256-256-10, batch 128), one thread. A stage is one epoch and includes what the
method does before and after it; the first, which warms both up, does not count.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch

from clbench.config import resolve
from clbench.registry import strategy
from tests.bench.stages import assembled
from tests.real_data import prepared

ARMS: dict[str, dict[str, Any]] = {
    "racecar": {},
    "racecar, layer-wise": {"reverse": "layer-wise"},
    "orthogonal": {},
    "label-noise": {},
    "label-noise, cross-entropy": {"loss": "cross-entropy"},
    "jumpstart": {},
    "frozen-layers": {},
    "random-label-pretrain": {"epochs": 1},
    "sparse-group-lasso": {},
    "sparse-group-lasso, l1": {"penalty": "l1"},
    "sparse-group-lasso, l1-l2": {"penalty": "l1-l2"},
    "sparse-group-lasso, l0": {"penalty": "l0"},
    "friendly-training": {},
    "adversarial-training": {},
    "co-finetuning": {"upstream": "digits"},
    "physics-aware": {},
}


def ratios(arm: str, scenario: dict[str, Any], root: Path) -> list[float]:
    """Seconds of each stage but the first ÷ those of fine-tuning's."""
    learners = []
    for wanted in ({"name": "naive"}, {"name": arm.partition(",")[0]} | ARMS[arm]):
        (config,) = resolve({"strategy": wanted, "scenario": scenario})
        learners.append(assembled(config, root))
    torch.set_num_threads(1)
    found = []
    for stages in zip(*(benchmark.streams["train"] for _, benchmark, _ in learners), strict=True):
        seconds = []
        for (learner, _, _), experience in zip(learners, stages, strict=True):
            len(experience.data)  # made before the clock starts
            begun = time.perf_counter()
            learner.fit(experience)
            seconds.append(time.perf_counter() - begun)
            experience.release()
        found.append(seconds[1] / seconds[0])
    return found[1:]


def main() -> None:
    """Measure and print the table of docs/pages/explained/strategies.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("arms", nargs="*", metavar="STRATEGY")
    parser.add_argument("--tasks", type=int, default=12)
    parser.add_argument("--samples", type=int, default=10_000)
    options = parser.parse_args()
    root = prepared()
    if root is None:
        sys.exit("This benchmark needs the real images: set CLBENCH_TEST_DATA or provide ../shared/data.")
    scenario = {"name": "permuted-mnist", "tasks": options.tasks, "samples_per_task": options.samples}
    print("| strategy | seconds ÷ fine-tuning, median | quartiles |\n|---|---:|---:|")
    for arm in options.arms or ARMS:
        assert arm.partition(",")[0] in strategy.listed
        low, median, high = statistics.quantiles(ratios(arm, scenario, root), n=4)
        print(f"| {arm} | {median:.2f} | {low:.2f} to {high:.2f} |", flush=True)


if __name__ == "__main__":
    main()
