"""Does training in bf16 cost accuracy? Ten paired seeds in both formats, on permuted MNIST and split CIFAR-10.

    python -m tests.bench.halves [--workers 2]

Six methods at their defaults, each with ``precision`` fp32 and bf16. A CPU without instructions for bf16 emulates it,
which takes ten times as long. They are two runs of 'clbench sweep', which goes on where it was; then each method's
bf16 is held against its fp32, with a margin of one point, in results/studies/half-precision. Needs the real images
(CLBENCH_TEST_DATA or ../shared/data).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clbench import store
from tests.bench.study import board, conduct

FOLDER = Path(__file__).resolve().parents[2] / "results" / "studies" / "half-precision"
METHODS = ("naive", "ewc", "ewc-fixed", "si", "er", "dash")
METRICS = ("average_accuracy", "forgetting")
SEEDS = 10
# Where ten seeds left a doubt whether something is lost.
DOUBTED = {"split-cifar10": ("naive", "ewc")}
SEEDS_OF_DOUBT = 20
# Permuted MNIST by its standard recipe; of split CIFAR-10 as much as half an hour allows, with a schedule: where the
# steps stay long to the end, two runs that differ in a rounding end up to seven points apart.
SCENARIOS: dict[str, dict[str, Any]] = {
    "permuted-mnist": {},
    "split-cifar10": {
        "scenario.samples_per_task": 2500,
        "model": {"name": "lenet"},
        "optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9, "schedule": "cosine"},
        "epochs": 4,
        "batch_size": 32,
    },
}


def points(methods: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """What is run: the methods of each scenario in both formats."""
    return [
        {"scenario": scenario, "strategy": method, "precision": precision} | SCENARIOS[scenario]
        for scenario, named in methods.items()
        for method in named
        for precision in ("fp32", "bf16")
    ]


def main() -> None:
    """Run what is missing, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    workers = parser.parse_args().workers
    conduct(FOLDER, points(dict.fromkeys(SCENARIOS, METHODS)), SEEDS, workers)
    conduct(FOLDER, points(DOUBTED), SEEDS_OF_DOUBT, workers)
    boards = [_board(method, metric) for metric in METRICS for method in METHODS]
    store.write_text(FOLDER / "tables.md", "\n".join(boards))


def _board(method: str, metric: str) -> str:
    """One method in both formats, bf16 against fp32."""
    chosen = ["--metric", metric, "--strategy", method, "--against", f"{method} (precision=fp32)", "--margin", "1"]
    return f"# {method}, {metric.replace('_', ' ')}\n\n{board(FOLDER, *chosen)}"


if __name__ == "__main__":
    main()
