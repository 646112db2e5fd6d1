"""How default strengths were chosen: on held-out training images of several scenarios, never on test data.

    python -m tests.bench.strengths [STRATEGY…]

Every strategy that has a strength runs over a grid of it in each of the settings below, with a fifth of the training
images held out and with seeds that no committed Result uses, as one 'clbench sweep' into build/strengths, which goes
on where it was. Without names the tables are written to results/baseline/strengths.md.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from clbench import store
from clbench.analysis.load import load
from clbench.analysis.runs import Run, flat_setup

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "build" / "strengths"
TABLES = ROOT / "results" / "baseline" / "strengths.md"
SEEDS = [100, 101]
COST = 0.02  # a default may cost more accuracy than this, against fine-tuning, in no setting

# Scenario → what its recipe is changed by: digits, MNIST and CIFAR-10, split and permuted, all three kinds.
SETTINGS: dict[str, dict[str, Any]] = {
    "split-digits": {},
    "split-domain-digits": {},
    "split-class-digits": {},
    "permuted-digits": {},
    "split-domain-mnist": {"scenario.samples_per_task": 5000},
    "permuted-mnist": {"scenario.tasks": 5, "scenario.samples_per_task": 5000, "batch_size": 32},
    "split-cifar10": {"scenario.samples_per_task": 1000, "model.width": 8},
}


@dataclass(frozen=True)
class Grid:
    """A strategy's option and the values that are tried."""

    option: str
    values: Sequence[float]


def _decades(first: float, count: int) -> list[float]:
    """Powers of ten and three times them, from ``first``."""
    return [float(f"{first * 10 ** (step // 2) * (3 if step % 2 else 1):.6g}") for step in range(count)]


METHODS = {
    "ewc": Grid("lam", _decades(0.1, 7)),
    "ewc-online": Grid("lam", _decades(0.1, 7)),
    "mas": Grid("lam", _decades(0.0001, 7)),
    "si": Grid("lam", _decades(0.01, 7)),
    "rwalk": Grid("lam", _decades(0.01, 7)),
    "l2": Grid("lam", _decades(0.001, 7)),
    "random": Grid("lam", _decades(0.001, 7)),
    "lwf": Grid("mu", _decades(0.1, 5)),
    "feature-distill": Grid("mu", _decades(0.1, 5)),
}
# Those whose point is not accuracy on such streams: plasticity, simpler models, more generic features.
REGULARISERS = {
    "l2-init": Grid("lam", _decades(0.00001, 6)),
    "parseval": Grid("lam", _decades(0.00001, 6)),
    "spectral-reg": Grid("lam", _decades(0.00001, 6)),
    "racecar": Grid("lam", _decades(0.0001, 6)),
    "orthogonal": Grid("lam", _decades(0.00001, 6)),
    "jumpstart": Grid("lam", _decades(0.001, 6)),
    "sparse-group-lasso": Grid("lam", _decades(0.000001, 6)),
    "label-noise": Grid("sigma", _decades(0.001, 6)),
    "friendly-training": Grid("beta", _decades(0.0001, 6)),
    "adversarial-training": Grid("eps", _decades(0.001, 6)),
}

Scores = Mapping[str, Mapping[float, Mapping[str, float]]]  # strategy → strength → setting → accuracy over naive's


def main() -> None:
    """Run what is missing, then print or write the tables."""
    chosen = sys.argv[1:] or [*METHODS, *REGULARISERS]
    plan = RESULTS / "plan.yaml"
    store.write_text(plan, yaml.safe_dump({"list": points(chosen), "seeds": SEEDS}))
    done = subprocess.run([sys.executable, "-m", "clbench", "sweep", str(plan), "--results", str(RESULTS), "--yes"])
    if done.returncode not in (0, 1):  # 1: some runs failed; the table shows where
        sys.exit(done.returncode)
    runs, _ = load([RESULTS])
    text = tables(scores(runs, chosen))
    if sys.argv[1:]:
        print(text)
    else:
        store.write_text(TABLES, text)


