"""Tasks of different numbers of classes, classes of different numbers of samples, and heads of different sizes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from clbench.config import resolve
from clbench.data.dataset import Dataset, Part
from clbench.data.sources import DataPlace
from clbench.data.streams import Stream, check_filled, stretch
from clbench.engine.run import Machine, run
from clbench.errors import UserError
from clbench.models.network import MASKED, MultiHeadNetwork
from clbench.scenarios._classes import division, even, long_tailed
from tests.helpers import config, known, run_small
from tests.helpers import make_stream as make
from tests.test_strategy_contract import OWN_HEADS, QUICK, STRATEGIES, needs_of

SPLITS = ["split", "split-class", "split-domain", "class-drip"]
TINY: dict[str, Any] = {
    "model": {"name": "mlp", "widths": [12]},
    "optimizer": {"reset": "each-task"},
    "epochs": 1,
    "batch_size": 8,
}


def made(counts: list[int]) -> Dataset:
    """A dataset with so many training samples of each class, and three test samples."""
    train, test = (np.repeat(np.arange(len(counts)), count) for count in (counts, 3))
    one, other = (Part(np.zeros((len(labels), 1, 2, 2), np.uint8), labels) for labels in (train, test))
    names = [str(label) for label in range(len(counts))]
    return Dataset("made", one, other, names, None, [0.0], [1.0], fingerprint="", official=None)


def sizes(stream: Stream) -> list[int]:
    return [len(task.source_classes) for task in stream.tasks]


# How many classes each task has.


@given(st.integers(1, 40), st.data())
def test_classes_are_all_divided_the_larger_tasks_first(classes: int, data: st.DataObject) -> None:
    tasks = data.draw(st.integers(1, classes))
    found = even(classes, tasks)
    assert len(found) == tasks
    assert sum(found) == classes
    assert found == sorted(found, reverse=True)
    assert found[0] - found[-1] <= 1


@given(st.integers(1, 40), st.data())
def test_first_and_then_by_taking_classes_away(classes: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(1, classes) | st.none())
    then = data.draw(st.integers(1, 40))
    left, plain = classes, list[int]()
    while left:
        plain.append(min(left, first if first and not plain else then))
        left -= plain[-1]
    assert division(classes, None, first, then) == plain
    assert division(classes, len(plain), first, then) == plain, "a number of tasks that says the same"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"tasks": 3}, [4, 3, 3]),
        ({"tasks": None, "first": 5, "then": 2}, [5, 2, 2, 1]),
        ({"tasks": None, "then": 4}, [4, 4, 2]),
        ({"tasks": 3, "first": 5}, [5, 3, 2]),
        ({"tasks": 10}, [1] * 10),
        ({"tasks": 1, "first": 10}, [10]),
    ],
)
@pytest.mark.parametrize("family", SPLITS)
def test_every_split_family_divides_so(
    family: str, options: dict[str, Any], expected: list[int], digits: Dataset
) -> None:
    stream = make(family, digits, **options)
    assert sizes(stream) == expected
    together = np.concatenate([task.train for task in stream.tasks])
    assert sorted(together.tolist()) == list(range(len(digits.train_labels))), "each training sample once"
    assert stream.outputs == (max(expected) if family in ("split", "split-domain") else 10)
    assert stream.head_outputs == (expected if family == "split" else [stream.outputs])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": 11}, r"scenario\.tasks: 10 classes.*11 tasks.*at most 10"),
        ({"tasks": None}, r"scenario\.tasks: say how many tasks.*scenario\.then"),
        ({"tasks": None, "first": 4}, r"scenario\.first: 4 says nothing of the other tasks.*scenario\.then"),
        ({"tasks": None, "first": 11, "then": 1}, r"scenario\.first: 11 classes are more than the 10"),
        ({"tasks": 5, "first": 4, "then": 3}, r"scenario\.first: 4 and scenario\.then: 3 make 3 tasks.*says 5"),
        ({"tasks": 5, "then": 3}, r"scenario\.then: 3 make 4 tasks.*scenario\.tasks says 5"),
        ({"tasks": 4, "first": 8}, r"scenario\.first: 8 of 10 classes leave 2 to 3 other tasks"),
        ({"tasks": 1, "first": 8}, r"scenario\.first: 8 of 10 classes leave 2 to 0 other tasks"),
    ],
)
def test_divisions_that_cannot_be(options: dict[str, Any], message: str, digits: Dataset) -> None:
    with pytest.raises(UserError, match=message):
        make("split", digits, **options)


def test_a_given_division_stands_in_for_the_recipes_number_of_tasks() -> None:
    division_alone = config("naive", {"scenario": {"name": "split-class-cifar100", "first": 50, "then": 10}})
    assert division_alone.scenario["tasks"] is None
    with_tasks = config("naive", {"scenario": {"name": "split-class-cifar100", "first": 50, "tasks": 6}})
    assert with_tasks.scenario["tasks"] == 6


@pytest.mark.parametrize("name", ["split-digits", "split-class-mnist", "split-domain-cifar10", "class-drip-cifar100"])
def test_options_left_alone_are_no_part_of_a_runs_identity(name: str) -> None:
    (plain,) = resolve({"strategy": "naive", "scenario": name})
    scenario = {"name": name, "first": None, "then": None, "imbalance": 1.0}
    (said,) = resolve({"strategy": "naive", "scenario": scenario})
    (other,) = resolve({"strategy": "naive", "scenario": scenario | {"imbalance": 2.0}})
    assert plain.run_id == said.run_id != other.run_id


def test_existing_streams_and_ids_are_what_they_were(digits: Dataset) -> None:
    assert [make(family, digits).digest for family in SPLITS] == [
        "12b7b99e405a7093",
        "1bc90baa47f3c135",
        "4616725c769ee2e8",
        "d911229c47c1a697",
    ]
    assert resolve({"strategy": "naive", "scenario": "split-digits"})[0].run_id.startswith("58f737955b78")


# Long tails.


@given(st.integers(0, 5), st.integers(10, 2000).map(lambda tenths: tenths / 10))
def test_a_long_tail_keeps_the_shares_of_the_definition(seed: int, ratio: float) -> None:
    data = made([400, 300, 500, 200, 100])
    kept = np.bincount(data.train_labels[long_tailed(data, seed, ratio)], minlength=5)
    shares = sorted(kept / [400, 300, 500, 200, 100], reverse=True)
    for place, share in enumerate(shares):
        exact = ratio ** (-place / 4)
        assert exact - 1 / 100 <= share <= max(exact, 1 / 100) + 1e-9, "rounded down, at least one sample"


@pytest.mark.parametrize("family", SPLITS)
def test_a_long_tail_is_of_training_alone_and_by_seed(family: str, digits: Dataset) -> None:
    plain, tail = make(family, digits), make(family, digits, imbalance=20.0)
    for one, other in zip(plain.tasks, tail.tasks, strict=True):
        assert np.array_equal(one.test, other.test)
        assert np.array_equal(one.labels, other.labels)
        assert {*other.train.tolist()} <= {*one.train.tolist()}
    counts = np.bincount(digits.train_labels[np.concatenate([task.train for task in tail.tasks])])
    assert counts.max() / counts.min() == pytest.approx(20, rel=0.2)
    assert make(family, digits, imbalance=20.0).digest == tail.digest != plain.digest
    rarest = [int(np.bincount(digits.train_labels[long_tailed(digits, seed, 20.0)]).argmin()) for seed in range(5)]
    assert len(set(rarest)) > 1


def test_a_ratio_below_1_is_refused() -> None:
    with pytest.raises(UserError, match=r"scenario\.imbalance.*greater than or equal to 1"):
        config("naive", {"scenario": {"imbalance": 0.5}})


# Heads.


def test_a_head_never_answers_with_a_class_that_it_has_not() -> None:
    model = MultiHeadNetwork(nn.Flatten(), 4, 4, heads=[4, 2, 3])
    x, heads = torch.randn(60, 1, 2, 2), torch.arange(60) % 3
    mixed = model(x, heads)
    for head, size in enumerate((4, 2, 3)):
        alone = model(x[heads == head], head)
        assert torch.equal(alone, mixed[heads == head])
        assert torch.equal(alone[:, :size], model.classifier[head](x[heads == head].flatten(1)))
        assert (alone[:, size:] == MASKED).all()
    loss = nn.functional.cross_entropy(mixed, torch.zeros(60, dtype=torch.int64))
    loss.backward()
    for weight in model.classifier.parameters():
        assert weight.grad is not None
        assert weight.grad.isfinite().all()


def test_heads_of_one_size_are_drawn_as_before() -> None:
    torch.manual_seed(0)
    one = MultiHeadNetwork(nn.Flatten(), 4, 2, heads=3)
    torch.manual_seed(0)
    other = MultiHeadNetwork(nn.Flatten(), 4, 2, heads=[2, 2, 2])
    for mine, its in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, its)


def test_a_stretch_keeps_the_heads_of_its_tasks(digits: Dataset) -> None:
    part = stretch(make("split", digits, tasks=None, first=5, then=2), 1, 3)
    assert part.head_outputs == [2, 2, 1]


# Every strategy.

STREAMS: dict[str, dict[str, Any]] = {
    "heads of 4, 3, 3": {"scenario": {"name": "split-digits", "tasks": 3, "samples_per_task": 32}},
    "a last head of one class": {
        "scenario": {"name": "split-digits", "first": 4, "then": 5, "samples_per_task": 24},
    },
    "stages of one class": {
        "scenario": {"name": "split-class-digits", "then": 1, "keep": 3, "samples_per_task": 24},
        "logits": "seen",
    },
}


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_runs_on_it(name: str, stream: str) -> None:
    if name == "ss-il" and "one class" in stream:
        pytest.skip("refuses a stage of one class")
    strategy = {"strategy": {"name": name} | QUICK.get(name, {}), "seeds": [0]}
    one_head = "split-class" in STREAMS[stream]["scenario"]["name"]
    (one,) = resolve(TINY, STREAMS[stream], strategy, needs_of(name, stream=not one_head))
    if name in OWN_HEADS and one_head:
        with pytest.raises(UserError, match=f"'{name}'.*head"):
            run(one, Machine(DataPlace.default(), "cpu", threads=1))
        return
    result = run(one, Machine(DataPlace.default(), "cpu", threads=1))
    assert result.status == "ok"
    losses = [loss for loss in result.diagnostics["training_loss"] if loss is not None]
    assert np.isfinite([value for row in result.accuracy for value in known(row)] + losses).all()
    # Of a head's missing classes no loss may see the mask, which would be 10⁹ or its square.
    assert max(losses, default=0.0) < 100


def test_uneven_tasks_are_learnt() -> None:
    result = run_small("er", {"scenario": {"tasks": 3, "samples_per_task": None}, "epochs": 5, "batch_size": 16})
    assert known(result.accuracy[-1]) == pytest.approx([0.95] * 3, abs=0.06)
    assert result.data.test_samples == sorted(result.data.test_samples, reverse=True)


# Classes that lack samples.


def lacking(data: Dataset, *, train: Any = (), test: Any = ()) -> Dataset:
    """The dataset without the training, or test, samples of some classes."""
    kept, scored = ~np.isin(data.train_labels, train), ~np.isin(data.test_labels, test)
    parts = zip((data.train, data.test), (kept, scored), strict=True)
    left, tested = (Part(np.asarray(part.samples)[rows], np.asarray(part.labels)[rows]) for part, rows in parts)
    return replace(data, train=left, test=tested)


def test_a_task_without_samples_is_one_clear_error(digits: Dataset) -> None:
    for part, options in (("training", {"train": [2, 3]}), ("test", {"test": [2, 3]})):
        data = lacking(digits, **options)
        message = rf"task 2 of 5 has no {part} samples; its classes are 2, 3\. Add some to 'digits'"
        with pytest.raises(UserError, match=message):
            check_filled(make("split", data, class_order="fixed"), data, "test")


def test_a_class_without_some_samples_does_no_harm_beside_others(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = lacking(digits, train=[3, 6], test=[2, 7, 8])
    monkeypatch.setattr("clbench.engine.stream.cache.load", lambda *_: data)
    for kind in ("task", "class", "domain"):
        layer = {"scenario": {"class_order": "fixed", "incremental": kind, "imbalance": 5.0}, "evaluate_steps": 2}
        result = run_small("er", layer)
        assert result.status == "ok"
        assert np.isfinite([value for row in result.accuracy for value in known(row)]).all()
        assert np.isfinite([metric.value for metric in result.metrics.values() if metric.value is not None]).all()
