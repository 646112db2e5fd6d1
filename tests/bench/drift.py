"""Which remedy helps on real drift, and does any beat retraining on a window? The study in results/studies/drift.

    python -m tests.bench.drift [--workers 2]

The standard recipes of three tables in order of time and of one in four areas, three seeds, methods at their
defaults: all of them on the two small tables. It is one 'clbench sweep', which goes on where it was; then the tables
are written beside the Results. Needs the real tables (CLBENCH_TEST_DATA or ../shared/data).
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
SCENARIOS = ["time-flights-2013", "time-elec2", "time-noaa-weather", "domain-covertype"]
# Two tables are small enough for every strategy; on the others these.
SMALL = ["time-elec2", "time-noaa-weather"]
METHODS = ["naive", "ewc", "ewc-online", "si", "lwf", "er", "der++", "a-gem", "l2-init", "shrink-perturb"]
METHODS += ["continual-backprop", "hare-tortoise", "weight-clipping", "window"]
METHODS += ["cumulative", "cumulative+cold", "majority", "persistence"]
# The study was made with the strengths that were these methods' defaults then.
AS_THEN = {
    "racecar": {"strategy.lam": 0.01},
    "orthogonal": {"strategy.lam": 1e-4},
    "jumpstart": {"strategy.lam": 0.1},
    "sparse-group-lasso": {"strategy.lam": 1e-5},
    "adversarial-training": {"strategy.eps": 0.1},
}
# joint trains on what comes later; the others need attention, or another dataset.
LEFT_OUT = {"joint", "l2-attention", "co-finetuning"}
# What came after the study, or needs classes that come one after another, heads, or a request to forget.
LATER = {
    "acil", "bic", "cls-er", "er-ace", "er-aml", "expandable", "fecam", "finetune-kept", "fisher-forgetting", "gss",
    "hat", "icarl", "linear-forgetting", "lucir", "mir", "ncm", "negative-gradient", "packnet", "podnet", "ranpac",
    "retrain", "scr", "simple-cil", "slda", "ss-il", "wa",
}  # fmt: skip


def points() -> list[dict[str, Any]]:
    """What is run."""
    every = [name for name in (*registry.strategy.listed, "cumulative+cold") if name not in LEFT_OUT | LATER]
    found: list[dict[str, Any]] = [
        {"scenario": name, "strategy": one} | AS_THEN.get(one, {}) for name in SMALL for one in every
    ]
    found += [{"scenario": name, "strategy": one} for name in SCENARIOS if name not in SMALL for one in METHODS]
    found += [{"scenario": name, "strategy": "window", "strategy.start": "warm"} for name in SCENARIOS]
    return [one for one in found if one["strategy"] != "persistence" or one["scenario"].startswith("time-")]


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
