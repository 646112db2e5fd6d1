"""Results on disk: whole, verified, atomic."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clbench import store
from clbench.analysis.compare import leaderboards
from clbench.analysis.load import load
from clbench.errors import UserError
from tests.helpers import make_result


@given(
    st.lists(st.lists(st.floats(0, 1, allow_subnormal=False), min_size=2, max_size=2), min_size=3, max_size=3),
    st.text(max_size=20),
)
def test_round_trip_is_exact(accuracy: list[list[float]], text: str) -> None:
    import tempfile

    result = make_result(accuracy=accuracy, options={"note": text, "list": "[\n 1, 2 ]"})
    with tempfile.TemporaryDirectory() as folder:
        assert store.read(store.write(result, Path(folder))) == result


def test_file_is_readable_by_people(tmp_path: Path) -> None:
    text = store.write(make_result(), tmp_path).read_text()
    assert '"accuracy": [\n  [0.5, 0.5],\n  [1.0, 0.5],\n  [0.75, 1.0]\n ]' in text


def test_path_is_safe_for_any_strategy_name(tmp_path: Path) -> None:
    path = store.write(make_result("../../etc/x" + "y" * 300), tmp_path)
    assert path.resolve().is_relative_to(tmp_path.resolve())
    assert store.read(path).strategy.endswith("yyy")


def edited(path: Path, change: Any) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["accuracy"][1].__setitem__(0, 0.99), "does not match its checksum"),
        (lambda c: c.pop("checksum"), "does not match its checksum"),
        (lambda c: c.__setitem__("schema_version", 99), "schema version 99"),
        (lambda c: c.pop("schema_version"), "not a Result"),
    ],
)
def test_edited_file_is_refused(change: Any, message: str, tmp_path: Path) -> None:
    path = store.write(make_result(), tmp_path)
    edited(path, change)
    with pytest.raises(UserError, match=message):
        store.read(path)


def test_wrong_field_with_a_right_checksum_is_refused(tmp_path: Path) -> None:
    path = store.write(make_result(), tmp_path)

    def change(content: dict[str, Any]) -> None:
        content["accuracy"] = "good"
        del content["checksum"]
        content["checksum"] = store.digest(content)

    edited(path, change)
    with pytest.raises(UserError, match=r"'accuracy' is wrong"):
        store.read(path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"NaN", b"[" * 100_000, b'{"schema_version": NaN}'])
def test_damaged_file_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"x\.json"):
        store.read(path)


def test_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(UserError, match="No space left"):
        store.write(make_result(), tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--results"):
        store.write(make_result(), tmp_path / "file")


def test_all_results_of_folders_without_repeats(tmp_path: Path) -> None:
    for seed in range(3):
        store.write(make_result(seed=seed), tmp_path / "one")
    store.write(make_result(seed=0, created="2027-01-01T00:00:00+00:00", seconds=9.0), tmp_path / "two")
    (tmp_path / "one" / "broken.json").write_text("{")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "x.json").write_text("{")
    runs, left_out = load([tmp_path])
    assert sorted(r.seed for r in runs) == [0, 1, 2]
    assert next(r for r in runs if r.seed == 0).seconds == 9.0, "the newest of two runs of one config counts"
    assert len(left_out) == 2
    assert any("broken.json" in sentence for sentence in left_out)
    assert any("same run" in sentence for sentence in left_out)


def test_several_folders_stand_side_by_side(tmp_path: Path) -> None:
    for name in ("one", "two"):
        store.write(make_result(seed=0), tmp_path / name)
    runs, left_out = load([tmp_path / "one", tmp_path / "two"])
    assert [run.source for run in runs] == [str(tmp_path / "one"), str(tmp_path / "two")]
    assert left_out == []
    (board,) = leaderboards(runs)
    assert [entry.label for entry in board.entries] == [f"naive [{run.source}]" for run in runs]
    files, _ = load([tmp_path / "o*" / "**" / "*.json"])
    assert [run.source for run in files] == [""]


def test_a_folder_inside_can_be_passed_over(tmp_path: Path) -> None:
    store.write(make_result(seed=0), tmp_path)
    store.write(make_result(seed=1), tmp_path / "baseline")
    runs, _ = load([tmp_path], without=tmp_path / "baseline")
    assert [run.seed for run in runs] == [0]
    runs, _ = load([tmp_path / "baseline"], without=tmp_path / "baseline")
    assert [run.seed for run in runs] == [1]


def test_missing_path() -> None:
    with pytest.raises(UserError, match="no such file or folder"):
        store.expand([Path("nowhere")])
