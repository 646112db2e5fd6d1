"""``clbench data describe``: numbers against plain ones, traps that are laid on purpose, and what is printed."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from clbench import registry
from clbench.cli import app
from clbench.config import resolve
from clbench.config.layers import read_assignments
from clbench.config.names import scenario_parts
from clbench.data import cache, easy, outline, profile, repeats
from clbench.data.described import Described, described
from clbench.data.sources import DataPlace
from clbench.data.traps import Trap
from clbench.errors import UserError
from clbench.render import described as words

ROWS = 1200


@pytest.fixture
def columns() -> dict[str, Any]:
    """A year of rows: two drawn numbers and a name, and a label that follows the first a little."""
    random = np.random.default_rng(0)
    first = random.normal(size=ROWS)
    hours = np.datetime64("2023-01-01") + np.sort(random.integers(0, 365 * 24, ROWS)).astype("timedelta64[h]")
    return {
        "when": hours.astype(str),
        "first": first,
        "second": random.normal(size=ROWS),
        "site": random.choice(["a", "b", "c"], ROWS),
        "label": np.where(first + 2 * random.normal(size=ROWS) > 0, "up", "down"),
    }


def table(folder: Path, columns: Mapping[str, Any]) -> Path:
    file = folder / "sales.csv"
    lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def describe(folder: Path, columns: Mapping[str, Any], every: Any = None, **said: Any) -> Described:
    place = DataPlace(folder, folder / "cache", offline=True)
    return described(str(table(folder, columns)), said, place, every)


def trap(found: Described, kind: str) -> Trap:
    (one,) = [one for one in found.traps if one.kind == kind]
    return one


def test_an_honest_table_has_no_traps(tmp_path: Path, columns: dict[str, Any]) -> None:
    found = describe(tmp_path, columns)
    assert not found.traps
    assert (found.every, len(found.periods), found.time, found.label) == ("month", 12, "when", "label")
    assert found.classes["up"] == pytest.approx((columns["label"] == "up").mean())
    assert sum(section.rows for section in found.periods) == ROWS
    best = max(found.alone, key=lambda one: one.accuracy)
    assert best.column == "first"


@pytest.mark.parametrize("kind", ["number", "category", "gap"])
def test_a_column_that_tells_the_label(kind: str, tmp_path: Path, columns: dict[str, Any]) -> None:
    up = columns["label"] == "up"
    random = np.random.default_rng(1)
    columns = {
        "told": {
            "number": up + random.uniform(0, 0.9, ROWS),
            "category": np.where(up, random.choice(["w", "x"], ROWS), "y"),
            "gap": np.where(up, "", "1"),
        }[kind]
    } | columns
    found = trap(describe(tmp_path, columns), "tells the label")
    assert found.columns == ("told",)
    assert "data.drop=[told]" in found.advice
    # The bin where classes meet has rows of both.
    assert ("99.5 %" if kind == "number" else "100.0 %") in found.finding


def test_keys_counters_constants_drift_and_unseen_values(tmp_path: Path, columns: dict[str, Any]) -> None:
    count = np.arange(ROWS)
    columns = {
        "key": np.random.default_rng(2).permutation(ROWS),
        "ticket": [f"t{one}" for one in count // 4],
        "day": count // 20,
        "fixed": np.ones(ROWS),
        "late": np.where(count > 0.7 * ROWS, [f"v{one % 7}" for one in count], "old"),
        "grows": np.random.default_rng(3).normal(size=ROWS) + 4 * count / ROWS,
    } | columns
    found = describe(tmp_path, columns)
    assert trap(found, "looks like a key").columns == ("key", "ticket")
    assert trap(found, "counts with time").columns == ("day",)
    assert trap(found, "never changes").columns == ("fixed",)
    assert set(trap(found, "moves with time").columns) == {"day", "grows"}
    assert set(trap(found, "unseen values").columns) == {"ticket", "late"}


def test_the_label_before_and_rows_whose_order_nobody_has_told(tmp_path: Path, columns: dict[str, Any]) -> None:
    stays = np.random.default_rng(4).random(ROWS) < 0.95
    labels = columns["label"].copy()
    for row in range(1, ROWS):
        labels[row] = labels[row - 1] if stays[row] else labels[row]
    expected = float((labels[1:] == labels[:-1]).mean())
    timed = describe(tmp_path, columns | {"label": labels})
    assert timed.before[0] == pytest.approx(expected)
    assert "An accuracy below it is poor" in trap(timed, "the label before").advice
    reached = {one.way: one.accuracy for one in timed.reached}
    assert reached["persistence"] > reached["logistic regression"]
    del columns["when"]
    untimed = describe(tmp_path, columns | {"label": labels})
    assert f"{100 * expected:.1f} %" in trap(untimed, "rows in order").finding
    assert "data.time=row" in untimed.command


def test_repeats_against_plain_loops() -> None:
    random = np.random.default_rng(0)
    rows, labels = random.integers(-1, 2, (300, 3)).astype(np.float32), random.integers(0, 2, 300)
    rows[rows == -1] = np.nan
    rows[0] = -rows[0]
    keys = [tuple(np.nan_to_num(row, nan=9).tolist()) for row in rows]
    assert len(set(repeats.hashes(rows).tolist())) == len(set(keys))
    last: dict[Any, int] = {}
    same = other = 0
    for key, label in zip(keys, labels.tolist(), strict=True):
        same, other = same + (last.get(key) == label), other + (key in last and last[key] != label)
        last[key] = label
    found = repeats.among_earlier(repeats.hashes(rows), labels)
    assert (found.same, found.other) == (same / 300, other / 300)
    train, test = slice(0, 30), slice(30, 300)
    pairs = set(zip(keys[train], labels[train].tolist(), strict=True))
    mine = [(key in keys[train], (key, label) in pairs) for key, label in zip(keys[test], labels[test], strict=True)]
    hashed = repeats.hashes(rows)
    found = repeats.among_training(hashed[train], labels[train], hashed[test], labels[test])
    assert found.same == pytest.approx(sum(known and right for known, right in mine) / 270)
    assert found.other == pytest.approx(sum(known and not right for known, right in mine) / 270)


def test_moments_in_blocks_against_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "BLOCK", 7)
    rows = np.random.default_rng(0).normal(5, 3, (50, 4)).astype(np.float32)
    rows[::3, 1] = np.nan
    rows[:, 2] = np.arange(50) // 2
    rows[10, 2] = np.nan
    rows[:, 3] = np.nan
    found = profile.moments(rows)
    plain = rows[:, :3].astype(np.float64)
    np.testing.assert_allclose(found.mean[:3], np.nanmean(plain, 0))
    np.testing.assert_allclose(found.spread[:3], np.nanstd(plain, 0))
    np.testing.assert_allclose((found.low[:3], found.high[:3]), (np.nanmin(plain, 0), np.nanmax(plain, 0)))
    assert found.count.tolist() == [50, 33, 49, 0]
    assert found.rising.tolist() == [False, False, True, True]
    assert found.whole.tolist() == [False, False, True, True]


def test_persistence_and_chance_by_hand() -> None:
    labels = np.array([0, 0, 1, 1, 1, 0])
    assert easy.persistence(labels) == 3 / 5
    assert easy.by_chance(labels) == 1 / 2
    assert easy.scores(np.array([0, 0, 0, 1]), np.zeros(4)) == (3 / 4, 1 / 2)


@pytest.mark.filterwarnings("ignore::clbench.errors.Remark")
@pytest.mark.parametrize("every", ["rows", "quarter", "month"])
def test_periods_are_those_of_the_time_scenario(every: Any, tmp_path: Path, columns: dict[str, Any]) -> None:
    place = DataPlace(tmp_path, tmp_path / "cache", offline=True)
    columns["label"] = np.where(np.arange(ROWS) < 600, columns["label"], "new")
    data = cache.load("sales", place, said={"path": str(table(tmp_path, columns))})
    stream = registry.scenario.load("time").make(data, 0, every=every)
    found = outline.periods(data, every)
    assert [section.rows for section in found] == [len(task.train) + len(task.test) for task in stream.tasks]
    assert [int(task.train[0]) for task in stream.tasks] == outline.starts(data, every).tolist()
    assert sum("new" in section.new for section in found) == 1
    assert any(section.gone for section in found)


@pytest.mark.parametrize(
    "said", [{}, {"label": "label", "drop": ["first"]}, {"group": "site", "drop": ["when"]}, {"label": "site"}]
)
def test_the_command_can_be_run_as_it_is(said: dict[str, Any], tmp_path: Path, columns: dict[str, Any]) -> None:
    if "drop" not in said and said:
        del columns["when"]
        columns["site"] = np.random.default_rng(0).choice(list("abcd"), ROWS)
    given = shlex.split(describe(tmp_path, columns, **said).command)
    pairs = list(pairwise(given))
    settings = read_assignments(value for key, value in pairs if key == "--set")
    flags: dict[str, Any] = {key[2:]: {"name": value} for key, value in pairs if key in ("--scenario", "--strategy")}
    flags["scenario"] |= settings.pop("scenario", {})
    settings["data"] = settings.get("data", {}) | {"path": next(value for key, value in pairs if key == "--data")}
    place = DataPlace(tmp_path, tmp_path / "cache", offline=True)
    (config,) = resolve(flags | settings, place=place)
    family, name = scenario_parts(config.scenario["name"])
    data = cache.load(name, place, said=config.data)
    own = registry.scenario.load(family)
    options = {key: value for key, value in config.scenario.items() if key in own.schema.model_fields}
    assert len(own.make(data, 0, **options).tasks) > 1


def test_curves_are_averaged_and_stretched() -> None:
    assert words.curve([0, 0.5, 1]) == "▁▅█"
    assert words.curve([0.3, 0.3]) == "▄▄"
    assert len(words.curve(list(range(100)))) == words.STEPS


def invoke(*args: object) -> Any:
    return CliRunner().invoke(app, ["data", "describe", *map(str, args)], env={"COLUMNS": "80"})


def test_on_the_command_line(tmp_path: Path, columns: dict[str, Any]) -> None:
    columns = {"[red]odd[/x]": np.random.default_rng(0).choice(["[bold]", "[/]"], ROWS)} | columns
    file, picture = table(tmp_path, columns), tmp_path / "new" / "stream.png"
    said = invoke(file, "--every", "quarter", "--picture", picture)
    assert said.exit_code == 0, said.output
    assert said.stdout.startswith("sales: a table, 1,200 rows, 2 classes of 'label', to be told from")
    assert f"clbench run --strategy naive --scenario time --data {file}" in said.stdout
    assert "[red]odd[/x]" in said.stdout
    assert "2 values: [" in said.stdout
    assert "2023 Q3" in said.stdout
    assert "guessed: label=label (otherwise --set data.label=COLUMN)" in said.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
    told = [line for line in said.stdout.splitlines() if "clbench run" not in line]
    assert max(map(len, told)) <= 80
    plain = json.loads(invoke(file, "--json", "--set", "data.drop=[second]").stdout)
    assert len(plain["periods"]) == 12
    assert "second" not in [column["name"] for column in plain["columns"]]


def test_images_are_described_too() -> None:
    said = invoke("digits")
    assert said.stdout.startswith("digits: 1,797 images (1,442 to train on, 355 to test), 10 classes, of shape")
    assert "--scenario split-digits" in said.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.csv"], "there is nothing at nowhere.csv"),
        (["digitz"], "Did you mean 'digits'"),
        (["broken.parquet"], "cannot be read as a table"),
        (["sales.csv", "--set", "data.label=lable"], "Did you mean 'label'"),
        (["sales.csv", "--set", "data.lable=x"], "data.lable"),
        (["sales.csv", "--set", "epochs=3"], "only keys of data"),
        (["sales.csv", "--every", "year"], "all rows of 'sales' are in one"),
        (["sales.csv", "--set", "data.drop=[when]", "--every", "month"], "no column of 'sales' says when"),
        (["sales.csv", "--set", "data.time=first", "--every", "month"], "needs dates"),
        (["sales.csv", "--set", "data.time=first", "--every", "value"], "1,200 periods"),
        (["sales.csv", "--picture", "stream.doc"], "--picture stream.doc: expected a file that ends in"),
    ],
)
def test_bad_input(
    arguments: list[str], words: str, tmp_path: Path, columns: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table(tmp_path, columns)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no more")
    said = invoke(*arguments)
    assert isinstance(said.exception, UserError), said.output
    assert words in str(said.exception)


@pytest.mark.real_data
def test_what_is_known_of_elec2(real_data: Path, tmp_path: Path) -> None:
    if not (real_data / "tables" / "elec2.csv").is_file():
        pytest.skip("the real tables are not here")
    found = described("elec2", {}, DataPlace(real_data, tmp_path, offline=True))
    assert found.before[0] == pytest.approx(0.853, abs=0.001)  # Zliobaite 2013, arXiv:1301.3524
    assert found.classes["0"] == pytest.approx(0.575, abs=0.001)
    reached = {one.way: one.accuracy for one in found.reached}
    assert reached["majority"] < reached["logistic regression"] < reached["persistence"]
