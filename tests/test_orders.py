"""Streams vary by seed what the field varies; what was chosen or published in one order keeps it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from clbench import registry
from clbench.analysis.compare import leaderboards
from clbench.analysis.runs import run_of
from clbench.config import resolve
from clbench.config.shipped import shipped_recipe
from clbench.data.dataset import Dataset
from clbench.data.streams import Rotation
from clbench.sweeps.space import Tune
from clbench.sweeps.tune import configs, in_one_order
from tests.helpers import make_result, run_small
from tests.helpers import make_stream as make
from tests.test_tune import SHIPPED

FAMILIES = sorted(
    name
    for name, one in registry.scenario.listed.items()
    if one.data not in ("tables", "grouped") and "tasks" in {option.name for option in one.options}
)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_familys_standard_stream_varies_by_seed(family: str, digits: Dataset) -> None:
    assert len({make(family, digits, seed, tasks=5).digest for seed in range(5)}) == 5


def test_the_fixed_order_is_what_it_was(digits: Dataset) -> None:
    streams = [make("split", digits, seed, class_order="fixed") for seed in (0, 1)]
    assert [task.source_classes for task in streams[0].tasks] == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    assert streams[0].digest == streams[1].digest == "501c93cf7a2c06a5"
    assert make("rotated", digits, angles="even").digest == make("rotated", digits, 1, angles="even").digest


def test_even_angles_and_angles_by_seed(digits: Dataset) -> None:
    def angles(**options: Any) -> list[float]:
        pixels = [task.pixels for task in make("rotated", digits, tasks=4, degrees=80.0, **options).tasks]
        return [one.degrees for one in pixels if isinstance(one, Rotation)]

    assert angles(angles="even") == [0.0, 20.0, 40.0, 60.0]
    drawn = angles()
    assert [int(angle // 20) for angle in drawn] == [0, 1, 2, 3], "one in each quarter"
    assert len({angle % 20 for angle in drawn}) == 4


@pytest.mark.parametrize("kind", ["class", "domain"])
def test_kinds_by_name_are_those_of_split(kind: str, digits: Dataset) -> None:
    for options in ({}, {"class_order": "fixed"}, {"tasks": 2}):
        by_name, by_option = (
            make(f"split-{kind}", digits, 3, **options),
            make("split", digits, 3, incremental=kind, **options),
        )
        assert by_name.digest == by_option.digest
    (config,) = resolve({"strategy": "naive", "scenario": f"split-{kind}-digits"})
    assert config.epochs == 20
    assert "incremental" not in config.scenario


@pytest.mark.parametrize("kind", ["task", "class", "domain"])
def test_a_run_records_its_order_and_labels_fit(kind: str) -> None:
    layer = {"scenario": {"incremental": kind, "validation": 0.2}, "evaluate": "validation", "logits": "seen"}
    results = [run_small("er", layer, seed=seed) for seed in (0, 1)]
    orders = [result.scenario.classes for result in results]
    assert orders[0] != orders[1]
    assert all(sorted(c for task in order for c in task) == list(range(10)) for order in orders)
    assert results[0].scenario.stream != results[1].scenario.stream
    for result in results:
        learnt = result.metrics["learning_accuracy"].value or 0
        assert learnt > (0.3 if kind == "class" else 0.55), "labels are those of the images"


def test_a_label_is_a_classs_place_in_its_task(digits: Dataset) -> None:
    stream = make("split", digits, 4, incremental="domain")
    for task in stream.tasks:
        assert sorted(task.labels[task.source_classes]) == [0, 1]
        assert sorted(np.unique(task.labels[digits.train_labels[task.train]])) == [0, 1]


def test_versions_of_a_stream_are_never_ranked_together() -> None:
    settings = {"scenario": {"name": "split-digits", "tasks": 5, "class_order": "fixed"}}
    better = [[0.5, 0.5], [1.0, 0.5], [0.8, 1.0]]
    old, new = (
        [
            make_result("naive", settings=settings, scenario_version=version),
            make_result(other, accuracy=better, settings=settings, scenario_version=version),
        ]
        for version, other in ((1, "ewc"), (2, "er"))
    )
    boards = leaderboards(map(run_of, old + new))
    assert [{entry.strategy for entry in board.entries} for board in boards] == [{"ewc", "naive"}, {"er", "naive"}]
    assert [board.setting for board in boards] == ["scenario version 1", "scenario version 2"]


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_shipped_settings_keep_the_order_that_they_were_chosen_in(file: Any) -> None:
    (config,) = resolve(shipped_recipe(file.stem, file.parent.name))
    assert config.scenario["class_order"] == "fixed"
    assert config.scenario["skip"] > 0


def test_settings_are_chosen_on_the_same_classes_whatever_the_seed() -> None:
    tune = Tune(tasks=2, seeds=[0, 1], space={"strategy.lam": [1]})
    given = {"strategy": "ewc", "scenario": "split-class-digits"}
    for layer, order in ((given, "fixed"), (given | {"scenario": {"class_order": "random"}}, "random")):
        layers = in_one_order([layer], tune)
        assert {config.scenario["class_order"] for config in configs(layers, tune, {})} == {order}
    on_all = tune.model_copy(update={"tasks": None})
    assert {c.scenario["class_order"] for c in configs(in_one_order([given], on_all), on_all, {})} == {"random"}
    permuted = {"strategy": "ewc", "scenario": "permuted-digits"}
    assert in_one_order([permuted], tune) == [permuted]
