"""Arrays and data frames of a program as streams: the same numbers as from a file, and what is said of wrong ones."""

from __future__ import annotations

import subprocess
import sys
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import clbench as cl
from clbench.data import cache, memory
from clbench.data.arrays import dataset_of, raw_of_arrays
from clbench.data.sources import DataPlace
from clbench.scenarios.tasks import tasks

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 3)).astype(np.float32)
Y = (X[:, 0] + X[:, 1] > 0).astype(np.int64)
DATES = np.datetime64("2024-01-01") + np.arange(120)
IMAGES = RNG.integers(0, 256, (60, 12, 12), dtype=np.uint8)
SMALL_NET: dict[str, Any] = {"model": {"name": "mlp", "widths": [8]}}
SMALL: dict[str, Any] = {"model": {"name": "mlp", "widths": [8]}, "epochs": 1, "quiet": True}
FRAME = pd.DataFrame(
    {
        "size": np.where(X[:, 0] > 1, np.nan, X[:, 0].round(3)),
        "kind": pd.Categorical(np.where(X[:, 1] > 0, "b", "a")),
        "code": pd.Categorical(np.where(X[:, 2] > 0, 7, 3)),
        "when": DATES,
        "site": np.where(np.arange(120) % 3 > 0, "north", "south"),
        "bought": Y,
    }
)


# One path.


def test_a_stream_equals_the_file_of_its_arrays_bit_for_bit(tmp_path: Path) -> None:
    np.savez(tmp_path / "sales.npz", x=X, y=Y, time=DATES.astype(str))
    words = ["run", "--strategy", "er", "--scenario", "time", "--data", "sales.npz", "--set", "scenario.every=month"]
    words += ["--set", "epochs=1", "--seeds", "2", "--quiet"]
    subprocess.run([sys.executable, "-W", "ignore", "-m", "clbench", *words], cwd=tmp_path, check=True, timeout=200)
    line = cl.load(tmp_path / "results")
    made = cl.run("er", cl.stream(X, Y, time=DATES, every="month", name="Sales"), epochs=1, seeds=2, quiet=True)
    assert [run.accuracy for run in made] == [run.accuracy for run in line]
    assert {run.data.fingerprint for run in (*made, *line)} == {made[0].data.fingerprint}
    assert made[0].scenario == line[0].scenario
    assert made[0].config["scenario"] == line[0].config["scenario"], "with the name of the file"
    assert len(cl.compare([made, line]).leaderboards) == 1


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_data_frame_equals_its_file(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"sales.{suffix}"
    FRAME.to_csv(file, index=False) if suffix == "csv" else FRAME.to_parquet(file, index=False)
    said = {"path": str(file), "label": "bought", "time": "when", "categories": ["kind", "code", "site"]}
    there = cache.load("sales", DataPlace(tmp_path, tmp_path / "cache", True), said=said)
    made = cl.stream(FRAME, "bought", time="when")
    assert made.data.columns == there.columns
    assert made.fingerprint == there.fingerprint
    assert cl.stream(FRAME.drop(columns=["bought", "when"]), Y, time=DATES).fingerprint == made.fingerprint
    shuffled = FRAME.sample(frac=1, random_state=0)
    assert cl.stream(shuffled, "bought", time="when").fingerprint == made.fingerprint, "rows are put in order"


@pytest.mark.parametrize(
    ("x", "y", "times"),
    [
        (X.astype(np.float64), Y.tolist(), DATES.astype(str)),
        (torch.from_numpy(X), torch.from_numpy(Y), DATES.astype("datetime64[ns]")),
        (torch.nn.Parameter(torch.from_numpy(X)), pd.Series(Y), pd.Series(DATES)),
        (X.tolist(), pd.Series(Y.astype(str)), [date(2024, 1, 1) + timedelta(days) for days in range(120)]),
        (X, Y, [datetime(2024, 1, 1, tzinfo=timezone.utc) + timedelta(days) for days in range(120)]),
        (X, Y, pd.Series(DATES).dt.tz_localize("UTC")),
    ],
)
def test_arrays_of_any_library_are_the_same(x: Any, y: Any, times: Any) -> None:
    assert cl.stream(x, y, time=times).fingerprint == cl.stream(X, Y, time=DATES).fingerprint


def test_tensors_of_half_precision_are_numbers() -> None:
    half = torch.from_numpy(X).to(torch.bfloat16)
    assert cl.stream(half, Y).fingerprint == cl.stream(half.float(), Y).fingerprint


def test_frames_of_polars_and_arrow_are_those_of_pandas() -> None:
    import pyarrow as pa

    expected = cl.stream(FRAME, "bought", time="when")
    assert cl.stream(pa.Table.from_pandas(FRAME), "bought", time="when").fingerprint == expected.fingerprint
    polars = pytest.importorskip("polars", reason="polars is not installed")
    plain = FRAME.astype({"kind": str, "code": str})
    assert cl.stream(polars.from_pandas(plain), "bought", time="when").fingerprint == expected.fingerprint


# What it is cut into.


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"time": np.arange(120.0)}, "time-mine"),
        ({"group": Y, "time": DATES}, "time-mine"),
        ({"group": Y}, "domain-mine"),
        ({"split": np.where(np.arange(120) % 3 > 0, "train", "test")}, "split-mine"),
        ({"x_test": X, "y_test": Y}, "split-mine"),
        ({"time": DATES, "family": "split-class", "tasks": 2}, "split-class-mine"),
    ],
)
def test_the_family_follows_from_what_is_known_of_rows(given: dict[str, Any], name: str) -> None:
    assert cl.stream(X, Y, name="mine", **given).scenario == name


