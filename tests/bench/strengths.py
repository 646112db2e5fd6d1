"""How default strengths were chosen: on held-out training images, never on test data.

    python -m tests.bench.strengths [STRATEGY…]

Each strategy runs on split-digits and permuted-digits with 20 % of the training images held out, with seeds that no
committed baseline uses. The default is the strength with the best mean validation accuracy over both; of training-time
regularisers, whose point is not accuracy, the largest that costs at most two points. Prints the tables that are
committed as results/baseline/strengths.md.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence

from clbench.config import resolve
from clbench.data.sources import DataPlace
from clbench.engine.run import Machine, run

SCENARIOS = ("split-digits", "permuted-digits")
SEEDS = [100, 101, 102]
GRID = [0.001, 0.01, 0.1, 1.0, 10.0, 100.0]
PENALTIES = dict.fromkeys(("ewc", "ewc-online", "l2", "mas", "random", "rwalk", "si"), "lam")
SMALLER = [0.00001, 0.0001, 0.001, 0.01, 0.1, 1.0]
REGULARISERS = {
    "racecar": "lam",
    "orthogonal": "lam",
    "jumpstart": "lam",
    "sparse-group-lasso": "lam",
    "label-noise": "sigma",
    "friendly-training": "beta",
    "adversarial-training": "eps",
}


def score(strategy: str, option: str, strength: float) -> float:
    """Mean validation accuracy in per cent; a diverged run counts as 0."""
    values = []
    for scenario in SCENARIOS:
        layer = {
            "strategy": {"name": strategy, option: strength},
            "scenario": {"name": scenario, "validation": 0.2},
            "evaluate": "validation",
            "seeds": SEEDS,
        }
        for config in resolve(layer):
            value = run(config, Machine(DataPlace.default())).metrics.get("average_accuracy")
            values.append(100 * (value.value or 0.0) if value else 0.0)
    return statistics.fmean(values)


def tell(strategies: dict[str, str], grid: Sequence[float], chosen: Sequence[str]) -> None:
    """Run a grid and print it, a line per strategy as it is done."""
    strategies = {name: option for name, option in strategies.items() if not chosen or name in chosen}
    if not strategies:
        return
    print("\n| strategy | option | " + " | ".join(f"{strength:g}" for strength in grid) + " |")
    print("|---|---|" + "---:|" * len(grid), flush=True)
    for name, option in strategies.items():
        scores = [score(name, option, strength) for strength in grid]
        cells = [f"**{value:.1f}**" if value == max(scores) else f"{value:.1f}" for value in scores]
        print(f"| {name} | {option} | " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    """Print both tables."""
    print("# Default strengths\n")
    words = (
        f"Mean validation accuracy in per cent over {' and '.join(SCENARIOS)}, seeds {SEEDS}; the best is the default."
    )
    print(f"{words}\nMade by `python -m tests.bench.strengths`.")
    tell(PENALTIES, GRID, sys.argv[1:])
    print("\nOf training-time regularisers the largest strength that costs at most two points is the default.")
    tell(REGULARISERS, SMALLER, sys.argv[1:])


if __name__ == "__main__":
    main()
