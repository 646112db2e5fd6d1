"""Evaluation inside stages: it sees what is there, and changes nothing."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from clbench import metrics
from clbench.avalanche import SupervisedPlugin
from clbench.config import RunConfig, resolve
from clbench.data.sources import DataPlace
from clbench.engine import run as engine
from clbench.engine.run import Machine
from clbench.engine.watches import Watches
from clbench.engine.within import WithinWatch
from clbench.store import Result
from tests.helpers import SMALL, known, run_small
from tests.test_checkpoint import check
from tests.test_strategy_contract import NEEDS, QUICK, SOON, STRATEGIES

TINY: dict[str, Any] = {"scenario": {"tasks": 5, "keep": 3, "samples_per_task": 32}, "epochs": 2, "batch_size": 8}
OFTEN: dict[str, Any] = {"evaluate_steps": 1}


def found(result: Result) -> tuple[Any, ...]:
    """What training decides, bit for bit."""
    steps = [(cost.steps, cost.epochs, cost.reached) for cost in result.cost]
    return result.accuracy, result.online_accuracy, result.diagnostics["training_loss"], steps


@pytest.mark.parametrize("name", STRATEGIES)
def test_training_is_the_same_with_and_without(name: str) -> None:
    strategy = {"name": name} | QUICK.get(name, {}) | SOON.get(name, {})
    layers = [NEEDS.get(name, {}), TINY]
    assert found(run_small(strategy, *layers, {"evaluate_steps": 3})) == found(run_small(strategy, *layers))


CLASS = {"scenario": {"incremental": "class"}}
OTHERS: dict[str, dict[str, Any]] = {
    "batch norm": {"strategy": "er", "model": {"norm": "batch"}},
    "current classes alone": {"strategy": "mas", "logits": "current"} | CLASS,
    "seen classes alone": {"strategy": "lwf", "logits": "seen"} | CLASS,
    "growing": {"strategy": "lwf", "model": {"classifier": "growing"}} | CLASS,
    "growing, on a device": {"strategy": "physics-aware", "model": {"classifier": "growing"}} | CLASS,
    "sam": {"strategy": "l2", "optimizer": {"name": "sam"}},
    "adam, cosine": {"strategy": "ewc", "optimizer": {"name": "adam", "schedule": "cosine", "reset": "never"}},
    "augmented": {"strategy": "ewc-fixed", "model": {"name": "lenet"}, "augment": "flip+crop"}
    | {"scenario": {"image_size": 16}},
    "steps": {"strategy": "er", "epochs": None, "steps": 7},
    "until it is learnt": {"strategy": "er", "epochs": None, "until_train_accuracy": 0.9, "max_epochs": 3},
    "Avalanche's LwF": {"strategy": {"name": "avalanche.training.plugins.LwFPlugin"}},
    "Avalanche's replay": {"strategy": {"name": "avalanche.training.plugins.ReplayPlugin"}},
}


@pytest.mark.parametrize("name", OTHERS)
def test_whatever_the_setting(name: str) -> None:
    layers = [SMALL, TINY, OTHERS[name]]
    machine = Machine(DataPlace.default(), "cpu", threads=1, diagnostics=name == "batch norm")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with_it, without = (engine.run(resolve(*layers, more)[0], machine) for more in (OFTEN, {}))
    assert found(with_it) == found(without)
    nothing = {"accuracy_within": None, "accuracy_seen": None}
    assert with_it.diagnostics | nothing == without.diagnostics | nothing


class Spy(SupervisedPlugin):
    """Evaluates old tasks by itself: a copy of the network, one image after another."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[list[list[float]]] = []

    def before_training_exp(self, learner: Any, **kwargs: Any) -> None:
        self.seen.append([])

    @torch.no_grad()
    def after_training_iteration(self, learner: Any, **kwargs: Any) -> None:
        (watch,) = (plugin for plugin in learner.plugins if isinstance(plugin, WithinWatch))
        model = copy.deepcopy(learner.model).eval()
        row = []
        for test in watch.tests[: len(self.seen) - 1]:
            data = test.data
            right = 0
            for place in range(len(data)):
                logits = model(data.inputs(data.samples[place : place + 1]), int(data.heads[place]))
                right += int(logits.argmax()) == int(data.labels[place])
            row.append(right / len(data))
        if row:
            self.seen[-1].append(row)


