"""Standard settings by name, and what they are made of: orders of classes, few shots, online streams."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from clbench.cli import app
from clbench.config import resolve
from clbench.config.names import scenario_parts
from clbench.config.standard import standards
from clbench.data.dataset import Dataset
from clbench.data.sources import DataPlace
from clbench.engine.run import Machine, run
from clbench.errors import UserError
from clbench.render import catalogue
from tests.helpers import make_stream, run_small


@pytest.mark.parametrize("name", standards())
def test_a_name_is_the_run_that_writes_it_out(name: str) -> None:
    (short,) = resolve({"strategy": "naive", "scenario": name})
    (long,) = resolve({"strategy": "naive"}, standards()[name].config)
    assert short == long
    assert short.run_id == long.run_id
    assert short.scenario["name"] == standards()[name].scenario
    assert scenario_parts(name) == scenario_parts(standards()[name].scenario)
    assert standards()[name].about.startswith(catalogue.description("scenario", name).doc.split("\n\n")[0])


def test_flags_win_over_the_setting() -> None:
    (one,) = resolve(
        {"strategy": "naive", "scenario": {"name": "split-cifar100-b50", "class_order": "random"}, "steps": 7}
    )
    assert (one.scenario["first"], one.scenario["then"], one.scenario["tasks"]) == (50, 10, None)
    assert (one.scenario["class_order"], one.steps, one.epochs) == ("random", 7, None)
    assert one.model["name"] == "resnet18"
    (other,) = resolve({"strategy": "naive", "scenario": "split-cifar100-b50", "model": "slim-resnet18"})
    assert other.model["name"] == "slim-resnet18"


def test_an_online_stream_sees_each_sample_once_and_is_asked_at_any_time() -> None:
    (one,) = resolve({"strategy": "er", "scenario": "online-split-digits"})
    found = run(one, Machine(DataPlace.default()))
    assert [cost.epochs for cost in found.cost] == [1] * 5
    assert (one.batch_size, one.optimizer["reset"]) == (10, "never")
    assert found.metrics["anytime_accuracy"].value is not None
    last, tested = found.accuracy[-1], found.data.test_samples
    together = sum(n * (a or 0) for n, a in zip(tested, last, strict=True)) / sum(tested)
    assert found.metrics["last_accuracy_over_samples"].value == pytest.approx(together)


def test_few_shots_behind_a_first_task(digits: Dataset) -> None:
    stream = make_stream("split-class", digits, 1, tasks=None, first=6, then=2, shots=5)
    whole = make_stream("split-class", digits, 1, tasks=None, first=6, then=2)
    assert [len(task.train) for task in stream.tasks][1:] == [10, 10]
    assert np.array_equal(stream.tasks[0].train, whole.tasks[0].train)
    for few, all_of_them in zip(stream.tasks, whole.tasks, strict=True):
        assert np.array_equal(few.test, all_of_them.test)
        assert set(few.train) <= set(all_of_them.train)
    for task in stream.tasks[1:]:
        assert np.bincount(task.labels[digits.train_labels[task.train]])[task.classes].tolist() == [5, 5]


def test_the_order_of_seed_1993_whatever_the_runs(digits: Dataset) -> None:
    np.random.seed(1993)
    wanted = np.random.permutation(10).tolist()
    for seed in (0, 4):
        for family in ("split", "split-class", "class-drip", "split-domain"):
            tasks = make_stream(family, digits, seed, tasks=10, class_order=1993).tasks
            assert [task.source_classes for task in tasks] == [[label] for label in wanted]
    assert np.random.RandomState(1993).permutation(100)[:5].tolist() == [68, 56, 78, 8, 23], (
        "as printed in papers' logs"
    )


def test_an_order_that_is_given(digits: Dataset) -> None:
    order = [3, 1, 4, 0, 5, 9, 2, 6, 8, 7]
    tasks = make_stream("split", digits, tasks=5, class_order=order).tasks
    assert [task.source_classes for task in tasks] == [[1, 3], [0, 4], [5, 9], [2, 6], [7, 8]]


@pytest.mark.parametrize("order", [[0, 1, 2], [0] * 10, [*range(1, 11)]])
def test_a_list_that_is_no_order(order: list[int]) -> None:
    with pytest.raises(UserError, match=r"scenario\.class_order: a list must have each of the 10 classes"):
        run_small("naive", {"scenario": {"class_order": order}})


@pytest.mark.parametrize(("key", "value"), [("class_order", 0), ("class_order", "sorted"), ("shots", 0)])
def test_other_bad_values_are_named(key: str, value: Any) -> None:
    with pytest.raises(UserError, match=rf"scenario\.{key}"):
        resolve({"strategy": "naive", "scenario": {"name": "split-digits", key: value}})


def test_a_name_that_is_nearly_one() -> None:
    with pytest.raises(UserError, match="online-split-digits"):
        resolve({"strategy": "naive", "scenario": "online-split-digit"})


def test_from_the_command_line(tmp_path: Any) -> None:
    told = [
        "run",
        "--strategy",
        "naive",
        "--scenario",
        "few-shot-digits",
        "--set",
        "epochs=1",
        "--results",
        str(tmp_path),
    ]
    found = CliRunner().invoke(app, told)
    assert found.exit_code == 0, found.output
    assert "few-shot-digits" in CliRunner().invoke(app, ["list", "scenarios", "--json"]).output
