"""Do plasticity remedies, explicit interpolation and regularisers help class-incremental methods with a memory?

    python -m tests.bench.with_memory [--workers 2] [SCENARIO…]

Four methods with 500 images each, alone and together with five others: class-incremental split MNIST and split
CIFAR-10, five seeds, strategies at their defaults. It is one 'clbench sweep', which goes on where it was; then the
tables are written beside the Results in results/studies/with-memory. Needs the real images (CLBENCH_TEST_DATA or
../shared/data).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from clbench import store
from tests.bench.study import board, conduct

FOLDER = Path(__file__).resolve().parents[2] / "results" / "studies" / "with-memory"
SEEDS = 5
METHODS = ("er", "er-ace", "icarl", "wa")
BESIDE = ("naive", "dash", "shrink-perturb", "fire", "l2-init", "ewc-fixed")
# What two cores can do: fewer images of MNIST, and of CIFAR-10 a thousand images of each task and LeNet, with momentum:
# without, or as a small ResNet, nothing is learnt in so few steps. No learning rate was searched.
SCENARIOS: dict[str, dict[str, Any]] = {
    "split-class-mnist": {"scenario.samples_per_task": 5000, "epochs": 2, "batch_size": 32},
    "split-class-cifar10": {
        "scenario.samples_per_task": 1000,
        "model": {"name": "lenet"},
        "optimizer": {"name": "sgd", "lr": 0.02, "momentum": 0.9},
        "epochs": 3,
        "batch_size": 32,
    },
}


def points(scenarios: list[str]) -> list[dict[str, Any]]:
    """What is run: each method alone and with each of the others, and fine-tuning as the reference."""
    together = [method if other == "naive" else f"{method}+{other}" for method in METHODS for other in BESIDE]
    return [{"scenario": name, "strategy": one} | SCENARIOS[name] for name in scenarios for one in ("naive", *together)]


def main() -> None:
    """Run what is missing, then write the tables: each method's combinations against itself."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO")
    options = parser.parse_args()
    conduct(FOLDER, points(options.scenarios or [*SCENARIOS]), SEEDS, options.workers)
    store.write_text(FOLDER / "tables.md", "\n".join(_board(method) for method in METHODS))


def _board(method: str) -> str:
    """One method's rows against the method alone."""
    names = [method if other == "naive" else f"{method}+{other}" for other in BESIDE]
    chosen = [word for name in names for word in ("--strategy", name)]
    return f"# With {method}\n\n{board(FOLDER, '--against', method, *chosen)}"


if __name__ == "__main__":
    main()