def test_curves_are_those_of_the_network_at_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    spy = Spy()
    around = Watches.around
    monkeypatch.setattr(Watches, "around", lambda self, plugins: around(self, [*plugins, spy]))
    result = run_small("ewc", TINY, OFTEN, {"model": {"norm": "batch"}})
    curves = result.diagnostics["accuracy_within"]
    assert curves[0] == [], "there are no old tasks in the first stage"
    for stage in (1, 2):
        assert len(curves[stage]) == 8
        assert [row[stage:] for row in curves[stage]] == [[None] * (3 - stage)] * 8
        assert [row[:stage] for row in curves[stage]] == spy.seen[stage]
        assert curves[stage][-1][:stage] == result.accuracy[stage + 1][:stage], "the last step's is the row of R"


def plainly(result: Result) -> tuple[float, float, float]:
    """Stability gap, min-ACC and WC-ACC of a run with a stage for each task, by loops."""
    R, curves = [known(row) for row in result.accuracy], result.diagnostics["accuracy_within"]
    tasks = len(R[0])
    drops, lowest = [], [1.0] * tasks
    for stage in range(1, tasks):
        for task in range(stage):
            low = R[stage + 1][task]
            for row in curves[stage]:
                if row[task] < low:
                    low = row[task]
            drops.append(R[stage][task] - low)
            lowest[task] = min(lowest[task], low)
    smallest = sum(lowest[:-1]) / (tasks - 1)
    return sum(drops) / len(drops), smallest, R[-1][-1] / tasks + (1 - 1 / tasks) * smallest


@pytest.mark.parametrize("kind", ["task", "domain"])
def test_metrics_are_those_of_a_plain_computation(kind: str) -> None:
    result = run_small("er", TINY, {"evaluate_steps": 3, "scenario": {"incremental": kind}})
    assert [len(rows) for rows in result.diagnostics["accuracy_within"]] == [0, 2, 2]
    values = [result.metrics[name].value for name in ("stability_gap", "min_accuracy", "worst_case_accuracy")]
    assert values == pytest.approx(plainly(result))


def test_without_evaluation_inside_there_is_no_gap() -> None:
    names = ("stability_gap", "min_accuracy", "worst_case_accuracy")
    for layer in ({}, {"evaluate_steps": 1000}):
        result = run_small("naive", TINY, layer)
        assert [result.metrics[name].value for name in names] == [None] * 3
    assert "accuracy_within" not in run_small("naive", TINY).diagnostics
    joint = run_small("joint", TINY, OFTEN)
    assert [joint.metrics[name].value for name in names] == [None] * 3, "nothing is old in a single stage"


def test_streams_with_one_test_have_a_gap_too() -> None:
    setting = {"scenario": {"name": "warm-start-digits", "tasks": 3, "chunk_size": 64}, "epochs": 2}
    result = run_small("warm", setting, {"evaluate_steps": 2})
    curves = result.diagnostics["accuracy_within"]
    assert [len(rows) for rows in curves] == [0, 4, 6]
    R = [known(row)[0] for row in result.accuracy]
    lows = [min([R[2], *(row[0] for row in curves[1])]), min([R[3], *(row[0] for row in curves[2])])]
    assert result.metrics["stability_gap"].value == pytest.approx((R[1] - lows[0] + R[2] - lows[1]) / 2)
    assert result.metrics["min_accuracy"].value is None, "tasks have no tests of their own"


def test_a_task_that_a_row_lacks_is_unknown() -> None:
    rows: list[list[float | None]] = [[None, None], [0.9, None], [None, 0.8]]
    course = metrics.Course(rows, tasks=[[0], [1]], within=[[], [[0.2, None]]])
    assert metrics.compute(course)["stability_gap"] is None
    assert metrics.compute(course)["min_accuracy"] is None


@pytest.mark.parametrize("strategy", ["ewc", "er", "physics-aware"])
def test_a_stopped_run_goes_on_with_the_same_curves(strategy: str, tmp_path: Path) -> None:
    check(resolve(SMALL, {"strategy": strategy, "evaluate_steps": 3, "epochs": 2, "batch_size": 8})[0], tmp_path)


def test_it_is_part_of_a_run_where_it_is_asked_for() -> None:
    (plain,) = resolve({"strategy": "naive"})
    assert RunConfig.model_validate(plain.model_dump() | {"evaluate_steps": 5}).run_id != plain.run_id
