"""Stores: many Results, their index, and moving them from one place to another."""

from __future__ import annotations

import csv
import json
import os
import sqlite3
import zipfile
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from clbench import store
from clbench.analysis import index, load
from clbench.cli import app
from clbench.errors import UserError
from clbench.store import LocalFolder, transfer
from clbench.store.folders import Folder, RemoteFolder, open_folder
from tests.helpers import make_result


def filled(folder: Path, count: int = 6) -> list[Path]:
    """A store of several strategies and seeds."""
    names = ("naive", "ewc", "l2")
    made = [make_result(names[number % 3], number // 3, seconds=float(number)) for number in range(count)]
    return [store.write(one, folder) for one in made]


def said(*words: str) -> tuple[str, str]:
    done = CliRunner().invoke(app, ["results", *words])
    assert done.exit_code == 0, done.output + str(done.exception)
    return done.stdout, done.stderr


def refused(*words: str) -> str:
    done = CliRunner().invoke(app, ["results", *words])
    assert isinstance(done.exception, UserError), done.output
    return str(done.exception)


# The index.


@pytest.fixture
def indexed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store that is large enough to have an index."""
    monkeypatch.setattr(load, "INDEXED", 3)
    filled(tmp_path)
    return tmp_path


def reading(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Any], list[str]]:
    """What is loaded, and which files were read for it."""
    opened: list[str] = []
    real = store.read

    def read(path: Path) -> store.Result:
        opened.append(path.name)
        return real(path)

    with monkeypatch.context() as patched:
        patched.setattr(store, "read", read)
        return load.load([folder])[0], opened


def test_what_was_read_is_not_read_again(indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, opened = reading(indexed, monkeypatch)
    assert len(opened) == 6
    again, opened = reading(indexed, monkeypatch)
    assert opened == []
    assert again == first, "runs from the index are those of the files, in the same order"


def test_small_folders_have_no_index(tmp_path: Path) -> None:
    filled(tmp_path)
    load.load([tmp_path])
    assert not (tmp_path / index.NAME).exists()


def test_changes_are_seen(indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading(indexed, monkeypatch)
    gone, dated, damaged = sorted(indexed.rglob("s*.json"))[:3]
    gone.unlink()
    damaged.write_text(damaged.read_text().replace("0.75", "0.76"))
    os.utime(dated, (1, 1))  # as a copy may be, or a clock that went back
    new = store.write(make_result("si"), indexed)
    runs, opened = reading(indexed, monkeypatch)
    assert sorted(opened) == sorted(file.name for file in (dated, damaged, new))
    assert len(runs) == 5
    left_out = load.load([indexed])[1]
    assert len(left_out) == 1
    assert "does not match its checksum" in left_out[0]
    with sqlite3.connect(indexed / index.NAME) as base:
        assert base.execute("SELECT count(*) FROM runs").fetchone() == (6,), "what is gone is forgotten"


@pytest.mark.parametrize("damage", ["text", "empty", "other version", "no tables", "directory"])
def test_a_bad_index_is_not_believed(damage: str, indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = reading(indexed, monkeypatch)
    file = indexed / index.NAME
    match damage:
        case "text":
            file.write_text("not a database, but as long as one might be" * 50)
        case "empty":
            file.write_bytes(b"")
        case "other version":
            monkeypatch.setattr(index, "FORMAT", 99)
        case "no tables":
            with sqlite3.connect(file) as base:
                base.execute("DROP TABLE texts")
        case "directory":
            file.unlink()
            file.mkdir()
    runs, opened = reading(indexed, monkeypatch)
    assert runs == first
    assert len(opened) == 6
    assert reading(indexed, monkeypatch)[0] == first


def test_compare_says_the_same_with_and_without_an_index(indexed: Path) -> None:
    words = ["compare", str(indexed), "--format", "json"]
    first = CliRunner().invoke(app, words).stdout
    assert (indexed / index.NAME).exists()
    assert CliRunner().invoke(app, words).stdout == first


# Folders.


@pytest.fixture(params=["local", "memory", "file URL"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    match request.param:
        case "local":
            return open_folder(tmp_path / "store")
        case "memory":
            return open_folder(f"memory://{tmp_path.name}/store")
    return open_folder(f"local://{tmp_path}/store")


def test_folders_are_alike(folder: Folder) -> None:
    assert folder.names() == []
    assert not folder.exists("a/b.json")
    folder.write("a/b.json", b"one")
    folder.write("a/b.json", b"two")
    folder.write("c.json", b"")
    assert folder.names() == ["a/b.json", "c.json"]
    assert folder.names("a") == ["a/b.json"]
    assert folder.names("nothing") == []
    assert folder.read("a/b.json") == b"two"
    assert folder.exists("c.json")
    folder.remove("a/b.json")
    folder.remove("a/b.json")
    assert folder.names() == ["c.json"]
    with pytest.raises(FileNotFoundError):
        folder.read("a/b.json")


def test_results_are_written_to_any_folder(folder: Folder) -> None:
    result = make_result("ewc")
    name = store.write_to(result, folder)
    assert store.parsed(folder.read(name), name) == result


def test_a_failed_upload_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remote = open_folder(f"memory://{tmp_path.name}/broken")
    assert isinstance(remote, RemoteFolder)

    def broken(*_: Any) -> None:
        raise OSError("the line is dead")

    monkeypatch.setattr(remote.system, "mv", broken)
    with pytest.raises(UserError, match="the line is dead"):
        store.write_to(make_result(), remote)
    assert remote.system.find(remote.root) == []


# The command line.


def test_list_and_show(tmp_path: Path) -> None:
    files = filled(tmp_path)
    out, _ = said("list", "--results", str(tmp_path), "--limit", "2")
    assert "… and 4 more" in out
    rows = json.loads(said("list", "--results", str(tmp_path), "--strategy", "ewc", "--json")[0])
    assert [row["seed"] for row in rows] == [0, 1]
    result = store.read(files[0])
    out, _ = said("show", result.run_id[:10], "--results", str(tmp_path))
    assert "naive on split-digits, seed 0: ok" in out
    assert "optimizer.lr" in out
    assert "after" in out
    assert json.loads(said("show", str(files[0]), "--json")[0])["run_id"] == result.run_id
    assert "No run under" in refused("show", "zzz", "--results", str(tmp_path))
    assert "6 runs" in refused("show", "", "--results", str(tmp_path))


def test_rm_asks_first(tmp_path: Path) -> None:
    filled(tmp_path)
    assert "Say which runs" in refused("rm", "--results", str(tmp_path))
    assert "Remove 2 runs" in refused("rm", "--results", str(tmp_path), "--strategy", "ewc")
    assert len([*tmp_path.rglob("s*.json")]) == 6
    said("rm", "--results", str(tmp_path), "--strategy", "ewc", "--yes")
    assert {file.parent.name for file in tmp_path.rglob("s*.json")} == {"naive", "l2"}
    assert "No runs with status 'diverged'" in refused("rm", "--results", str(tmp_path), "--status", "diverged", "-y")


def test_there_and_back(tmp_path: Path) -> None:
    files = filled(tmp_path / "one")
    for target in (str(tmp_path / "a.zip"), str(tmp_path / "folder"), f"memory://{tmp_path.name}/copy"):
        said("export", target, "--results", str(tmp_path / "one"))
        back = tmp_path / f"back-{len(target)}"
        assert "6 new" in said("import", target, "--results", str(back))[1]
        assert "0 new, 6 already there" in said("import", target, "--results", str(back))[1]
        for file in files:
            assert (back / file.relative_to(tmp_path / "one")).read_bytes() == file.read_bytes()
    said("export", str(tmp_path / "b.zip"), "--results", str(tmp_path / "one"))
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_a_table_for_other_programs(tmp_path: Path) -> None:
    filled(tmp_path / "one")
    said("export", str(tmp_path / "runs.csv"), "--results", str(tmp_path / "one"), "--strategy", "ewc")
    rows = list(csv.DictReader((tmp_path / "runs.csv").read_text().splitlines()))
    assert [row["strategy.name"] for row in rows] == ["ewc", "ewc"]
    assert {"average_accuracy", "optimizer.lr", "seconds", "file"} < rows[0].keys()


def test_stores_are_merged_by_copying_and_the_newer_stays(tmp_path: Path) -> None:
    old = make_result("ewc", created="2026-01-01T00:00:00+00:00")
    new = old.model_copy(update={"created": "2026-02-01T00:00:00+00:00"})
    store.write(old, tmp_path / "a")
    store.write(new, tmp_path / "b")
    assert "1 replaced by newer ones" in said("import", str(tmp_path / "b"), "--results", str(tmp_path / "a"))[1]
    assert "1 already there" in said("import", str(tmp_path / "b"), "--results", str(tmp_path / "a"))[1]
    (file,) = (tmp_path / "a").rglob("s*.json")
    assert store.read(file).created == new.created


def test_what_arrives_is_verified_and_stays_inside(tmp_path: Path) -> None:
    """Names in an archive count for nothing; what is no Result is left out."""
    good = store.content_of(make_result("ewc"))
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        file.writestr("/somewhere/outside.json", good)
        file.writestr("../../outside.json", good)
        file.writestr("damaged.json", good.replace(b"0.75", b"0.76"))
        file.writestr("program.py", b"print()")
        file.writestr(".hidden/y.json", good)
    _, told = said("import", str(tmp_path / "x.zip"), "--results", str(tmp_path / "inside"))
    assert "1 new, 0 already there, 0 replaced by newer ones, 1 left out" in told
    assert "does not match its checksum" in told
    assert not (tmp_path / "outside.json").exists()
    assert len([*tmp_path.rglob("*.json")]) == 1


def test_a_member_that_is_left_out_is_named_whatever_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too large, or not to be unpacked: by its name, however many there are, and the others arrive."""
    good = store.content_of(make_result("ewc"))
    large = good + b" " * 2**16
    monkeypatch.setattr(transfer, "LARGEST", len(large) - 1)
    damaged = [f"damaged-{number}.json" for number in range(12)]
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for name in ("large.json", f"deep/{store.PACK}"):
            file.writestr(name, large)
        for name in damaged:
            file.writestr(name, good)
        file.writestr("good.json", good)
        starts = {one.filename: one.header_offset + len(one.FileHeader()) for one in file.infolist()}
    raw = bytearray((tmp_path / "x.zip").read_bytes())
    for name in damaged:
        raw[starts[name] + 40 : starts[name] + 60] = bytes(20)
    (tmp_path / "x.zip").write_bytes(raw)
    _, told = said("import", str(tmp_path / "x.zip"), "--results", str(tmp_path / "inside"))
    assert "1 new, 0 already there, 0 replaced by newer ones, 14 left out" in told
    lines = [line for line in told.splitlines() if line.startswith("Left out: ")]
    named = [line.split()[2] for line in lines]
    assert named == ["large.json", f"deep/{store.PACK}", *damaged]
    assert all("and no Result has" in line for line in lines[:2])
    assert all("cannot be unpacked" in line for line in lines[2:])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["import", "nothing"], "there is no such folder or archive"),
        (["import", "broken.zip"], "no .zip archive that can be read"),
        (["import", "gs://bucket/x"], "pip install gcsfs"),
        (["export", "/proc/x.zip"], "cannot be written"),
        (["list", "--where", "x"], "expected KEY=VALUE"),
    ],
)
def test_bad_words(words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.zip").write_text("no archive")
    filled(Path("results"))
    assert message in refused(*words)


def test_contents_of_a_folder_are_its_results(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    (tmp_path / ".sweeps").mkdir()
    (tmp_path / ".sweeps" / "x.json").write_text("{}")
    (tmp_path / "y.study.json").write_text("{}")
    assert len(list(transfer.contents(str(tmp_path)))) == 2
    assert isinstance(open_folder(tmp_path), LocalFolder)
