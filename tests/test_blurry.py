"""Class-incremental streams with blurred borders, and accuracy at any time."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clbench import metrics
from clbench.avalanche import SupervisedPlugin
from clbench.config import resolve
from clbench.data.dataset import Dataset
from clbench.data.sources import DataPlace
from clbench.data.streams import Stream, stretch
from clbench.engine.run import Machine, run
from clbench.engine.stages import Stages
from clbench.engine.watches import Watches
from clbench.errors import UserError
from tests.helpers import known, run_small
from tests.helpers import make_stream as make
from tests.test_checkpoint import check
from tests.test_strategy_contract import OWN_HEADS, QUICK, STRATEGIES, needs_of
from tests.test_uneven import TINY, made

BLURRY: dict[str, Any] = {
    "scenario": {"name": "blurry-digits", "tasks": 3, "samples_per_task": 40},
    "evaluate_steps": 3,
}


def counted(stream: Stream, data: Any) -> np.ndarray[Any, Any]:
    """Training samples by task and class of the dataset."""
    return np.stack([np.bincount(data.train_labels[t.train], minlength=len(data.classes)) for t in stream.tasks])


def own_of(stream: Stream, data: Any) -> list[set[int]]:
    """Each task's own classes: those that it is tested on."""
    return [{*data.test_labels[task.test].tolist()} for task in stream.tasks]


# In hundredths: hypothesis refuses floats in a process that flushes denormals, as runs do.
SHARES = st.integers(0, 100).map(lambda hundredths: hundredths / 100)
SETTINGS: dict[str, Any] = {
    "tasks": st.integers(1, 6),
    "disjoint": SHARES,
    "blur": SHARES,
    "seed": st.integers(0, 3),
    "counts": st.lists(st.integers(1, 60), min_size=6, max_size=12),
}


@given(**SETTINGS)
def test_each_sample_once_and_every_class_is_somebodys(
    tasks: int, disjoint: float, blur: float, seed: int, counts: list[int]
) -> None:
    data = made(counts)
    stream = make("blurry", data, seed, tasks=tasks, disjoint=disjoint, blur=blur)
    together = np.concatenate([task.train for task in stream.tasks])
    assert sorted(together.tolist()) == list(range(len(data.train_labels)))
    own = own_of(stream, data)
    assert sorted(c for mine in own for c in mine) == list(range(len(counts)))
    assert max(map(len, own)) - min(map(len, own)) <= 1
    assert stream.digest == make("blurry", data, seed, tasks=tasks, disjoint=disjoint, blur=blur).digest
    numbers = {c: int(task.labels[c]) for task, mine in zip(stream.tasks, own, strict=True) for c in mine}
    assert sorted(numbers.values()) == list(range(len(counts)))
    for task, there in zip(stream.tasks, counted(stream, data), strict=True):
        named = {c: int(label) for c, label in enumerate(task.labels) if label >= 0}
        assert named.items() <= numbers.items(), "a class has one label, whatever the task"
        assert {*np.flatnonzero(there).tolist()} <= named.keys()


@given(**SETTINGS)
def test_shares_are_those_of_i_blurry(tasks: int, disjoint: float, blur: float, seed: int, counts: list[int]) -> None:
    """How many samples each task has, by plain arithmetic on the classes that it is tested on."""
    data = made(counts)
    stream = make("blurry", data, seed, tasks=tasks, disjoint=disjoint, blur=blur)
    found = counted(stream, data)
    own = own_of(stream, data)
    spread = {c for c in range(len(counts)) if (found[:, c] > 0).sum() > 1}
    sharp = round(disjoint * len(counts))
    assert len(spread) <= len(counts) - sharp
    # The blurred classes of each task come behind its disjoint ones in the order of labels.
    left, blurred = sharp, []
    for index, (task, mine) in enumerate(zip(stream.tasks, own, strict=True)):
        alone = sharp // tasks + (index < sharp % tasks)
        blurred.append(sorted(mine, key=lambda c: task.labels[c])[alone:])
        left -= alone
    assert left == 0
    taken = [round(blur * sum(counts[c] for c in mine)) for mine in blurred]
    pool = sum(taken)
    for index, mine in enumerate(own):
        dealt = pool // tasks + (index < pool % tasks)
        assert found[index].sum() == sum(counts[c] for c in mine) - taken[index] + dealt
        strangers = sum(int(found[index, c]) for c in range(len(counts)) if c not in mine)
        assert strangers <= dealt


