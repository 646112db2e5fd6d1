"""A budget of steps is for each task, however a strategy puts tasks together."""

from __future__ import annotations

from typing import Any

import pytest

from clbench import optimizers
from clbench.data import cache
from clbench.data.benchmark import ResidentExperience, make_benchmark
from clbench.data.sources import DataPlace
from clbench.data.tensors import ResidentStream
from clbench.engine.precision import choose_device
from clbench.registry import scenario
from tests.helpers import run_small

FOUR: dict[str, Any] = {"epochs": None, "steps": 4}


@pytest.mark.parametrize(
    ("strategy", "steps"), [("naive", [4] * 5), ("cumulative", [4] * 5), ("cold", [4] * 5), ("joint", [20])]
)
def test_bounds_train_as_long_as_what_they_bound(strategy: str, steps: list[int]) -> None:
    assert [cost.steps for cost in run_small(strategy, FOUR).cost] == steps


def test_joint_on_chunks_that_add_up() -> None:
    setting = {"scenario": {"name": "warm-start-digits", "tasks": 3, "chunk_size": 64}} | FOUR
    assert [cost.steps for cost in run_small("warm", setting).cost] == [4, 4, 4]
    assert [cost.steps for cost in run_small("joint", setting).cost] == [12]


def test_epochs_are_over_all_data() -> None:
    naive, joint = (run_small(name, {"epochs": 2}).cost for name in ("naive", "joint"))
    assert [cost.epochs for cost in joint] == [2]
    assert sum(cost.steps or 0 for cost in joint) == sum(cost.steps or 0 for cost in naive)


@pytest.mark.parametrize(
    ("stages", "fresh"),
    [
        ([[0], [1], [2]], [1, 1, 1]),
        ([[0, 1, 2]], [3]),
        ([[0], [0, 1], [0, 1, 2]], [1, 1, 1]),
        ([[0, 1], [2]], [2, 1]),
        ([[0, 1, 2], [0]], [3, 1]),  # a stage without new tasks has a budget too
    ],
)
def test_a_stage_has_the_budget_of_its_new_tasks(stages: list[list[int]], fresh: list[int]) -> None:
    digits = cache.load("digits", DataPlace.default())
    stream = scenario.load("permuted").make(digits, 0, tasks=3)
    resident = ResidentStream(stream, digits, choose_device("cpu"), "unit")
    train = make_benchmark(resident, stages, "test").streams["train"]
    found = [experience.fresh for experience in train if isinstance(experience, ResidentExperience)]
    assert found == fresh


def test_a_schedule_runs_over_the_whole_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []
    schedule = optimizers.ScheduleLearningRate
    known = schedule.before_update

    def noted(self: Any, learner: Any, **kwargs: Any) -> None:
        known(self, learner, **kwargs)
        seen.append(learner.optimizer.param_groups[0]["lr"])

    monkeypatch.setattr(schedule, "before_update", noted)
    run_small("joint", FOUR, {"optimizer": {"schedule": "cosine"}})
    assert len(seen) == 20
    assert seen[10] == pytest.approx(seen[0] / 2), "half of the way down a cosine"
    assert seen[-1] < 0.05 * seen[0]
