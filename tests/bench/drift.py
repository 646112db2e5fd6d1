"""Which remedy helps on real drift, and does any beat retraining on a window? The study in results/studies/drift.

    python -m tests.bench.drift [--workers 2]

The standard recipes of three tables in order of time and of one in four areas, or class after class, three seeds,
every strategy that makes sense there at its defaults. It is one 'clbench sweep', which goes on where it was; then the
tables are written beside the Results. Needs the real tables (CLBENCH_TEST_DATA or ../shared/data).
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from clbench import registry, store
from tests.real_data import prepared

FOLDER = Path(__file__).resolve().parents[2] / "results" / "studies" / "drift"
SEEDS = 3
IN_TIME = ["time-flights-2013", "time-elec2", "time-noaa-weather"]
IN_DOMAINS = ["domain-covertype"]
IN_CLASSES = ["split-covertype", "split-class-covertype"]
# On the flights, which no network learns and which take the longest, these alone.
LARGE = ["time-flights-2013"]
METHODS = ["naive", "ewc", "ewc-online", "si", "lwf", "er", "der++", "a-gem", "l2-init", "shrink-perturb"]
METHODS += ["continual-backprop", "hare-tortoise", "weight-clipping", "window"]
METHODS += ["cumulative", "cumulative+cold", "majority", "persistence"]
# On the two small tables these run at the strengths that were their defaults when the study began.
SMALL = ["time-elec2", "time-noaa-weather"]
AS_THEN = {
    "racecar": {"strategy.lam": 0.01},
    "orthogonal": {"strategy.lam": 1e-4},
    "jumpstart": {"strategy.lam": 0.1},
    "sparse-group-lasso": {"strategy.lam": 1e-5},
    "adversarial-training": {"strategy.eps": 0.1},
}
# They ask for attention, convolutions, another dataset, or units that no layer norm mixes.
NOT_ON_TABLES = {"l2-attention", "podnet", "co-finetuning", "hat"}
OWN_HEADS = {"packnet"}
NEW_CLASSES = {"bic", "icarl", "lucir", "ss-il", "wa"}


def strategies(scenario: str) -> list[str]:
    """Every strategy that makes sense there."""
    if scenario in LARGE:
        return METHODS
    left_out = {name for name, one in registry.strategy.listed.items() if one.family == "removal"} | NOT_ON_TABLES
    if scenario not in IN_TIME:
        left_out |= {"persistence"}
    if scenario in IN_TIME:
        left_out |= {"joint"}  # trains on what comes later
    if scenario not in IN_CLASSES:
        left_out |= NEW_CLASSES | OWN_HEADS
    elif scenario == "split-covertype":
        left_out |= NEW_CLASSES | {"expandable"}
    else:
        left_out |= OWN_HEADS | {"ss-il"}  # whose stages have two classes or more
    return [name for name in (*registry.strategy.listed, "cumulative+cold") if name not in left_out]


def points() -> list[dict[str, Any]]:
    """What is run."""
    every = [*IN_TIME, *IN_DOMAINS, *IN_CLASSES]
    found: list[dict[str, Any]] = []
    for scenario in every:
        then = AS_THEN if scenario in SMALL else {}
        found += [{"scenario": scenario, "strategy": one} | then.get(one, {}) for one in strategies(scenario)]
    return found + [{"scenario": name, "strategy": "window", "strategy.start": "warm"} for name in every]


def main() -> None:
    """Run what is missing, then write the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, default=2)
    root = prepared()
    if root is None:
        sys.exit("the real tables are not here: set CLBENCH_TEST_DATA, or provide ../shared/data")
    plan = FOLDER.parents[2] / "build" / "drift.yaml"
    store.write_text(plan, yaml.safe_dump({"list": points(), "seeds": SEEDS}))
    command = [sys.executable, "-m", "clbench", "sweep", str(plan), "--results", str(FOLDER), "--data-root", str(root)]
    workers = ["--workers", str(parser.parse_args().workers), "--threads", "1", "--yes"]
    done = subprocess.run([*command, *workers])
    if done.returncode:
        sys.exit(done.returncode)
    for name in (".sweeps", ".checkpoints"):
        shutil.rmtree(FOLDER / name, ignore_errors=True)
    compare = [sys.executable, "-m", "clbench", "compare", str(FOLDER), "--against", "naive", "--format", "markdown"]
    store.write_text(FOLDER / "tables.md", subprocess.run(compare, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    main()
