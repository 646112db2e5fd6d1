"""The model of warm starts against brute force, and the dataset that networks train on."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from clbench.cli import app
from clbench.data.feature_model import STARTS, FeatureModel, Round, Start, accuracy, simulate
from clbench.data.sources import DataPlace
from clbench.engine.run import Machine, run
from tests.helpers import config

SMALL = FeatureModel(classes=2, features=8, points=60, gamma=6, tau=2, most_frequent=0.5, least_frequent=0.05)


def test_accuracy_by_summing_over_all_points() -> None:
    random = np.random.default_rng(0)
    learnt = random.random((2, 8)) < 0.6
    expected = 0.0
    for label in range(2):
        for has in product([False, True], repeat=8):
            p = np.prod([f if h else 1 - f for f, h in zip(SMALL.frequencies, has, strict=True)])
            expected += p / 2 * (1.0 if (learnt[label] & np.array(has)).sum() >= SMALL.tau else 0.5)
    assert accuracy(SMALL, learnt) == pytest.approx(expected)


def by_the_letter(start: Start, rounds: int, seed: int) -> list[Round]:
    """The process point by point and without shortcuts; classes take turns as they do there."""
    random = np.random.default_rng(seed)
    points: list[tuple[set[int], int]] = []
    memorised: set[int] = set()
    learnt: list[set[int]] = [set(), set()]
    found = []
    for _ in range(rounds):
        has, labels = SMALL.draw(SMALL.points, random)
        points += [(set(np.flatnonzero(row).tolist()), int(label)) for row, label in zip(has, labels, strict=True)]
        if start == "cold":
            learnt = [set(), set()]
        if start != "warm":
            memorised = set()
        steps = 0
        for label in range(2):
            while True:
                left = [
                    i for i, (features, c) in enumerate(points)
                    if c == label and i not in memorised and len(features & learnt[label]) < SMALL.tau
                ]  # fmt: skip
                if not left:
                    break
                steps += 1
                counts = [sum(f in points[i][0] for i in left) if f not in learnt[label] else 0 for f in range(8)]
                if max(counts) < SMALL.gamma:
                    memorised |= set(left)
                    break
                learnt[label].add(int(np.argmax(counts)))
        masks = np.array([[f in one for f in range(8)] for one in learnt])
        found.append(Round(accuracy(SMALL, masks), sum(map(len, learnt)), len(memorised), steps))
    return found


@pytest.mark.parametrize("start", STARTS)
def test_simulation_is_the_process_by_the_letter(start: Start) -> None:
    assert list(simulate(SMALL, start, rounds=6, seed=3)) == by_the_letter(start, rounds=6, seed=3)


def test_warm_starts_hurt_and_ideal_ones_are_as_good_as_cold_in_fewer_steps() -> None:
    last = {start: list(simulate(FeatureModel(), start, rounds=15, seed=1)) for start in STARTS}
    assert last["cold"][-1].accuracy > last["warm"][-1].accuracy + 0.1
    assert last["ideal"][-1].accuracy == pytest.approx(last["cold"][-1].accuracy, abs=0.01)
    assert sum(r.steps for r in last["ideal"]) < sum(r.steps for r in last["cold"]) / 3


def test_nothing_is_learnt_that_too_few_share() -> None:
    (only,) = simulate(FeatureModel(gamma=100_000), "warm", rounds=1, seed=0)
    assert (only.learnt, only.accuracy, only.memorised) == (0, 0.5, 1000)


def test_command_prints_and_draws(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["simulate", "--rounds", "3", "--plot", str(tmp_path / "p.svg")])
    assert done.exit_code == 0, done.output
    assert done.stdout.count("cold") == 3
    assert "points memorised" in (tmp_path / "p.svg").read_text()
    assert CliRunner().invoke(app, ["simulate", "--rounds", "0"]).exit_code == 2


def test_networks_train_on_its_points() -> None:
    setting = {"scenario": {"name": "warm-start-feature-model", "tasks": 2, "chunk_size": 500}, "epochs": 5}
    result = run(config("warm", setting), Machine(DataPlace.default()))
    assert result.data.test_samples == [10_000]
    final = result.metrics["final_test_accuracy"].value
    assert final is not None
    assert final > 0.6
