"""Tables: what a file becomes, whatever its format, and what is said of one that cannot be read."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from clbench.data import arrow, cache, calendar, parts
from clbench.data.dataset import Dataset
from clbench.data.sources import DataPlace
from clbench.errors import Remark, UserError

COLUMNS: dict[str, list[Any]] = {
    "when": ["2024-01-02", "2024-01-01", "2024-02-01", "2024-01-31", "2024-02-02", "2024-02-03"],
    "price": [1.5, None, 3.0, -2.0, 0.25, 8.0],
    "site": ["b", "a", "c", "a", None, "b"],
    "late": ["no", "yes", "no", "yes", "no", "yes"],
}
SAID = {"label": "late", "time": "when", "categories": ["site"]}


def csv_text(columns: Mapping[str, list[Any]]) -> str:
    rows = [["" if cell is None else str(cell) for cell in row] for row in zip(*columns.values(), strict=True)]
    return "\n".join(",".join(row) for row in [[*columns], *rows]) + "\n"


def arrow_table() -> pa.Table:
    table = pa.table(COLUMNS)
    return table.set_column(0, "when", table["when"].cast(pa.timestamp("s")))


def write_stream(file: Path) -> None:
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, arrow_table().schema) as writer:
        writer.write_table(arrow_table())


FORMATS: dict[str, Callable[[Path], object]] = {
    ".csv": lambda file: file.write_text(csv_text(COLUMNS)),
    ".csv.gz": lambda file: file.write_bytes(gzip.compress(csv_text(COLUMNS).encode())),
    ".tsv": lambda file: file.write_text(csv_text(COLUMNS).replace(",", "\t")),
    ".parquet": lambda file: parquet.write_table(arrow_table(), file),
    ".feather": lambda file: feather.write_feather(arrow_table(), str(file)),
    ".arrow": write_stream,
}


def load(file: Path, **said: Any) -> Dataset:
    place = DataPlace(file.parent, file.parent / "cache", offline=True)
    return cache.load(file.name.split(".")[0], place, said=said | {"path": str(file)})


def of(folder: Path, columns: Mapping[str, list[Any]], **said: Any) -> Dataset:
    file = folder / "table.csv"
    file.write_text(csv_text(columns))
    return load(file, **said)


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_is_the_same_dataset(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"trips{suffix}"
    FORMATS[suffix](file)
    data = load(file, **SAID)
    assert data.classes == ["no", "yes"]
    assert data.train_labels.tolist() == [1, 0, 1, 0, 0, 1], "in order of time"
    assert data.columns is not None
    assert data.columns.numbers == ["price", "sine of week", "cosine of week"]
    prices, sites = data.train_samples[:, 0], data.train_samples[:, 3]
    assert np.isnan(prices[0])
    assert prices[1:].tolist() == [1.5, -2.0, 3.0, 0.25, 8.0]
    assert sites.tolist() == [1, 2, 1, 3, 0, 2], "numbered as they come in time; 0 is missing"
    assert data.train.previous is not None
    assert data.train.previous.tolist() == [-1, 1, 0, 1, 0, 0]
    assert (data.undivided, data.calendar) == (True, True)
    other = tmp_path / "other"
    other.mkdir()
    FORMATS[".csv"](other / "trips.csv")
    assert load(other / "trips.csv", **SAID).fingerprint == data.fingerprint


def test_what_nobody_says_is_guessed_and_told(tmp_path: Path) -> None:
    with pytest.warns(Remark, match=r"read with label=late, time=when, 1 numbers and 1 categories"):
        data = of(tmp_path, COLUMNS)
    assert data.columns is not None
    assert (data.columns.label, data.columns.time, data.columns.categories) == ("late", "when", ["site"])


def test_a_yaml_file_beside_the_table_says_it(tmp_path: Path) -> None:
    (tmp_path / "table.yaml").write_text("label: site\ntime: when\nfeatures: [price]\n")
    with pytest.raises(UserError, match=r"the label .column 'site'. is missing in row 5"):
        of(tmp_path, COLUMNS)
    assert of(tmp_path, COLUMNS, label="late").classes == ["no", "yes"], "what is given wins"
    (tmp_path / "table.yaml").write_text("lable: late\n")
    with pytest.raises(UserError, match=r"lable.*Did you mean 'label'"):
        of(tmp_path, COLUMNS)


def test_rows_that_a_column_divides(tmp_path: Path) -> None:
    data = of(tmp_path, COLUMNS | {"fold": ["train", "test", "train", "val", "train", "train"]}, **SAID, split="fold")
    assert not data.undivided
    assert data.test_labels.tolist() == [1, 1]
    assert data.train_labels.tolist() == [0, 0, 0, 1]
    assert data.rows("test").tolist() == [0, 1]


def test_rows_that_nobody_divides_are_held_out_class_by_class(tmp_path: Path) -> None:
    labels = ["a"] * 50 + ["b"] * 10 + ["c"]
    data = of(tmp_path, {"x": [*range(61)], "label": labels}, label="label", features=["x"])
    test = data.rows("test")
    assert np.bincount(data.train_labels[test], minlength=3).tolist() == [10, 2, 0]
    assert sorted([*test, *data.rows("train")]) == [*range(61)]
    chosen = np.array([False, True, True])
    assert set(data.train_labels[data.rows("train", chosen)]) == {1, 2}


def test_groups_by_a_column_or_by_several_of_ones(tmp_path: Path) -> None:
    data = of(tmp_path, COLUMNS | {"where": ["x", "y", "x", "x", "y", "z"]}, **SAID, group="where")
    assert data.groups == ["x", "y", "z"]
    assert data.columns is not None
    assert "where" not in data.columns.categories, "a group is no input"
    ones: dict[str, list[Any]] = {
        "left": [1, 0, 0, 1, 1, 0],
        "right": [0, 1, 1, 0, 0, 1],
        "label": [0, 1, 0, 1, 0, 1],
        "x": [1.0] * 6,
    }
    data = of(tmp_path, ones, label="label", group=["left", "right"])
    assert data.groups == ["left", "right"]
    assert data.train.groups is not None
    assert data.train.groups.tolist() == [0, 1, 1, 0, 0, 1]


BAD: dict[str, tuple[dict[str, list[Any]], dict[str, Any], str]] = {
    "no such label": (COLUMNS, {"label": "lat"}, r"data.label: .*table.csv has no column 'lat'. Did you mean 'late'"),
    "no such feature": (COLUMNS, SAID | {"features": ["prise"]}, r"data.features: .*no column 'prise'"),
    "missing label": (
        COLUMNS | {"late": ["no", None, *["yes"] * 4]},
        SAID,
        r"label .column 'late'. is missing in row 2",
    ),
    "a time that is none": (
        COLUMNS | {"when": ["yesterday"] * 6},
        SAID,
        r"'yesterday' in column 'when' is no time.*ISO",
    ),
    "a missing time": (
        COLUMNS | {"when": [None, *COLUMNS["when"][1:]]},
        SAID,
        r"time .column 'when'. is missing in row 1",
    ),
    "infinite": (COLUMNS | {"price": [1.0, 2.0, "inf", 1.0, 1.0, 1.0]}, SAID, r"column 'price' is infinite in row 3"),
    "one class": (COLUMNS | {"late": ["no"] * 6}, SAID, r"every row has the label 'no'"),
    "numbers to predict": (
        {"y": [n / 7 for n in range(40)], "x": [*range(40)]},
        {"label": "y"},
        r"label .column 'y'. has 40 different values in 40 rows.*tells classes apart",
    ),
    "a key": (
        COLUMNS | {"site": [f"order number {n}" for n in range(6)]},
        SAID,
        r"column 'site' has a value of its own in most rows, such as 'order number.*data.drop=\[site\]",
    ),
    "nothing left": (COLUMNS, SAID | {"drop": ["price", "site"]}, r"no column is left to predict from"),
    "a part that is none": (COLUMNS | {"fold": ["a", "b"] * 3}, SAID | {"split": "fold"}, r"'fold' says 'a'; expected"),
    "no rows": ({name: [] for name in COLUMNS}, SAID, r"has no rows"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_tables_are_told_in_a_sentence(case: str, tmp_path: Path) -> None:
    columns, said, message = BAD[case]
    with pytest.raises(UserError, match=message):
        of(tmp_path, columns, **said)
    assert not [*(tmp_path / "cache").glob("table-*")], "nothing half written"


def test_mixed_types_in_a_later_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = 200_000  # more than Arrow looks at before it decides
    columns: dict[str, list[Any]] = {"x": [1.0] * (rows - 1) + ["many"], "label": [0, 1] * (rows // 2)}
    with pytest.raises(UserError, match=r"column 'x' holds numbers, and in a later row 'many'.*data.categories=\[x\]"):
        of(tmp_path, columns, label="label")
    assert of(tmp_path, columns, label="label", categories=["x"]).shape == (1,)


def test_two_columns_of_one_name(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("x,x,label\n1,2,a\n3,4,b\n")
    with pytest.raises(UserError, match="has 2 columns named 'x'"):
        load(tmp_path / "table.csv")


def test_a_table_in_blocks_is_the_same_as_in_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    columns: dict[str, list[Any]] = {
        "t": rng.permutation(500).tolist(),
        "x": rng.normal(size=500).tolist(),
        "c": [f"v{n}" for n in rng.integers(0, 40, 500)],
        "label": rng.integers(0, 3, 500).tolist(),
    }
    whole = of(tmp_path, columns, label="label", time="t")
    monkeypatch.setattr(arrow, "BLOCK", 1000)
    monkeypatch.setattr(parts, "CHUNK", 4096)
    blocks = tmp_path / "blocks"
    blocks.mkdir()
    assert of(blocks, columns, label="label", time="t").fingerprint == whole.fingerprint
    order = np.argsort(columns["t"])
    assert whole.train_labels.tolist() == np.array(columns["label"])[order].tolist()
    assert np.allclose(whole.train_samples[:, 0], np.array(columns["x"])[order])


@pytest.mark.parametrize(
    ("every", "expected"),
    [
        ("year", [0, 0, 0, 1, 1]),
        ("quarter", [0, 0, 1, 2, 2]),
        ("month", [0, 1, 2, 3, 3]),
        ("week", [0, 0, 1, 2, 2]),
        ("day", [0, 1, 2, 3, 4]),
        ("value", [0, 1, 2, 3, 4]),
    ],
)
def test_periods_of_the_calendar(every: str, expected: list[int]) -> None:
    dates = ["2023-01-31T23:59", "2023-02-01", "2023-12-30", "2024-01-01", "2024-01-07T23:00"]
    times = np.array(dates, "datetime64[s]").astype(np.int64)
    found = calendar.periods(times, every)
    assert np.unique(found, return_inverse=True)[1].tolist() == expected


def test_periods_before_1970_begin_with_the_first_row() -> None:
    times = np.array(["1969-12-01", "1969-12-31", "1970-01-01", "1970-01-02"], "datetime64[s]").astype(np.int64)
    assert calendar.starts(times, "month", 10).tolist() == [0, 2]
    assert calendar.starts(times, "rows", 2).tolist() == [0, 2]