def test_counts_are_like_those_that_the_authors_published() -> None:
    """CIFAR-10, five tasks, i-Blurry-50-10 and 50-30: a disjoint class has 5,000 samples in its task, a blurred one
    about 5,000 · (1 − M + M/5), every task 10,000 (collections/cifar10 of the authors' repository).
    """
    data = made([5000] * 10)
    for blur, stay in ((0.1, 4600), (0.3, 3800)):
        found = counted(make("blurry", data, blur=blur), data)
        assert (found.sum(1) == 10_000).all()
        for row in found:
            first, second, *others = sorted(row.tolist(), reverse=True)
            assert first == 5000
            assert second == pytest.approx(stay, abs=60)
            assert sum(count > 0 for count in others) == 4
            assert max(others) == pytest.approx(5000 * blur / 5, abs=60)


def test_nothing_blurred_is_split_class(digits: Dataset) -> None:
    for options in ({"disjoint": 1.0}, {"blur": 0.0, "disjoint": 1.0}):
        assert make("blurry", digits, 2, **options).digest == make("split-class", digits, 2).digest
    assert not make("blurry", digits, blur=0.0).classes_return
    assert make("blurry", digits).classes_return


def test_seeds_and_options_make_other_streams(digits: Dataset) -> None:
    streams = [make("blurry", digits, seed) for seed in (0, 1)]
    streams += [make("blurry", digits, disjoint=0.3), make("blurry", digits, blur=0.3)]
    streams.append(make("blurry", digits, stochastic=True))
    assert len({stream.digest for stream in streams}) == 5
    assert streams[0].digest == "5a73c14b09ae5e24"


@given(st.integers(0, 50), SHARES)
def test_stochastic_cuts_keep_every_sample_and_a_tasks_size(seed: int, blur: float) -> None:
    data = made([40, 10, 30, 20, 60, 5, 25, 50, 35, 15])
    stream = make("blurry", data, seed, blur=blur, disjoint=0.5, stochastic=True)
    together = np.concatenate([task.train for task in stream.tasks])
    assert sorted(together.tolist()) == list(range(len(data.train_labels)))
    own = own_of(stream, data)
    assert sum(map(len, own)) == 10
    assert all(own), "each task has a blurred class at least"
    sizes = [sum(int((data.train_labels == c).sum()) for c in mine) for mine in own]
    assert [len(task.train) for task in stream.tasks] == sizes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": 11}, r"scenario\.tasks: 10 classes.*11 tasks.*at most 10"),
        ({"stochastic": True, "disjoint": 0.8}, r"scenario\.stochastic: 5 tasks.*scenario\.disjoint: 0\.8 leaves 2"),
    ],
)
def test_blurry_streams_that_cannot_be(options: dict[str, Any], message: str, digits: Dataset) -> None:
    with pytest.raises(UserError, match=message):
        make("blurry", digits, **options)


@pytest.mark.parametrize("option", ["disjoint", "blur"])
def test_shares_beyond_1_are_refused(option: str) -> None:
    with pytest.raises(UserError, match=rf"scenario\.{option}.*less than or equal to 1"):
        resolve({"strategy": "naive", "scenario": {"name": "blurry-digits", option: 50}})


def test_a_stretch_of_a_blurry_stream_has_the_labels_that_occur(digits: Dataset) -> None:
    part = stretch(make("blurry", digits, disjoint=1.0), 1, 2)
    assert part.outputs == 4
    part = stretch(make("blurry", digits, disjoint=0.0, blur=0.5), 1, 2)
    assert part.outputs == 10, "every class is a little in every task"


# Accuracy at any time.


class Plainly(SupervisedPlugin):
    """Asks for all classes met so far by itself: one sample of the test set after another."""

    def __init__(self, every: int) -> None:
        super().__init__()
        self.every = every
        self.met: set[int] = set()
        self.found: list[list[float]] = []
        self.tests: Any = None

    def before_training_exp(self, learner: Any, **kwargs: Any) -> None:
        self.found.append([])

    def after_training_iteration(self, learner: Any, **kwargs: Any) -> None:
        self.met |= {*learner.mbatch[1][: learner.arrived].tolist()}
        if (learner.clock.train_exp_iterations + 1) % self.every:
            return
        answers = []
        learner.model.eval()
        for test in self.tests:
            data = test.data
            for x, label in zip(data.inputs(data.samples), data.labels.tolist(), strict=True):
                if label in self.met:
                    with torch.no_grad():
                        answers.append(int(learner.logits(x[None], 0).argmax()) == label)
        learner.model.train()
        self.found[-1].append(sum(answers) / len(answers))


