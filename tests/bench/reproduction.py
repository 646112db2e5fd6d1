"""Published effects of warm starts and lost plasticity at a scale that fits two cores: results/reproduction.

    python -m tests.bench.reproduction [STUDY…] [--seeds 5] [--jobs 2]

Each study is a folder of Results and their leaderboard. Runs whose Result is there are left alone, so a study that was
stopped goes on where it was. Needs the real images (CLBENCH_TEST_DATA or ../shared/data).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clbench import store
from clbench.analysis.compare import WARM_START_METRICS, Method, leaderboards
from clbench.analysis.load import load
from clbench.config import RunConfig, resolve
from clbench.data.sources import DataPlace
from clbench.render.formats import as_text
from clbench.render.plots import Scene, draw
from clbench.reproduce.running import Job, missing, run_all
from tests.real_data import prepared

FOLDER = Path(__file__).resolve().parents[2] / "results" / "reproduction"
Options = dict[str, Any]
SMALL_CNN: Options = {"name": "lenet", "width": 8, "units": 64, "norm": "batch"}
SGD: Options = {"name": "sgd", "lr": 0.01, "momentum": 0.9, "reset": "never"}
# As Shin et al. compare with it: θ ← 0.3θ + N(0, 0.01²).
PERTURBED: Options = {"name": "shrink-perturb", "shrink": 0.3, "perturb": 0.01, "noise": "gaussian"}
FIRE: Options = {"name": "fire", "include_head": False}  # the authors' code takes the classifier too


@dataclass(frozen=True)
class Study:
    """Strategies that run under one setting, and the columns of their leaderboard.

    Seconds are not among them: runs share the machine with others, so steps say more.
    """

    strategies: list[Options]
    setting: Options
    columns: Sequence[str]
    seeds: int = 5


STUDIES = {
    # Shin et al. 2024 (arXiv:2410.23495), table 1: chunks of CIFAR-10 to 99.9 % training accuracy.
    "warm-start": Study(
        [
            {"name": "cold"},
            {"name": "warm"},
            {"name": "warm-reset-optimizer"},
            PERTURBED,
            {"name": "shrink-only", "shrink": 0.3},
            {"name": "dash", "floor": 0.05, "batch_size": 500},
            {"name": "dash", "floor": 0.3, "batch_size": 500},
            FIRE,
        ],
        {
            "scenario": {"name": "warm-start-cifar10", "tasks": 10, "chunk_size": 500},
            "model": SMALL_CNN,
            "optimizer": SGD,
            "batch_size": 128,
            "max_epochs": 100,
        },
        columns=WARM_START_METRICS[:-1],
    ),
    # Ash and Adams 2020 (arXiv:1910.08475), section 2: half of the data first, then all, to 99 % training accuracy.
    "half-then-all": Study(
        [{"name": "cold"}, {"name": "warm"}, {"name": "shrink-perturb"}],
        {
            "scenario": {"name": "warm-start-cifar10", "tasks": 2, "chunk_size": 5000},
            "model": {"name": "mlp", "widths": [100, 100]},
            "optimizer": {"name": "adam", "lr": 0.001, "reset": "never"},
            "until_train_accuracy": 0.99,
            "max_epochs": 200,
            "batch_size": 128,
        },
        seeds=10,
        columns=WARM_START_METRICS[:-1],
    ),
    # Lyle et al. 2023 (arXiv:2303.01486), Kumar et al. 2023 (arXiv:2308.11958): the same images, new random labels.
    "random-labels": Study(
        [
            {"name": "naive"},
            {"name": "l2-init", "lam": 0.01},
            {"name": "shrink-perturb"},
            {"name": "redo"},
            {"name": "continual-backprop"},
        ],
        {"scenario": {"name": "random-label-mnist", "tasks": 20, "images": 1200}},
        seeds=3,
        columns=("online_accuracy", "online_trend", "learning_accuracy"),
    ),
    # What random labels have spoilt, and who repairs it: memorise them first, then learn the true ones. The first stage
    # is the same for all, so learning accuracy ranks by the second.
    "after-random-labels": Study(
        [
            {"name": "cold"},
            {"name": "warm"},
            PERTURBED,
            {"name": "dash", "floor": 0.05, "batch_size": 500},
            {"name": "dash", "batch_size": 500},
            FIRE,
        ],
        {
            "scenario": {"name": "random-label-cifar10", "tasks": 2, "images": 500, "last_task": "true"},
            "model": SMALL_CNN,
            "optimizer": SGD,
            "until_train_accuracy": 0.999,
            "max_epochs": 200,
            "batch_size": 128,
        },
        columns=("learning_accuracy",),
    ),
}


def configs(names: list[str], seeds: int | None) -> list[tuple[str, RunConfig]]:
    """Every run of the studies, seed by seed, so that a stopped study has whole seeds."""
    found = []
    for name in names:
        study = STUDIES[name]
        for seed in range(seeds or study.seeds):
            for strategy in study.strategies:
                (config,) = resolve(study.setting, {"strategy": strategy, "seeds": [seed]})
                found.append((name, config))
    return found


def tell(name: str) -> None:
    """Write what 'clbench compare' and 'clbench diagnose --plot' make of a study, with its columns."""
    runs, left_out = load([FOLDER / name])
    assert not left_out, left_out
    boards = leaderboards(runs, Method(STUDIES[name].columns))
    store.write_text(FOLDER / name / "leaderboard.md", as_text(boards, None, "markdown"))
    draw(FOLDER / name / "stages.svg", "stages", Scene(boards, None, runs))


def main() -> None:
    """Run what is missing, then write leaderboards and pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="*", metavar="STUDY", help=", ".join(STUDIES))
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    root = prepared()
    if root is None:
        sys.exit("The studies need the real images: set CLBENCH_TEST_DATA or provide ../shared/data.")
    studies = options.studies or list(STUDIES)
    if unknown := set(studies) - set(STUDIES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; studies are {', '.join(STUDIES)}")
    asked = configs(studies, options.seeds)
    # with what the network looks like between stages
    left = missing([Job(name, str(c.strategy["name"]), c, FOLDER / name, diagnostics=True) for name, c in asked])
    for number, (job, result) in enumerate(run_all(left, DataPlace.default(root, offline=True), options.jobs), start=1):
        final = [value for value in result.accuracy[-1] if value is not None]
        words = f"{100 * sum(final) / len(final):.1f} %, {result.seconds:.0f} s"
        print(
            f"{number}/{len(left)} {job.entry} {job.arm} seed {job.config.seed}: {result.status}, {words}", flush=True
        )
    for name in studies:
        store.pack(FOLDER / name)
        tell(name)


if __name__ == "__main__":
    main()
