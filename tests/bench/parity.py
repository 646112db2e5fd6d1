"""Strategies that clbench and Avalanche both have, on the same streams: do they agree within the noise of seeds?

    python -m tests.bench.parity [--seeds 5] [--real]

Pairs are of one seed: the same stream, network, optimiser and epochs. Each row has the mean difference of the average
accuracy (ours − Avalanche's) in points, and the half-width of its 95 % interval; 'equal' where the interval lies within
± 2 points, 'differ' where it leaves 0 out and is not equal, else 'open': more seeds would tell. Split digits,
class-incremental; ``--real``: split MNIST (CLBENCH_TEST_DATA).
"""

from __future__ import annotations

import argparse
import os
import statistics
from pathlib import Path
from typing import Any

from scipy.stats import t

from clbench.config import resolve
from clbench.data.sources import DataPlace
from clbench.engine.run import Machine, run

MARGIN = 2.0  # points
WHOLE, PLUGIN = "avalanche.training.supervised.", "avalanche.training.plugins."
BATCHED = {"fisher": "batched", "fisher_samples": None, "include_head": True}
# What is the same on both sides: λ of Avalanche's EWC lacks a ½, and its LwF the τ² = 4.
PAIRS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "naive": ({"name": "naive"}, {"name": f"{WHOLE}Naive"}),
    "ewc": ({"name": "ewc", "lam": 20.0, **BATCHED}, {"name": f"{WHOLE}EWC", "ewc_lambda": 10.0}),
    "lwf": ({"name": "lwf", "mu": 0.25, "temperature": 2.0}, {"name": f"{WHOLE}LwF", "alpha": 1.0, "temperature": 2.0}),
    "si": ({"name": "si", "lam": 0.1}, {"name": f"{WHOLE}SynapticIntelligence", "si_lambda": 0.1}),
    "replay": ({"name": "er", "memory": 200}, {"name": f"{WHOLE}Replay", "mem_size": 200}),
    "gdumb": ({"name": "gdumb", "memory": 200}, {"name": f"{WHOLE}GDumb", "mem_size": 200}),
    "a-gem": (
        {"name": "a-gem", "memory": 200, "batch": 200},
        {"name": f"{WHOLE}AGEM", "patterns_per_exp": 40, "sample_size": 200},
    ),
    "cumulative": ({"name": "cumulative"}, {"name": f"{WHOLE}Cumulative"}),
    "joint": ({"name": "joint"}, {"name": f"{WHOLE}JointTraining"}),
}


def accuracy(strategy: dict[str, Any], scenario: dict[str, Any], seed: int, root: Path | None) -> float:
    """The average of the last row of R, in per cent."""
    (config,) = resolve({"strategy": strategy, "scenario": scenario, "seeds": [seed]})
    last = run(config, Machine(DataPlace.default(root, offline=True), "cpu", threads=1)).accuracy[-1]
    return 100 * statistics.fmean(value for value in last if value is not None)


def verdict(differences: list[float]) -> tuple[float, float, str]:
    """Mean difference, half-width of its interval, and what follows.

    >>> verdict([0.1, -0.1, 0.2])[2], verdict([9.0, 9.1, 8.9])[2], verdict([9.0, -9.0])[2]
    ('equal', 'differ', 'open')
    """
    count, mean = len(differences), statistics.fmean(differences)
    half = float(t.ppf(0.975, count - 1)) * statistics.stdev(differences) / count**0.5
    if abs(mean) + half <= MARGIN:
        return mean, half, "equal"
    return mean, half, "differ" if abs(mean) > half else "open"


def main() -> None:
    """Run every pair and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--real", action="store_true")
    parser.add_argument("--only", nargs="*", choices=PAIRS, default=list(PAIRS))
    asked = parser.parse_args()
    root = Path(os.environ["CLBENCH_TEST_DATA"]) if asked.real else None
    scenario = {"name": "split-mnist" if asked.real else "split-digits", "incremental": "class"}
    print("| method | clbench | Avalanche | difference | verdict |\n|---|---:|---:|---:|---|")
    for name in asked.only:
        ours, theirs = ([accuracy(one, scenario, seed, root) for seed in range(asked.seeds)] for one in PAIRS[name])
        mean, half, word = verdict([a - b for a, b in zip(ours, theirs, strict=True)])
        means = f"{statistics.fmean(ours):.1f} | {statistics.fmean(theirs):.1f}"
        print(f"| {name} | {means} | {mean:+.1f} ± {half:.1f} | {word} |", flush=True)


if __name__ == "__main__":
    main()
