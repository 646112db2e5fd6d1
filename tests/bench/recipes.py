"""How the recipes for vectors were chosen: on the first periods of a stream in time, on held-out training rows else.

    python -m tests.bench.recipes [SCENARIO…]

Fine-tuning runs with every network, learning rate and number of epochs of the grid, with seeds that no committed Result
uses: in time on the first periods alone; without times on a fifth of each task's training rows. It is one 'clbench
sweep' into build/recipes, which goes on where it was; without names results/baseline/recipes.md is written.
"""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml

from clbench import store
from clbench.analysis.load import load
from clbench.analysis.runs import flat_setup

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "build" / "recipes"
TABLE = ROOT / "results" / "baseline" / "recipes.md"
SEEDS = [100, 101]
HELD_OUT = {"evaluate": "validation", "scenario.validation": 0.2}
# Scenario → what of it is looked at, and the metric.
SETTINGS: dict[str, tuple[dict[str, Any], str]] = {
    "time-flights-2013": ({"scenario.keep": 4}, "next_period_accuracy"),
    "time-elec2": ({"scenario.keep": 4}, "next_period_accuracy"),
    "time-noaa-weather": ({"scenario.keep": 4}, "next_period_accuracy"),
    "domain-covertype": (HELD_OUT, "average_accuracy"),
    "split-covertype": (HELD_OUT, "average_accuracy"),
}
NETWORKS: dict[str, dict[str, Any]] = {
    "linear": {"model": {"name": "linear"}},
    "mlp 128-128, layer norm": {"model": {"name": "mlp", "widths": [128, 128], "norm": "layer"}},
}
RATES, EPOCHS = [0.0001, 0.001, 0.01], [1, 3, 10]

Tried = dict[tuple[str, float, int], list[float]]  # network, rate and epochs → the metric, seed by seed


def main() -> None:
    """Run what is missing, then write the table, or print part of it."""
    chosen = sys.argv[1:] or [*SETTINGS]
    plan = RESULTS / "plan.yaml"
    store.write_text(plan, yaml.safe_dump({"list": points(chosen), "seeds": SEEDS}))
    command = [sys.executable, "-m", "clbench", "sweep", str(plan), "--results", str(RESULTS), "--yes"]
    done = subprocess.run(command)
    if done.returncode not in (0, 1):  # 1: some runs failed
        sys.exit(done.returncode)
    text = table(chosen)
    if sys.argv[1:]:
        print(text)
    else:
        store.write_text(TABLE, text)


def points(scenarios: list[str]) -> list[dict[str, Any]]:
    """What is run."""
    return [
        {"strategy": "naive", "scenario": name, "optimizer.lr": rate, "epochs": epochs} | network | SETTINGS[name][0]
        for name in scenarios
        for network in NETWORKS.values()
        for rate in RATES
        for epochs in EPOCHS
    ]


def tried(scenario: str) -> Tried:
    """What was measured on a scenario."""
    found: Tried = defaultdict(list)
    for run in load([RESULTS])[0]:
        if run.scenario != scenario:
            continue
        flat = flat_setup(run.setup)
        network = next(name for name, one in NETWORKS.items() if one["model"]["name"] == flat["model.name"])
        value = run.metrics.get(SETTINGS[scenario][1]) if run.status == "ok" else None
        found[network, flat["optimizer.lr"], flat["epochs"]].append(value or 0.0)
    return found


def table(scenarios: list[str]) -> str:
    """Every grid, the best setting of each network in bold."""
    lines = [
        "# Recipes for vectors",
        "",
        f"Fine-tuning with Adam, batches of 256, mean over seeds {SEEDS}, per cent; the best of each network in bold.",
        "In time: next-period accuracy on the first four periods alone. Else: accuracy on held-out training rows.",
        "Made by `python -m tests.bench.recipes`.",
    ]
    for scenario in scenarios:
        found = tried(scenario)
        lines += ["", f"| {scenario} | epochs | " + " | ".join(f"lr {rate:g}" for rate in RATES) + " |"]
        lines.append("|---|---:" + "|---:" * len(RATES) + "|")
        for network in NETWORKS:
            best = max(fmean(values) for key, values in found.items() if key[0] == network)
            for epochs in EPOCHS:
                means = [fmean(found[network, rate, epochs]) for rate in RATES]
                cells = [f"**{100 * one:.1f}**" if one == best else f"{100 * one:.1f}" for one in means]
                lines.append(f"| {network} | {epochs} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
