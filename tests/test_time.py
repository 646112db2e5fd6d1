"""Streams of rows with a time or a group, and what makes input of them: the future touches nothing of the past."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clbench.config import RunConfig, resolve
from clbench.data import cache
from clbench.data.columns import FURTHEST, Rows
from clbench.data.dataset import Columns, Dataset, Part
from clbench.data.sources import DataPlace
from clbench.data.tensors import ResidentStream
from clbench.engine.run import Machine, run
from clbench.errors import UserError
from tests.helpers import make_stream

CPU = torch.device("cpu")


def table(rows: int = 60, seed: int = 0, **changes: Any) -> Dataset:
    """Two numbers, with gaps in the second, and a category; three classes, a row an hour, three groups."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, rows)
    numbers = rng.normal(size=(rows, 2)) * [1, 40] + [0, 7] + labels[:, None]
    numbers[rng.random(rows) < 0.1, 1] = np.nan
    samples = np.column_stack([numbers, rng.integers(0, 7, rows)]).astype(np.float32)
    part = Part(samples, labels, np.arange(rows) * 3600, rng.integers(0, 3, rows), np.append(-1, labels[:-1]))
    given: dict[str, Any] = {
        "name": "hours",
        "train": part,
        "test": part,
        "classes": ["a", "b", "c"],
        "coarse": None,
        "mean": [],
        "std": [],
        "fingerprint": f"{seed}",
        "official": None,
        "columns": Columns(["x", "y"], ["c"], "label", "when", "where"),
        "groups": ["north", "south", "west"],
        "calendar": True,
        "undivided": True,
    }
    return Dataset(**given | changes)