def points(chosen: Sequence[str]) -> list[dict[str, Any]]:
    """What is run: each strength in each setting, and fine-tuning."""
    grids = METHODS | REGULARISERS
    tried: list[dict[str, Any]] = [{"strategy": "naive"}]
    tried += [{"strategy": n, f"strategy.{grids[n].option}": value} for n in chosen for value in grids[n].values]
    held_out = {"evaluate": "validation", "scenario.validation": 0.2, "precision": "fp32"}
    return [{"scenario": name} | changes | held_out | one for name, changes in SETTINGS.items() for one in tried]


def scores(runs: Sequence[Run], chosen: Sequence[str]) -> Scores:
    """Mean difference to fine-tuning in each setting, paired by seed.

    A run that diverged counts as 0, and one that learnt nothing where fine-tuning learnt something; where fine-tuning
    itself learnt nothing, both count as they are: else whatever learns a little would be worth its whole accuracy.
    """
    accuracy: dict[tuple[str, float, str, int], float] = {}
    learnt = {(run.scenario, run.seed) for run in runs if run.strategy == "naive" and not run.spoilt}
    for run in runs:
        flat = flat_setup(run.setup)
        grid = (METHODS | REGULARISERS).get(run.strategy)
        strength = float(flat[f"strategy.{grid.option}"]) if grid else 0.0
        lost = run.spoilt and (run.scenario, run.seed) in learnt
        value = None if lost else run.metrics.get("average_accuracy")
        accuracy[run.strategy, strength, run.scenario, run.seed] = value or 0.0
    found: dict[str, dict[float, dict[str, float]]] = {}
    for name in chosen:
        for strength in (METHODS | REGULARISERS)[name].values:
            found.setdefault(name, {})[strength] = {
                setting: statistics.fmean(
                    accuracy.get((name, strength, setting, seed), 0.0) - accuracy["naive", 0.0, setting, seed]
                    for seed in SEEDS
                )
                for setting in SETTINGS
            }
    return found


def chosen_strength(by_strength: Mapping[float, Mapping[str, float]], regulariser: bool) -> float:
    """Of those that harm nowhere the one with the best mean; of regularisers the largest; else what harms least.

    Of several that harm equally little, to a tenth of a point, the one with the best mean.
    """
    harmless = [strength for strength, one in by_strength.items() if min(one.values()) >= -COST]
    if not harmless:
        return max(
            by_strength,
            key=lambda s: (round(min(by_strength[s].values()), 3), statistics.fmean(by_strength[s].values())),
        )
    if regulariser:
        return max(harmless)
    return max(harmless, key=lambda strength: statistics.fmean(by_strength[strength].values()))


def tables(found: Scores) -> str:
    """Every strategy's grid, the chosen strength in bold."""
    grids = METHODS | REGULARISERS
    lines = [
        "# Default strengths",
        "",
        f"Points of validation accuracy above fine-tuning's, mean over seeds {SEEDS}; no test image was looked at.",
        f"In bold the default: of the strengths that cost at most {100 * COST:g} points in every setting the one with "
        "the best mean; of regularisers, whose point is not accuracy on such streams, the largest of them.",
        "Where none does, the one that costs least in its worst setting. Made by `python -m tests.bench.strengths`.",
    ]
    for name, by_strength in found.items():
        best = chosen_strength(by_strength, name in REGULARISERS)
        lines += ["", f"| {name}: {grids[name].option} | " + " | ".join(SETTINGS) + " | mean |"]
        lines.append("|---" + "|---:" * (len(SETTINGS) + 1) + "|")
        for strength, one in by_strength.items():
            cells = [*one.values(), statistics.fmean(one.values())]
            shown = f"**{strength:g}**" if strength == best else f"{strength:g}"
            lines.append(f"| {shown} | " + " | ".join(f"{100 * cell:+.1f}" for cell in cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
