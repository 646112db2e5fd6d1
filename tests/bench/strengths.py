"""How the default strengths of the quadratic penalties were chosen: on held-out training images, never on test data.

    python -m tests.bench.strengths

Each strategy with a λ runs on split-digits and permuted-digits with 20 % of the training images held out, with seeds
that no committed baseline uses; the λ with the best mean validation accuracy over both is the default. Prints the table
that is committed as results/baseline/strengths.md.
"""

from __future__ import annotations

import statistics

from clbench import registry
from clbench.config import resolve
from clbench.data.sources import DataPlace
from clbench.engine.run import Machine, run

SCENARIOS = ("split-digits", "permuted-digits")
SEEDS = [100, 101, 102]
GRID = [0.001, 0.01, 0.1, 1.0, 10.0, 100.0]


def score(strategy: str, lam: float) -> float:
    """Mean validation accuracy in per cent; a diverged run counts as 0."""
    values = []
    for scenario in SCENARIOS:
        layer = {
            "strategy": {"name": strategy, "lam": lam},
            "scenario": {"name": scenario, "validation": 0.2},
            "evaluate": "validation",
            "seeds": SEEDS,
        }
        for config in resolve(layer):
            value = run(config, Machine(DataPlace.default())).metrics.get("average_accuracy")
            values.append(100 * (value.value or 0.0) if value else 0.0)
    return statistics.fmean(values)


def main() -> None:
    """Run the grid and print it, a line per strategy as it is done."""
    print("# Default strengths\n")
    print(
        f"Mean validation accuracy in per cent over {' and '.join(SCENARIOS)}, seeds {SEEDS}; the best is the default."
    )
    print("Made by `python -m tests.bench.strengths`.\n")
    print("| strategy | " + " | ".join(f"λ = {lam:g}" for lam in GRID) + " |")
    print("|---|" + "---:|" * len(GRID), flush=True)
    for name in registry.strategy.listed:
        if "lam" not in registry.strategy.load(name).schema.model_fields:
            continue
        scores = [score(name, lam) for lam in GRID]
        cells = [f"**{value:.1f}**" if value == max(scores) else f"{value:.1f}" for value in scores]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
