"""An index of a results folder, so that thousands of Results that were read before need not be read again.

``.index.sqlite`` in the folder holds what the telling half needs of each file, with the file's time of change and
size. It is a cache: made when a folder has many Results, rebuilt by another clbench, left out where it cannot be
written, and never believed about a file that has changed.
"""

from __future__ import annotations

import json
import os
import sqlite3
import zlib
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

from clbench import __version__, metrics
from clbench.analysis.runs import Run, shared
from clbench.store import PACK, SCHEMA_VERSION, is_there, located

NAME = ".index.sqlite"
FORMAT = 4
PATIENCE = 5.0  # seconds for another process that is writing
# Long texts that many runs share are kept once.
TEXTS = ("scenario", "strategy", "role", "setup", "kind", "environment")
NOT_PLAIN = (*TEXTS, "path", "source", "metrics", "warnings")
PLAIN = tuple(field.name for field in fields(Run) if field.name not in NOT_PLAIN)
COLUMNS = ("file", "changed", "size", "left_out", *PLAIN, *TEXTS, "metrics", "warnings")

Found = Run | str  # a run, or the sentence that says why a file is left out


def read(folder: Path, files: Iterable[Path], source: str) -> dict[Path, Found]:
    """Return what the index knows of files that have not changed since; nothing if there is no such index."""
    start = len(str(folder)) + 1
    wanted = {str(file)[start:]: file for file in files}
    found: dict[Path, Found] = {}
    with suppress(sqlite3.Error, OSError), closing(_open(folder)) as base:
        texts = {number: shared(text) for number, text in base.execute("SELECT number, text FROM texts")}
        names: dict[str, str] = {}
        for name, changed, size, left_out, *values, measured, said in base.execute(
            f"SELECT {', '.join(COLUMNS)} FROM runs"
        ):
            file = wanted.get(name)
            if file is None or _stamp(file) != (changed, size):
                continue
            if left_out is not None:
                found[file] = left_out
                continue
            plain: dict[str, Any] = dict(zip(PLAIN, values, strict=False))
            long: dict[str, Any] = {key: texts[number] for key, number in zip(TEXTS, values[len(PLAIN) :], strict=True)}
            known = {names.setdefault(key, key): value for key, value in json.loads(measured).items()}
            warnings = tuple(map(shared, json.loads(said)))
            found[file] = Run(path=file, source=shared(source), metrics=known, warnings=warnings, **plain, **long)
    return found


def update(folder: Path, found: Mapping[Path, Found]) -> None:
    """Note what files have said, and forget files that are no longer there."""
    with suppress(sqlite3.Error, OSError), closing(_open(folder, make=True)) as base, base:
        numbers = {text: number for number, text in base.execute("SELECT number, text FROM texts")}
        rows = [_row(folder, file, run, numbers, base) for file, run in found.items()]
        base.executemany(f"INSERT OR REPLACE INTO runs VALUES ({', '.join('?' * len(COLUMNS))})", rows)
        names = [name for (name,) in base.execute("SELECT file FROM runs") if not is_there(folder / name)]
        base.executemany("DELETE FROM runs WHERE file = ?", [(name,) for name in names])


def _row(folder: Path, file: Path, run: Found, numbers: dict[str, int], base: sqlite3.Connection) -> tuple[Any, ...]:
    head = (str(file)[len(str(folder)) + 1 :], *_stamp(file))
    if isinstance(run, str):
        return (*head, run, *[None] * (len(COLUMNS) - 4))
    for text in (getattr(run, key) for key in TEXTS):
        if text not in numbers:
            numbers[text] = len(numbers)
            base.execute("INSERT INTO texts VALUES (?, ?)", (numbers[text], text))
    plain = [getattr(run, key) for key in PLAIN]
    long = [numbers[getattr(run, key)] for key in TEXTS]
    return (*head, None, *plain, *long, json.dumps(run.metrics), json.dumps(run.warnings))


def _stamp(file: Path) -> tuple[int, int]:
    """When a file changed and its size; of a packed Result, those of its pack."""
    found = located(file) if PACK in file.parts else None
    state = os.stat(found[0] if found else file)
    return state.st_mtime_ns, state.st_size


def _open(folder: Path, make: bool = False) -> sqlite3.Connection:
    """The index, if this clbench can read it; made anew, if it may be."""
    file = folder / NAME
    if not make:
        base = sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=PATIENCE)
    else:
        base = sqlite3.connect(file, timeout=PATIENCE)
    try:
        if make and not _is_ours(base):
            with base:
                base.execute("DROP TABLE IF EXISTS runs")
                base.execute("DROP TABLE IF EXISTS texts")
                base.execute(f"CREATE TABLE runs ({', '.join(COLUMNS)}, PRIMARY KEY (file)) WITHOUT ROWID")
                base.execute("CREATE TABLE texts (number INTEGER PRIMARY KEY, text)")
                base.execute(f"PRAGMA user_version = {_version()}")
        elif not make and not _is_ours(base):
            raise sqlite3.DatabaseError("another clbench's index")
    except BaseException as error:
        base.close()
        if make and isinstance(error, sqlite3.DatabaseError) and "not a database" in str(error):
            file.unlink(missing_ok=True)
        raise
    return base


def _is_ours(base: sqlite3.Connection) -> bool:
    return bool(base.execute("PRAGMA user_version").fetchone()[0] == _version())


def _version() -> int:
    """A number that changes with what is read from a Result."""
    versions = {name: metric.version for name, metric in metrics.METRICS.items()}
    return zlib.crc32(json.dumps([FORMAT, SCHEMA_VERSION, __version__, COLUMNS, versions]).encode()) & 0x7FFFFFFF