def inputs(encode: Rows, samples: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    found: np.ndarray[Any, Any] = encode(torch.from_numpy(samples)).numpy()
    return found


@given(
    seed=st.integers(0, 1000),
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=4),
    shape=st.sampled_from([(3,), (2, 4), (1, 3, 3)]),
)
@settings(max_examples=30, deadline=None)
def test_numbers_are_scaled_by_all_that_was_seen(seed: int, sizes: list[int], shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(seed)
    encode = Rows(shape, 0, 64, True, CPU)
    seen = np.zeros((0, *shape), np.float32)
    for size in sizes:
        block = (rng.normal(size=(size, *shape)) * 3 + 100).astype(np.float32)
        encode.see(torch.from_numpy(block))
        seen = np.concatenate([seen, block])
    axes = (0, *range(2, seen.ndim))
    mean = seen.mean(axes, dtype=np.float64, keepdims=True)
    spread = seen.std(axes, dtype=np.float64, keepdims=True)
    spread[spread < 1e-4] = 1.0  # of one value alone
    assert np.allclose(inputs(encode, seen), ((seen - mean) / spread).clip(-FURTHEST, FURTHEST), atol=2e-3)


def test_a_missing_number_is_the_mean_and_says_so_if_the_first_rows_had_gaps() -> None:
    nan = float("nan")
    encode = Rows((2,), 0, 64, True, CPU)
    encode.see(torch.tensor([[1.0, 5.0], [3.0, nan]]))
    found = inputs(encode, np.array([[nan, nan], [4.0, 5.0]], np.float32))
    assert found.tolist() == [[0.0, 0.0, 1.0], [2.0, 0.0, 0.0]]
    encode.see(torch.tensor([[nan, 9.0]]))
    assert encode.shape == (3,), "inputs never change their number"


def test_values_get_slots_as_they_come_the_most_frequent_first() -> None:
    def slots(codes: list[float]) -> list[int]:
        found = inputs(encode, np.array(codes, np.float32)[:, None])
        assert (found.sum(1) == 1).all()
        return [int(place) for place in found.argmax(1)]

    encode = Rows((1,), 1, 5, True, CPU)
    encode.see(torch.tensor([[1.0], [2.0], [2.0], [3.0]]))
    assert encode.shape == (5,), "twice the values and one to share, at most so many"
    assert slots([2, 1, 3, 4, 99]) == [1, 2, 3, 0, 0]
    encode.see(torch.tensor([[9.0], [4.0], [9.0], [6.0]]))
    assert slots([2, 1, 3, 9, 4, 6, 7]) == [1, 2, 3, 4, 0, 0, 0]


@pytest.mark.parametrize("options", [{"periods": 6}, {"every": "day"}])
def test_periods_hold_out_their_last_rows(options: dict[str, Any]) -> None:
    data = table(144)
    stream = make_stream("time", data, **options)
    assert len(stream.tasks) == 6
    for index, task in enumerate(stream.tasks):
        assert task.train.tolist() == [*range(24 * index, 24 * index + 19)]
        assert task.test.tolist() == [*range(24 * index + 19, 24 * index + 24)]
    assert stream.stages == [[t] for t in range(6)]
    resident = ResidentStream(stream, data, CPU, "standard")
    first = resident.train(0).samples
    assert first.untyped_storage().data_ptr() == resident.samples["train"].untyped_storage().data_ptr(), "no copy"


def test_windows_and_all_so_far() -> None:
    window = make_stream("time", table(), periods=5, train_on="window", window=2)
    assert window.stages == [[0], [0, 1], [1, 2], [2, 3], [3, 4]]
    grown = make_stream("time", table(), periods=3, train_on="all")
    assert grown.stages == [[0], [0, 1], [0, 1, 2]]
    assert len({make_stream("time", table(), periods=5).digest, window.digest, grown.digest}) == 3


def test_domains_are_the_datas_own_groups() -> None:
    data = table(300)
    stream = make_stream("domain", data, order="size")
    assert data.train.groups is not None
    found = [set(data.train.groups[np.concatenate([task.train, task.test])].tolist()) for task in stream.tasks]
    sizes = np.bincount(data.train.groups)
    assert [int(sizes[one.pop()]) for one in found] == sorted(sizes.tolist(), reverse=True)
    assert all(not set(task.train.tolist()) & set(task.test.tolist()) for task in stream.tasks)
    orders = {make_stream("domain", data, seed).digest for seed in range(10)}
    assert 1 < len(orders) <= 6
    assert len(make_stream("domain", data, largest=2).tasks) == 2


BAD: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    (
        "time",
        {"train": Part(np.zeros((9, 3), np.float32), np.zeros(9, np.int64))},
        {},
        r"needs to know when.*data.time=",
    ),
    ("time", {"calendar": False}, {"every": "month"}, r"'month' needs dates"),
    ("time", {"undivided": False}, {}, r"has test rows of its own"),
    ("time", {}, {"every": "hour"}, r"period that begins at 1970-01-01 00:00:00 has 1 rows"),
    ("time", {}, {"every": "year"}, r"all rows of 'hours' are in one year"),
    ("time", {}, {"periods": 31}, r"60 rows cannot be cut into 31 periods"),
    ("domain", {"groups": None}, {}, r"needs to know where.*data.group="),
    ("permuted", {}, {}, r"'permuted' changes the pixels of images, and 'hours' has none"),
    ("rotated", {}, {}, r"'rotated' changes the pixels of images"),
]


