"""Packs: many Results in one file that git merges; what goes in comes out, and what is damaged is named."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from clbench import store
from clbench.analysis.load import load
from clbench.analysis.runs import Run
from clbench.cli import app
from clbench.errors import UserError
from clbench.store import LocalFolder, line, transfer
from clbench.store.line import _unfolded
from clbench.store.packs import PACK, opened
from clbench.sweeps.ledger import Ledger
from tests.helpers import make_result

GOLDEN = Path(__file__).parent / "golden"
# Without subnormal numbers: other tests in the process tell the processor to flush them.
FLOATS = st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False)
PLAIN = st.none() | st.booleans() | st.integers() | FLOATS | st.text()
TREES = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4))


def filled(folder: Path) -> dict[str, bytes]:
    """Six runs of three strategies, and an old one as it was written: name → content."""
    for number in range(6):
        store.write(make_result(("naive", "ewc", "l2")[number % 3], number // 3, seconds=number / 7), folder)
    old = folder / "split-digits" / "old" / "s0-old.json"
    old.parent.mkdir()
    shutil.copy(GOLDEN / "result-v1.json", old)
    return contents(folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in sorted(folder.rglob("*.json"))}


def plain(runs: list[Run]) -> set[tuple[Any, ...]]:
    return {(run.run_id, run.created, run.seconds, run.setup, run.accuracy) for run in runs}


def said(*words: str) -> str:
    done = CliRunner().invoke(app, ["results", *words])
    assert done.exit_code == 0, done.output + str(done.exception)
    return done.output


@settings(deadline=None, max_examples=40)
@given(TREES, st.lists(st.integers(1, 10_000), max_size=3), st.integers(0, 400), st.data())
def test_a_line_gives_back_every_digit(tree: Any, counts: list[int], size: int, data: st.DataObject) -> None:
    shares = [data.draw(st.integers(0, count)) / count for count in counts]
    content = {"data": {"test_samples": counts}, "shares": shares, "tree": tree, "small": [5e-324, 0.1 + 0.2, 1e22]}
    (packed,) = line.folded({"a/x.json": content, "y.json": {"images": [base64.b64encode(bytes(size)).decode()]}})
    shown = json.dumps(packed.shown())
    assert shown.isascii()
    again = line.of_json(json.loads(shown), None)
    assert again.content("a/x.json").decode() == json.dumps(content, separators=(",", ":"))
    assert json.loads(again.content("y.json")) == {"images": [base64.b64encode(bytes(size)).decode()]}


def test_unpack_gives_what_pack_took(tmp_path: Path) -> None:
    before = filled(tmp_path)
    runs, _ = load([tmp_path])
    assert "7 packed, 7 in the pack" in said("pack", str(tmp_path))
    assert [file.name for file in tmp_path.rglob("*") if file.is_file()] == [PACK]
    text = (tmp_path / PACK).read_bytes()
    assert text.isascii()
    assert plain(load([tmp_path])[0]) == plain(runs)
    assert "0 packed, 7 in the pack" in said("pack", str(tmp_path))
    assert (tmp_path / PACK).read_bytes() == text, "packing again changes nothing"
    assert "7 unpacked" in said("unpack", str(tmp_path))
    after = contents(tmp_path)
    assert {name: json.loads(one) for name, one in after.items()} == {n: json.loads(one) for n, one in before.items()}
    own = [name for name in before if "old" not in name]
    assert [after[name] for name in own] == [before[name] for name in own], "to the byte, where this clbench wrote it"
    assert not (tmp_path / PACK).exists()


def test_packed_runs_are_found_where_they_were(tmp_path: Path) -> None:
    names = [name for name in filled(tmp_path) if "/ewc/" in name]
    store.pack(tmp_path)
    assert {run.strategy for run in load([tmp_path / "split-digits" / "ewc"])[0]} == {"ewc"}
    assert len(load([tmp_path / "split-digits" / "[el]*"])[0]) == 4
    assert store.read(tmp_path / names[0]).strategy == "ewc"
    assert set(names) <= Ledger(LocalFolder(tmp_path), "").present()
    assert store.has(names[0], LocalFolder(tmp_path / ""))
    assert store.has(names[0].partition("/")[2], LocalFolder(tmp_path / "split-digits"))
    with pytest.raises(UserError, match="no such file or folder"):
        load([tmp_path / "split-digits" / "ew"])


def test_new_runs_lie_beside_a_pack_until_it_is_packed_again(tmp_path: Path) -> None:
    filled(tmp_path)
    store.pack(tmp_path)
    lines = (tmp_path / PACK).read_text().splitlines()
    store.write(make_result("si"), tmp_path)
    assert len(load([tmp_path])[0]) == 8
    store.pack(tmp_path, ["*/naive/*"])
    assert set(lines) < set((tmp_path / PACK).read_text().splitlines()), "old lines stay as they are"


def test_what_is_to_stay_single_does(tmp_path: Path) -> None:
    filled(tmp_path)
    assert "5 packed, 5 in the pack" in said("pack", str(tmp_path), "--single", "split-digits/ewc/*")
    assert {file.parent.name for file in tmp_path.rglob("*.json")} == {"ewc"}


def test_packs_further_down_are_taken_in(tmp_path: Path) -> None:
    filled(tmp_path / "a")
    store.pack(tmp_path / "a")
    store.write(make_result("si"), tmp_path)
    store.pack(tmp_path)
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [tmp_path / PACK]
    assert len(load([tmp_path / "a"])[0]) == 7


def two_lines(folder: Path) -> None:
    """A pack with six Results in its second line and one in its third."""
    filled(folder)
    (aside,) = (folder / "split-digits" / "old").glob("*.json")
    content = aside.read_bytes()
    aside.unlink()
    store.pack(folder)
    aside.parent.mkdir(exist_ok=True)
    aside.write_bytes(content)
    store.pack(folder)
    lines = map(json.loads, (folder / PACK).read_text().splitlines())
    assert [sum(map(len, one.get("names", {}).values())) for one in lines] == [0, 6, 1]


def damaged(folder: Path, number: int, change: Any) -> list[str]:
    """Change a line of a pack; what is said of it."""
    two_lines(folder)
    lines = (folder / PACK).read_text().splitlines()
    lines[number - 1] = change(lines[number - 1])
    (folder / PACK).write_text("\n".join(lines) + "\n")
    return load([folder])[1]


def flipped(text: str) -> str:
    at = text.index('"packed": "') + 40
    return text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda one: one[: len(one) // 2], "line 3"),
        (flipped, "line 3"),
        (lambda one: '{"names": {"..": ["x"]}, "packed": ""}', "no name of a Result"),
        (lambda one: '{"name": "x.json", "packed": ""}', "lacks that pack's first line"),
        (lambda one: one.replace('["s0-old"]', '["s0-old", "s1"]'), "2 names and 1 Results"),
        (lambda one: "<<<<<<< HEAD", "merge conflict"),
        (lambda one: one.replace("old", "\N{GREEK SMALL LETTER LAMDA}"), "line 3"),
    ],
)
def test_a_damaged_line_is_named_and_the_others_are_read(change: Any, why: str, tmp_path: Path) -> None:
    (sentence,) = damaged(tmp_path, 3, change)
    assert why in sentence
    assert PACK in sentence
    assert "line 3" in sentence
    assert len(load([tmp_path])[0]) == 6, "those of the other line"
    before = (tmp_path / PACK).read_bytes()
    store.write(make_result("si"), tmp_path)
    with pytest.raises(UserError, match="line 3"):
        store.pack(tmp_path)
    with pytest.raises(UserError, match="line 3"):
        store.unpack(tmp_path)
    assert (tmp_path / PACK).read_bytes() == before


def test_a_pack_without_its_first_line_is_named(tmp_path: Path) -> None:
    (sentence,) = damaged(tmp_path, 1, lambda _: "<<<<<<< HEAD")
    assert f"{PACK}, line 1" in sentence
    assert load([tmp_path])[0] == []


def test_the_same_run_twice_is_named_and_the_newer_counts(tmp_path: Path) -> None:
    filled(tmp_path)
    store.pack(tmp_path)
    newer = store.write(make_result("ewc", created="2030-01-01T00:00:00+00:00"), tmp_path)
    runs, left_out = load([tmp_path])
    (sentence,) = left_out
    assert f"{PACK}/split-digits/ewc/" in sentence
    assert "(line 2) is the same run as" in sentence
    assert str(newer) in sentence
    assert [run.path for run in runs if run.created.startswith("2030")] == [newer]
    with pytest.raises(UserError, match="line 2"):
        store.pack(tmp_path)
    newer.unlink()
    with (tmp_path / PACK).open("a") as stream:
        stream.write((tmp_path / PACK).read_text().splitlines()[1] + "\n")
    sentences = load([tmp_path])[1]
    assert len(sentences) == 7
    assert all(f"{PACK}/line 3/split-digits/" in sentence for sentence in sentences)
    with pytest.raises(UserError, match="line 3, is the same run as an earlier line"):
        store.pack(tmp_path)
    store.remove(file for _, file in store.find([tmp_path]) if "line 3" in file.parts and "ewc" in file.parts)
    assert len(load([tmp_path])[1]) == 5


def test_a_damaged_line_of_many_is_said_once_with_what_it_had(tmp_path: Path) -> None:
    (sentence,) = damaged(tmp_path, 2, flipped)
    assert "line 2, holds no packed Results" in sentence
    assert "it had 6 Results" in sentence
    assert len(load([tmp_path])[0]) == 1


def test_packs_of_the_first_format_are_read_and_grow_into_todays(tmp_path: Path) -> None:
    before = filled(tmp_path / "new")
    shutil.copy(GOLDEN / "pack-1.jsonl", tmp_path / PACK)
    old = opened(tmp_path / PACK)
    assert {name: json.loads(old.content(name)) for name in old.names()} == {
        name: json.loads(content) for name, content in before.items()
    }
    shutil.rmtree(tmp_path / "new")
    assert len(load([tmp_path / "split-digits" / "ewc"])[0]) == 2
    assert "0 packed, 7 in the pack" in said("pack", str(tmp_path))
    lines = (tmp_path / PACK).read_text().splitlines()
    assert len(lines) == 2
    assert "pack 2" in lines[0]
    assert len(load([tmp_path])[0]) == 7


def test_a_line_has_no_more_than_is_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path)
    monkeypatch.setattr(line, "TOGETHER", 3)
    store.pack(tmp_path)
    assert len((tmp_path / PACK).read_text().splitlines()) == 1 + 3
    assert len(load([tmp_path])[0]) == 7
    monkeypatch.setattr(line, "LARGEST", 1000)
    _unfolded.cache_clear()
    assert "cut off or too long" in load([tmp_path])[1][0]
    _unfolded.cache_clear()


def test_packed_runs_are_removed_and_moved(tmp_path: Path) -> None:
    filled(tmp_path / "a")
    store.pack(tmp_path / "a")
    said("rm", "--results", str(tmp_path / "a"), "--strategy", "ewc", "--yes")
    assert len(load([tmp_path / "a"])[0]) == 4
    assert "4 new" in said("import", str(tmp_path / "a"), "--results", str(tmp_path / "b"))
    store.pack(tmp_path / "b")
    assert "4 already there" in said("import", str(tmp_path / "a"), "--results", str(tmp_path / "b"))
    said("export", str(tmp_path / "c.zip"), "--results", str(tmp_path / "a"))
    assert len(list(transfer.contents(str(tmp_path / "c.zip")))) == 4


def git(folder: Path, *words: str) -> None:
    own = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *own, *words], cwd=folder, check=True, capture_output=True)


def test_git_merges_what_two_branches_packed(tmp_path: Path) -> None:
    filled(tmp_path)
    shutil.copy(Path(__file__).parents[1] / ".gitattributes", tmp_path)
    store.pack(tmp_path)
    git(tmp_path, "init", "-b", "main")
    for branch, name in (("main", ""), ("one", "er"), ("two", "fire")):
        if name:
            git(tmp_path, "checkout", "-b", branch, "main")
            store.write(make_result(name), tmp_path)
            store.pack(tmp_path)
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "-m", branch)
    git(tmp_path, "merge", "one")
    runs, left_out = load([tmp_path])
    assert left_out == []
    assert {run.strategy for run in runs} >= {"naive", "er", "fire"}
    assert len(runs) == 9


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("raw, λ 31.6, η 0.1", "raw-lambda-31.6-eta-0.1"),
        ("in silico", "in-silico"),
        ("ewc+lwf_2", "ewc+lwf_2"),
        ("Müller (2)", "Muller-2"),
    ],
)
def test_folders_have_plain_names(words: str, name: str) -> None:
    assert store.slug(words) == name


def test_committed_results_are_few_light_and_plainly_named() -> None:
    files = [file for file in (GOLDEN.parents[1] / "results").rglob("*") if file.is_file()]
    names = [file.relative_to(GOLDEN.parents[1]).as_posix() for file in files if file.name[0] != "."]
    assert len(names) < 300
    assert sum(file.stat().st_size for file in files) < 4e6, "pack what only feeds a table"
    assert all(name.isascii() and not {*" ,"} & {*name} for name in names)
