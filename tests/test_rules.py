"""Controls that answer by a rule: they train nothing, and everything around them takes that in its stride."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clbench import store
from clbench.data.dataset import PartName
from clbench.data.sources import DataPlace
from clbench.data.streams import Task
from clbench.data.tensors import ResidentStream, TaskData
from clbench.engine.run import Machine, run
from clbench.errors import UserError
from clbench.progress import Reporter
from clbench.roles import of_composition
from clbench.store import Result
from tests.helpers import config, run_small, task_data
from tests.test_checkpoint import keeping, numbers

DOMAIN: dict[str, Any] = {"scenario": {"name": "permuted-digits", "tasks": 3, "incremental": "domain"}}
CLASS: dict[str, Any] = {"scenario": {"incremental": "class"}}


@pytest.fixture
def ordered(monkeypatch: pytest.MonkeyPatch) -> dict[int, list[int]]:
    """Rows come in order of time; the labels of each test by its size, as they were made."""
    made, labels = ResidentStream._make, {}

    def with_previous(self: ResidentStream, task: Task, index: np.ndarray[Any, Any], part: PartName) -> TaskData:
        data = made(self, task, index, part)
        data.previous = torch.cat([torch.tensor([-1]), data.labels[:-1]])
        labels[len(data)] = data.labels.tolist()
        return data

    monkeypatch.setattr(ResidentStream, "_make", with_previous)
    return labels


def untrained(result: Result) -> None:
    """What must hold of a run without training."""
    assert result.status == "ok"
    assert result.warnings == []
    assert result.role == "control"
    assert [(cost.steps, cost.epochs, cost.samples, cost.reached) for cost in result.cost] == [
        (0, 0, 0, None) for _ in result.cost
    ]
    assert result.online_accuracy is None
    assert result.metrics["online_accuracy"].value is None
    assert result.metrics["steps_to_threshold"].value is None
    assert result.diagnostics["training_loss"] == [None] * len(result.cost)


@pytest.mark.parametrize(
    "layer",
    [
        {},
        {"epochs": None, "steps": 7},
        {"epochs": None, "until_train_accuracy": 0.9, "max_epochs": 3},
        {"evaluate_steps": 2, "evaluate_all_every": 3},
        {"optimizer": {"name": "sam", "schedule": "cosine"}},
        CLASS | {"model": {"classifier": "growing"}},
        CLASS | {"logits": "seen"},
    ],
)
def test_a_stage_of_no_epochs(layer: dict[str, Any]) -> None:
    untrained(run_small("majority", layer))


def test_diagnostics_of_a_network_that_is_not_trained() -> None:
    result = run(config("majority", CLASS), Machine(DataPlace.default(), diagnostics=True))
    assert result.status == "ok"
    assert result.accuracy == run_small("majority", CLASS).accuracy


def test_majority_has_the_share_of_its_class() -> None:
    """In a class-incremental stream it knows a class of the latest task; each test has two classes."""
    result = run_small("majority", CLASS)
    assert result.confusion is not None
    latest = result.confusion[-1]
    assert len({answer for task in result.confusion for _, answer, _ in task}) == 1
    share = max(n for label, answer, n in latest if label == answer) / sum(n for *_, n in latest)
    assert result.accuracy[-1] == [0.0, 0.0, 0.0, 0.0, share]
    assert result.metrics["balanced_accuracy"].value == pytest.approx(0.5 / 5)


def test_majority_keeps_what_each_head_had_last() -> None:
    result = run_small("majority")
    for task in range(5):
        column = [row[task] for row in result.accuracy]
        assert len(set(column[task + 1 :])) == 1
    assert result.metrics["forgetting"].value == 0.0


def test_persistence_answers_the_label_before(ordered: dict[int, list[int]]) -> None:
    result = run_small("persistence", DOMAIN)
    untrained(result)
    labels = ordered[result.data.test_samples[0]]
    kept = [before == label for before, label in pairwise(labels)]
    for row in result.accuracy:  # the first row of a test has none before it: the network answers
        for value in row:
            assert value is not None
            assert round(value * len(labels)) - sum(kept) in (0, 1)


@pytest.mark.parametrize("layer", [{}, {"evaluate_all_every": 3}])
def test_persistence_needs_an_order(layer: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"needs rows in order of time.*take 'majority'"):
        run_small("persistence", DOMAIN, layer)


class Broken(Reporter):
    """A machine that fails after the third stage is evaluated."""

    def stage_finished(self, stage: int, row: Sequence[float | None]) -> None:
        if stage == 3:
            raise ConnectionError


@pytest.mark.usefixtures("ordered")
@pytest.mark.parametrize("name", ["majority", "persistence"])
def test_rules_go_on_after_whole_stages(name: str, tmp_path: Path) -> None:
    one, machine = config(name), Machine(DataPlace.default(), "cpu", threads=1)
    with pytest.raises(ConnectionError):
        run(one, machine, Broken(), keeping(tmp_path))
    found, whole = run(one, machine, None, keeping(tmp_path)), run(one, machine)
    assert numbers(found) == numbers(whole)
    assert found.environment["continued"] == 1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("majority+ewc", "'majority' trains no network and answers by itself, so 'ewc' could change nothing"),
        ("er+persistence", "'persistence' trains no network"),
        ("majority+persistence", "each of 'majority' and 'persistence' answers by a rule"),
        ("majority+avalanche.training.plugins.EWCPlugin", "could change nothing"),
    ],
)
def test_rules_are_composed_with_nothing_that_trains(name: str, words: str) -> None:
    given = {"name": name} | ({"ewc_lambda": 1} if "avalanche" in name else {})
    with pytest.raises(UserError, match=words):
        run_small(given)


def test_beside_fine_tuning_a_rule_is_itself() -> None:
    assert run_small("naive+majority").accuracy == run_small("majority").accuracy
    assert of_composition(["control", "control"]) == "control"


def test_rows_before_are_carried_along() -> None:
    labels = torch.tensor([0, 1, 1])
    one = task_data(torch.zeros(3, 1, 2, 2), labels)
    one.previous = torch.tensor([-1, 0, 1])
    other = task_data(torch.zeros(3, 1, 2, 2), labels)
    found = one.subset(torch.tensor([2, 0])).previous
    assert found is not None
    assert found.tolist() == [1, -1]
    joined = TaskData.concat([one, one]).previous
    assert joined is not None
    assert joined.tolist() == [-1, 0, 1, -1, 0, 1]
    assert TaskData.concat([one, other]).previous is None
    assert other.subset(torch.tensor([0])).previous is None


def test_a_rules_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    result = run_small("majority")
    assert store.read(store.write(result, tmp_path)) == result