@pytest.mark.parametrize(("family", "changes", "options", "message"), BAD)
def test_streams_that_cannot_be_are_told(
    family: str, changes: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        make_stream(family, table(**changes), **options)


def config(strategy: str | dict[str, Any] = "naive", seed: int = 0, **settings: Any) -> RunConfig:
    scenario = {"name": "time-noaa-weather", "periods": 3}
    given = {"scenario": scenario, "epochs": 2, "batch_size": 8} | settings
    (found,) = resolve({"strategy": strategy}, given, {"seeds": [seed]})
    return found


def trained(data: Dataset, found: RunConfig) -> Any:
    cache.give(Dataset(**vars(data) | {"name": "noaa-weather"}))
    try:
        return run(found, Machine(DataPlace.default(), "cpu", 1))
    finally:
        cache._given.clear()


def spoilt(data: Dataset, first: int, kind: str) -> Dataset:
    """The table with everything from a row on shuffled, or replaced by what was never there."""
    part = data.train
    samples, labels = part.samples.copy(), part.labels.copy()
    rng = np.random.default_rng(1)
    if kind == "shuffled":
        order = first + rng.permutation(len(labels) - first)
        samples[first:], labels[first:] = samples[order], labels[order]
    else:
        samples[first:, 0], samples[first:, 1], samples[first:, 2] = 1e6, np.nan, 9 + np.arange(len(labels) - first)
        labels[first:] = 0
    changed = Part(samples, labels, part.times, part.groups, part.previous)
    return Dataset(**vars(data) | {"train": changed, "test": changed})


@pytest.mark.parametrize("kind", ["shuffled", "corrupted"])
@pytest.mark.parametrize("strategy", ["naive", "er", "ewc", "cumulative"])
def test_the_future_changes_nothing_in_the_past(kind: str, strategy: str) -> None:
    data = table(90)
    whole, other = (trained(one, config(strategy)) for one in (data, spoilt(data, 60, kind)))
    before = [row[:2] for row in whole.accuracy[:3]]
    assert before == [row[:2] for row in other.accuracy[:3]], "stages 1 and 2, tested on periods 1 and 2"
    assert whole.diagnostics["training_loss"][:2] == other.diagnostics["training_loss"][:2]
    assert whole.diagnostics["training_loss"][2] != other.diagnostics["training_loss"][2]


@pytest.mark.parametrize(
    ("size", "start", "same"), [(1, "warm", "naive"), (3, "warm", "cumulative"), (1, "cold", "cold")]
)
def test_windows_at_their_ends_are_other_methods(size: int, start: str, same: str) -> None:
    data = table(90)
    window = {"name": "window", "size": size, "start": start}
    assert trained(data, config(window)).accuracy == trained(data, config(same)).accuracy


@pytest.mark.real_data
@pytest.mark.parametrize("train_on", ["window", "all"])
def test_a_linear_network_agrees_with_scikit_learn_on_the_same_cuts(train_on: str, real_data: Path) -> None:
    from sklearn.linear_model import LogisticRegression

    place = DataPlace.default(real_data, offline=True)
    layer = {
        "scenario": {"name": "time-noaa-weather", "periods": 4, "train_on": train_on, "window": 2},
        "model": "linear",
        "optimizer": {"name": "adam", "lr": 0.05, "schedule": "cosine"},
        "epochs": 40,
        "batch_size": 256,
    }
    (found,) = resolve({"strategy": "naive"}, layer, place=place)
    rows = run(found, Machine(place, "cpu", 1)).accuracy
    data = cache.load("noaa-weather", place)
    stream = make_stream("time", data, periods=4, train_on=train_on, window=2)
    for stage, tasks in enumerate(stream.stages, start=1):
        shown = np.concatenate([stream.tasks[task].train for task in range(stage)])
        mean, spread = (np.asarray(data.train_samples[shown], float).mean(0), data.train_samples[shown].std(0))
        train = np.concatenate([stream.tasks[task].train for task in tasks])
        plain = LogisticRegression(max_iter=1000)  # C = 1, as near to the optimum as so many steps
        scaled = ((data.train_samples - mean) / spread).clip(-FURTHEST, FURTHEST)  # this table has far outliers
        plain.fit(scaled[train], data.train_labels[train])
        scores = [plain.score(scaled[task.test], data.train_labels[task.test]) for task in stream.tasks]
        known = [value for value in rows[stage] if value is not None]
        assert np.mean(known) == pytest.approx(np.mean(scores), abs=0.01)