def test_a_stream_says_what_a_run_on_it_would_be() -> None:
    made = cl.stream(X, Y, time=DATES, every="month", name="sales", classes=["no", "yes"])
    assert str(made).splitlines() == [
        "time-sales: 120 rows of 3 columns, 2 classes (no, yes), from 2024-01-01 to 2024-04-29",
        "4 periods; each 23 to 25 training and 6 test samples",
    ]
    assert repr(made) == f"<stream time-sales, 120 rows, {made.fingerprint[:12]}>"
    with pytest.raises(cl.UserError, match=r"scenario.tasks: 2 classes cannot be divided over 5 tasks"):
        str(cl.stream(X, Y))


def test_a_list_is_tasks_in_order() -> None:
    parts = [(X[at : at + 30], Y[at : at + 30], X[at + 30 : at + 40], Y[at + 30 : at + 40]) for at in (80, 0, 40)]
    made = cl.stream(parts)
    cut = tasks(made.data, 0)
    assert cut.incremental == "domain"
    for task, (x, _, x_test, y_test) in zip(cut.tasks, parts, strict=True):
        assert np.array_equal(made.data.train_samples[task.train], x)
        assert np.array_equal(made.data.test_samples[task.test], x_test)
        assert np.array_equal(made.data.test_labels[task.test], y_test)
        assert task.labels.tolist() == [0, 1]
    assert "3 tasks, domain-incremental; each 30 training and 10 test samples" in str(made)
    done = cl.run("naive", made, **SMALL)[0]
    assert [len(row) for row in done.accuracy] == [3] * 4
    framed = [tuple(pd.DataFrame(one, columns=list("abc")) if one.ndim == 2 else one for one in part) for part in parts]
    assert cl.stream(framed).fingerprint == made.fingerprint


def test_tasks_without_test_samples_hold_out_a_fifth() -> None:
    made = cl.stream([(X[:50], Y[:50]), (X[50:], Y[50:])])
    assert made.data.undivided
    assert sum(len(task.test) for task in tasks(made.data, 0).tasks) == pytest.approx(24, abs=2)


@pytest.mark.parametrize(
    ("kind", "labels", "heads", "outputs"),
    [
        ("domain", [[0, 1, 2], [0, 1, 2]], [0, 0], 3),
        ("class", [[0, 1, -1], [-1, 1, 2]], [0, 0], 3),
        ("task", [[0, 1, -1], [-1, 0, 1]], [0, 1], 2),
    ],
)
def test_kinds_of_tasks(kind: Any, labels: list[list[int]], heads: list[int], outputs: int) -> None:
    first, second = np.array([0, 1] * 10), np.array([1, 2] * 10)
    made = cl.stream([(X[:20], first), (X[20:40], second)], incremental=kind)
    cut = tasks(made.data, 0, incremental=kind)
    assert [task.labels.tolist() for task in cut.tasks] == labels
    assert ([task.head for task in cut.tasks], cut.outputs) == (heads, outputs)
    assert cl.run("er", made, **SMALL)[0].status == "ok"


