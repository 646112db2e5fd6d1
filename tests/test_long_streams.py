"""Stages to a threshold, online accuracy, and streams whose tasks are not all evaluated after each stage."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from clbench.config import RunConfig, resolve
from clbench.data.sources import DataPlace
from clbench.engine import watch
from clbench.engine.run import Machine, run
from clbench.engine.watch import AnswerWatch
from clbench.errors import UserError
from tests.helpers import known, run_small

PERMUTED: dict[str, Any] = {"scenario": {"name": "permuted-digits", "tasks": 5, "samples_per_task": 64}, "epochs": 1}


class Learner(SimpleNamespace):
    """Hands out batches of logits whose first ``right`` answers are right."""

    device = torch.device("cpu")
    stopped = False
    update = 0

    def stop_training(self) -> None:
        self.stopped = True

    def batch(self, right: int, arrived: int = 4, added: int = 0) -> None:
        labels = torch.zeros(arrived + added, dtype=torch.int64)
        logits: Tensor = torch.tensor([[1.0, 0.0]] * right + [[0.0, 1.0]] * (arrived + added - right))
        self.mb_output, self.mbatch, self.arrived = logits, [None, labels, None], arrived


@pytest.mark.parametrize("window", [1, 2, 256])
def test_answers_are_counted_before_each_step_and_added_samples_are_not(
    window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "WINDOW", window)
    answers, learner = AnswerWatch(0.75), Learner()
    answers.before_training_exp(learner)
    for rights, enough in (((1, 0, 2), False), ((4, 4, 1), True)):  # 9 of 12 is the threshold itself
        for right in rights:
            learner.batch(right, added=3)  # three wrong ones from a memory
            answers.after_forward(learner)
        answers.after_training_epoch(learner)
        assert learner.stopped == enough
    answers.after_training_exp(learner)
    assert answers.online == [(1 + 0 + 2 + 4 + 4 + 1) / 24]
    assert answers.reached == [True]


def test_an_epoch_that_is_cut_short_counts_what_it_saw() -> None:
    answers, learner = AnswerWatch(), Learner()
    answers.before_training_exp(learner)
    learner.batch(3)
    answers.after_forward(learner)
    answers.after_training_epoch(learner)
    answers.after_training_exp(learner)
    assert (answers.online, answers.reached) == ([0.75], [])


@pytest.mark.parametrize("threshold", [0.0, 0.8, 1.0])
def test_a_stage_ends_with_the_epoch_that_reaches_the_threshold(threshold: float) -> None:
    setting = {"epochs": None, "until_train_accuracy": threshold, "max_epochs": 60}
    stages = run_small("warm", setting).cost
    assert all(stage.reached for stage in stages)
    assert all(stage.steps == 3 * (stage.epochs or 0) for stage in stages)  # 48 images in batches of 16
    epochs = [stage.epochs or 0 for stage in stages]
    assert epochs == [1] * 5 if threshold == 0 else max(epochs) > 1
    longer = run_small("warm", setting | {"max_epochs": 59}).cost
    assert [stage.epochs for stage in longer] == epochs, "the cap matters only where it is hit"


def test_only_due_tasks_are_evaluated_and_they_are_the_same() -> None:
    every = run_small("naive", PERMUTED).accuracy
    some = run_small("naive", PERMUTED, {"evaluate_all_every": 2})
    due = [[], [0], range(5), [2], range(5), range(5)]
    for row, whole, tasks in zip(some.accuracy, every, due, strict=True):
        assert row == [value if task in tasks else None for task, value in enumerate(whole)]
    assert some.metrics["learning_accuracy"].value is not None
    assert some.metrics["forgetting_first_last"].value is not None
    assert some.metrics["forgetting"].value is None


def test_growing_streams_train_on_all_chunks_so_far() -> None:
    setting = {"scenario": {"name": "warm-start-digits", "tasks": 3, "chunk_size": 64}, "epochs": 2}
    result = run_small("warm", setting)
    assert [stage.tasks for stage in result.cost] == [[0], [0, 1], [0, 1, 2]]
    assert [stage.steps for stage in result.cost] == [4, 8, 12]
    assert [len(row) for row in result.accuracy] == [1] * 4
    joint = run_small("joint", setting)
    assert [stage.tasks for stage in joint.cost] == [[0, 1, 2]]
    assert joint.metrics["final_test_accuracy"].value == known(joint.accuracy[-1])[0]


@pytest.mark.parametrize(
    ("recipe", "given", "expected"),
    [
        ("split-digits", {}, (20, None, None, None)),
        ("split-digits", {"until_train_accuracy": 0.9}, (None, None, 0.9, 100)),
        ("warm-start-digits", {}, (None, None, 0.999, 200)),
        ("warm-start-digits", {"max_epochs": 7}, (None, None, 0.999, 7)),
        ("warm-start-digits", {"epochs": 3}, (3, None, None, None)),
        ("warm-start-digits", {"steps": 3}, (None, 3, None, None)),
        ("warm-start-digits", {"epochs": 3, "until_train_accuracy": None}, (3, None, None, None)),
    ],
)
def test_how_long_a_stage_lasts(recipe: str, given: dict[str, Any], expected: tuple[Any, ...]) -> None:
    (config,) = resolve({"strategy": "warm", "scenario": recipe} | given)
    assert (config.epochs, config.steps, config.until_train_accuracy, config.max_epochs) == expected
    (again,) = resolve(config.model_dump(mode="json", exclude={"seed"}))
    assert again == config


def test_later_keys_leave_the_ids_of_earlier_runs_alone() -> None:
    (config,) = resolve({"strategy": "naive", "scenario": {"class_order": "fixed"}})
    assert config.run_id != RunConfig.model_validate(config.model_dump() | {"evaluate_all_every": 2}).run_id
    assert config.run_id == "8b7be3c4a56874255a2be44025ff9a0f455a4d35ea33774f54a723e1bb958394"


FAMILIES: dict[str, dict[str, Any]] = {
    "warm-start": {"tasks": 2, "chunk_size": 200},
    "class-drip": {"tasks": 2, "samples_per_task": 200},
    "continual": {"tasks": 3, "samples_per_task": 200},
    "random-label": {"tasks": 2, "images": 200},
}


@pytest.mark.real_data
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("source", ["mnist", "cifar10"])
def test_real_images(family: str, source: str, real_data: Path) -> None:
    small = {"model": {"name": "lenet", "width": 4, "units": 16, "norm": "batch"}, "epochs": 2}
    scenario = {"name": f"{family}-{source}"} | FAMILIES[family]
    (config,) = resolve({"strategy": "ewc-fixed+shrink-perturb", "scenario": scenario} | small)
    result = run(config, Machine(DataPlace.default(real_data), threads=1, diagnostics=True))
    assert result.status == "ok"
    assert result.data.official is (source == "mnist")
    assert len(result.accuracy) == len(result.cost) + 1 == FAMILIES[family]["tasks"] + 1
    assert result.online_accuracy is not None
    if family != "random-label":  # two epochs memorise nothing
        assert max(result.online_accuracy) > (0.6 if family == "continual" else 0.12), "more than chance"


def test_activations_that_halve_need_an_even_width() -> None:
    with pytest.raises(UserError, match=r"model\.activation: crelu.*even"):
        run_small("naive", {"model": {"name": "mlp", "widths": [7], "activation": "crelu"}})