@pytest.mark.parametrize("strategy", ["naive", "er"])
def test_anytime_accuracy_is_that_of_a_plain_computation(strategy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Plainly(3)
    around, train = Watches.around, Stages.train

    def tested(stages: Any, *arguments: Any) -> Any:
        plain.tests = stages.tests
        return train(stages, *arguments)

    monkeypatch.setattr(Watches, "around", lambda self, plugins: around(self, [*plugins, plain]))
    monkeypatch.setattr(Stages, "train", tested)
    result = run_small(strategy, TINY, BLURRY)
    assert result.diagnostics["accuracy_seen"] == plain.found
    values = [value for stage in plain.found for value in stage]
    assert result.metrics["anytime_accuracy"].value == pytest.approx(sum(values) / len(values))
    assert len(plain.found[0]) == len(plain.found[1]) == 40 // 8 // 3


def test_where_labels_are_no_classes_of_the_whole_stream_there_is_no_anytime_accuracy() -> None:
    for kind in ("task", "domain"):
        result = run_small("naive", {"evaluate_steps": 2, "scenario": {"incremental": kind}})
        assert result.metrics["anytime_accuracy"].value is None
        assert "accuracy_seen" not in result.diagnostics
    assert run_small("naive", {"scenario": {"incremental": "class"}}).metrics["anytime_accuracy"].value is None


def test_what_old_tasks_lose_inside_stages_is_what_it_was(digits: Dataset) -> None:
    """The curves of old tasks know nothing of the tasks that are evaluated beside them now."""
    result = run_small("naive", {"evaluate_steps": 2, "scenario": {"incremental": "class"}})
    for stage, rows in enumerate(result.diagnostics["accuracy_within"]):
        assert rows or stage == 0
        assert all([value is None for value in row] == [task >= stage for task in range(5)] for row in rows)
        if rows and stage:
            assert rows[-1][:stage] == result.accuracy[stage + 1][:stage]


def test_no_evaluation_is_unknown() -> None:
    R = [[0.1, 0.2], [0.5, 0.3]]
    assert metrics.compute(metrics.Course(R, seen=[[], [None]]))["anytime_accuracy"] is None
    found = metrics.compute(metrics.Course(R, seen=[[0.5], [None, 1.0, 0.75]]))["anytime_accuracy"]
    assert found == pytest.approx(0.75)


# Every strategy.


@pytest.mark.parametrize("name", [name for name in STRATEGIES if name not in OWN_HEADS])
def test_every_strategy_runs_on_blurred_borders(name: str) -> None:
    strategy = {"strategy": {"name": name} | QUICK.get(name, {}), "seeds": [0]}
    (one,) = resolve(TINY, BLURRY, strategy, needs_of(name, stream=False))
    result = run(one, Machine(DataPlace.default(), "cpu", threads=1))
    assert result.status == "ok"
    numbers = [value for row in result.accuracy for value in known(row)]
    losses = [loss for loss in result.diagnostics["training_loss"] if loss is not None]
    assert np.isfinite(numbers + losses).all()
    asked = result.metrics["anytime_accuracy"].value
    if not any(cost.steps for cost in result.cost):  # a rule has no steps to ask between
        assert asked is None
        return
    assert asked is not None
    assert math.isfinite(asked)


def test_a_memory_keeps_as_many_of_a_class_whose_samples_come_in_many_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[list[int]] = []

    class Look(SupervisedPlugin):
        def after_training_exp(self, learner: Any, **kwargs: Any) -> None:
            kept.append(learner.data.labels.bincount().tolist())
            memory = next(plugin.memory for plugin in learner.plugins if hasattr(plugin, "memory"))
            kept.append(memory.data.labels.bincount(minlength=10).tolist())

    around = Watches.around
    monkeypatch.setattr(Watches, "around", lambda self, plugins: around(self, [*plugins, Look()]))
    blurred = {"scenario": {"name": "blurry-digits", "disjoint": 0.0, "blur": 1.0}, "epochs": 1}
    for strategy in (
        {"name": "er", "memory": 100, "selection": "balanced"},
        {"name": "gdumb", "memory": 100, "epochs": 1},
    ):
        kept.clear()
        run_small(strategy, TINY, blurred)
        assert kept[-1] == [10] * 10


def test_a_stopped_run_goes_on_with_the_same_answers(tmp_path: Path) -> None:
    longer = {"strategy": {"name": "er", "selection": "balanced"}, "batch_size": 2, "evaluate_steps": 10, "seeds": [0]}
    check(resolve(TINY, BLURRY, longer)[0], tmp_path)