def test_images_have_the_recipe_of_images_and_any_size() -> None:
    made = cl.stream(IMAGES, np.arange(60) % 4, name="pictures", tasks=2)
    done = cl.run("naive", made, quiet=True)[0]
    assert done.config["model"]["name"] == "lenet"
    smaller = cl.stream(IMAGES, np.arange(60) % 4, name="pictures", tasks=2, image_size=8)
    scaled = cl.run("naive", smaller, quiet=True, **SMALL_NET)[0]
    assert scaled.data.fingerprint != done.data.fingerprint == made.fingerprint
    assert scaled.run_id != done.run_id


def test_a_data_frame_with_test_rows_beside_it() -> None:
    features = FRAME[["size", "kind"]]
    made = cl.stream(features[:90], Y[:90], x_test=features[90:], y_test=Y[90:])
    assert (len(made.data.train_labels), len(made.data.test_labels)) == (90, 30)
    split = np.where(np.arange(120) < 90, "train", "test")
    assert made.fingerprint == cl.stream(features, Y, split=split).fingerprint


# What it is known by.


def test_other_content_of_one_name_is_other_runs(tmp_path: Path) -> None:
    settings = SMALL | {"results": tmp_path, "resume": True}
    one, other = (cl.stream(x, Y, time=DATES, name="sales") for x in (X, -X))
    first, second, again = (cl.run("naive", made, **settings) for made in (one, other, one))
    assert first[0].scenario != second[0].scenario or first[0].run_id != second[0].run_id
    assert len(list(tmp_path.glob("**/*.json"))) == 2
    assert (again[0].run_id, again[0].created) == (first[0].run_id, first[0].created), "it was there"
    assert len(cl.compare(tmp_path).leaderboards) == 2, "they never meet in a table"
    unnamed = [cl.stream(x, Y).scenario for x in (X, -X, X)]
    assert unnamed[0] == unnamed[2] != unnamed[1]


def test_nothing_is_known_when_a_run_has_ended(tmp_path: Path) -> None:
    made = cl.stream(X, Y, time=DATES, name="sales")
    done = cl.run("naive", made, **SMALL)[0]
    with pytest.raises(cl.UserError, match="periods"):
        cl.run("naive", cl.stream(X, Y, time=DATES, periods=500), **SMALL)
    assert not memory._lent
    with pytest.raises(cl.UserError, match="'sales', arrays in a program's memory"):
        cl.run(config={key: value for key, value in done.config.items() if key != "seed"}, quiet=True)


def test_what_a_program_does_to_its_arrays_later_changes_nothing() -> None:
    x, y = X.copy(), Y.copy()
    made = cl.stream(x, y)
    x[:], y[:] = 0, 0
    again = raw_of_arrays(X, Y)
    assert np.array_equal(made.data.train_samples, X)
    assert dataset_of("mine", again).fingerprint == made.fingerprint
    assert made.data.train_labels.tolist() == Y.tolist()


