"""Which remedy helps on real drift, and does any beat retraining on a window? The study in results/studies/drift.

    python -m tests.bench.drift [--workers 2]

The standard recipes of three tables in order of time and of one in four areas or class after class, three seeds,
methods at their defaults: all of them on the two small tables, some of each family on the others. It is one 'clbench
sweep', which goes on where it was; then the tables are written beside the Results. Needs the real tables
(CLBENCH_TEST_DATA or ../shared/data).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from clbench import registry, store
from tests.bench.study import board, conduct
from tests.test_strategy_contract import ONE_CLASSIFIER, OWN_HEADS

FOLDER = Path(__file__).resolve().parents[2] / "results" / "studies" / "drift"
SEEDS = 3
SCENARIOS = ["time-flights-2013", "time-elec2", "time-noaa-weather"]
SCENARIOS += ["domain-covertype", "split-covertype", "split-class-covertype"]
# On the flights, which no network learns, and on covertype, whose runs take longer, these alone: of each family some.
METHODS = ["naive", "ewc", "ewc-online", "si", "lwf", "er", "der++", "a-gem", "l2-init", "shrink-perturb"]
METHODS += ["continual-backprop", "hare-tortoise", "weight-clipping", "window"]
METHODS += ["cumulative", "cumulative+cold", "majority", "persistence"]
NEWER = ["ewc-fixed", "mas", "dash", "fire", "er-ace", "mir", "cls-er", "ncm", "slda", "ranpac", "acil"]
FOR_CLASSES = ["icarl", "wa", "bic", "lucir", "expandable"]
# On the two small tables these run at the strengths that were their defaults when the study began.
SMALL = ["time-elec2", "time-noaa-weather"]
AS_THEN = {
    "racecar": {"strategy.lam": 0.01},
    "orthogonal": {"strategy.lam": 1e-4},
    "jumpstart": {"strategy.lam": 0.1},
    "sparse-group-lasso": {"strategy.lam": 1e-5},
    "adversarial-training": {"strategy.eps": 0.1},
}
# They ask for attention, another dataset, tasks that are told, or stages that bring new classes.
LEFT_OUT = {"l2-attention", "co-finetuning", *OWN_HEADS, *ONE_CLASSIFIER} - {"expandable"}


def strategies(scenario: str) -> list[str]:
    """Which strategies run there; on the small tables every one that makes sense."""
    if scenario in SMALL:
        removal = {name for name, one in registry.strategy.listed.items() if one.family == "removal"}
        every = [*registry.strategy.listed, "cumulative+cold"]
        left_out = LEFT_OUT | removal | {"joint"}  # which trains on what comes later
        return [name for name in every if name not in left_out]
    if scenario.startswith("time-"):
        return METHODS
    chosen = [name for name in METHODS if name != "persistence"] + NEWER
    return chosen + FOR_CLASSES if scenario == "split-class-covertype" else chosen


def points() -> list[dict[str, Any]]:
    """What is run."""
    found: list[dict[str, Any]] = []
    for scenario in SCENARIOS:
        then = AS_THEN if scenario in SMALL else {}
        found += [{"scenario": scenario, "strategy": one} | then.get(one, {}) for one in strategies(scenario)]
    return found + [{"scenario": name, "strategy": "window", "strategy.start": "warm"} for name in SCENARIOS]


def main() -> None:
    """Run what is missing, then write the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, default=2)
    conduct(FOLDER, points(), SEEDS, parser.parse_args().workers)
    store.write_text(FOLDER / "tables.md", board(FOLDER, "--against", "naive"))


if __name__ == "__main__":
    main()