def test_a_fingerprint_is_asked_of_data_on_disk_too(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", x=X, y=Y)
    place, made = DataPlace(tmp_path, tmp_path / "cache", offline=True), cl.stream(X, Y)
    assert cache.load("mine", place, said={"fingerprint": made.fingerprint}).fingerprint == made.fingerprint
    with pytest.raises(cl.UserError, match=r"data.fingerprint: 'mine' is \w{12}… now, not abc…: other content"):
        cache.load("mine", place, said={"fingerprint": "abc"})


# Bad input.

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "lengths": ({"x": X, "y": Y[1:]}, r"differ in length: x 120, y 119"),
    "time of another length": ({"x": X, "y": Y, "time": DATES[1:]}, r"differ in length: .*time 119"),
    "frame and labels": ({"x": FRAME, "y": Y[1:]}, r"differ in length: x 120, y 119"),
    "NaN labels": ({"x": X, "y": np.where(Y > 0, np.nan, 1.0)}, r"y is missing in row"),
    "real labels": ({"x": X, "y": Y + 0.5}, r"y holds \d.5; labels are whole numbers or text"),
    "infinite": ({"x": np.where(X > 1, np.inf, X), "y": Y}, r"x is infinite in row"),
    "objects": ({"x": X.astype(object), "y": Y}, r"x is object"),
    "ragged": ({"x": [[1, 2], [3]], "y": [0, 1]}, r"x is no array.*one row of equal length"),
    "empty": ({"x": X[:0], "y": Y[:0]}, r"x is float32 of shape \(0, 3\)"),
    "no rows": ({"x": FRAME[:0], "y": "bought"}, r"x has no rows"),
    "one class": ({"x": X, "y": 0 * Y}, r"every row has the label '0'"),
    "no labels": ({"x": X}, r"y: the labels are missing"),
    "no such column": ({"x": FRAME, "y": "bougth"}, r"x has no column 'bougth'.*Did you mean 'bought'"),
    "infinite column": ({"x": FRAME.assign(size=np.inf), "y": "bought"}, r"x: column 'size' is infinite in row 1"),
    "mixed column": ({"x": FRAME.assign(size=[1, "b"] * 60), "y": "bought"}, r"x: the data frame cannot be read"),
    "codes in a frame": ({"x": FRAME, "y": "bought", "codes": True}, r"codes: x is a data frame"),
    "dates": ({"x": X, "y": Y, "time": ["soon"] * 120}, r"time cannot be read"),
    "objects as dates": ({"x": X, "y": Y, "time": [date(2024, 1, 1), 3] * 60}, r"time cannot be read"),
    "missing date": ({"x": X, "y": Y, "time": [date(2024, 1, 1), None] * 60}, r"time is missing in row 2"),
    "half a test": ({"x": X, "y": Y, "x_test": X}, r"x_test and y_test belong together"),
    "time of tasks": ({"x": [(X, Y), (X, Y)], "time": DATES}, r"time: a list of tasks has none"),
    "uneven tasks": ({"x": [(X, Y), (X, Y, X, Y)]}, r"Each task is \(x, y, x_test, y_test\)"),
    "a task's length": ({"x": [(X, Y), (X, Y[1:])]}, r"x of task 2 120, y of task 2 119"),
    "a task's shape": ({"x": [(X, Y), (X[:, 1:], Y)]}, r"x of task 2 has float32 samples of shape \(2,\)"),
    "a task's kind": ({"x": [(X, Y), (FRAME, Y)]}, r"Some tasks are data frames"),
    "a task's columns": ({"x": [(FRAME, Y), (FRAME[["size"]], Y)]}, r"differ in their columns: bought, code"),
    "a family": ({"x": X, "y": Y, "family": "tme"}, r"Unknown scenario 'tme'"),
    "an option": (
        {"x": X, "y": Y, "tmie": DATES},
        r"tmie: the scenario 'split' has no .* Did you mean 'time'",
    ),
    "a name": ({"x": X, "y": Y, "name": "MNIST"}, r"name: 'MNIST' is no name for your own data"),
    "another family's name": ({"x": X, "y": Y, "name": "class a"}, r"'split-class-a', which is another family's"),
    "few names": ({"x": X, "y": Y, "classes": ["a"]}, r"classes: the label 1 has no name among 1"),
    "names twice": ({"x": X, "y": Y, "classes": ["a", "a"]}, r"classes: a name is there twice"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_stream_is_told(case: str) -> None:
    given, words = BAD[case]
    with pytest.raises(cl.UserError, match=words) as told:
        cl.stream(**given)
    assert "\n" not in str(told.value)
    assert "/tmp" not in str(told.value)


def test_data_in_memory_have_no_other_place() -> None:
    with pytest.raises(cl.UserError, match=r"data.path: the data are arrays in memory"):
        cl.run("naive", cl.stream(X, Y, time=DATES), data={"path": "sales.csv"}, **SMALL)
