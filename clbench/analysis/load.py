"""Reading the runs of many files: verified each, by several processes where there are thousands."""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from itertools import chain
from pathlib import Path
from typing import Any

from clbench import store
from clbench.analysis import index
from clbench.analysis.runs import Run, run_of, shared
from clbench.errors import UserError

MANY = 4000  # files from which further processes are worth their start
CHUNK = 500
INDEXED = 1000  # files from which a folder has an index
Job = Sequence[tuple[str, Path, Path]]  # source, the folder that is searched, and file


def load(paths: Sequence[Path], without: Path | None = None) -> tuple[list[Run], list[str]]:
    """Read the runs of files, folders and patterns; return them and a sentence for each file that is left out.

    Several folders stand side by side: each run remembers its own as ``source``. Of several Results of the same run
    (same run id) within a folder the newest counts. A folder ``without`` that lies inside another is passed over.
    Raises UserError for a path that does not exist.
    """
    places = store.expand(paths)
    folders = {place for place in places if place.is_dir() or (place.suffix != ".json" and store.located(place))}
    several = len(folders) > 1
    files = [
        (str(place) if several and place in folders else "", place, file) for place, file in store.find(places, without)
    ]
    newest: dict[tuple[str, str], Run] = {}
    left_out: list[str] = []
    with uncollected():
        for run in _read_or_known(files):
            if isinstance(run, str):
                left_out.append(run)
                continue
            known = newest.get((run.source, run.run_id))
            if known is not None:
                older, run = sorted((known, run), key=lambda one: one.created)
                left_out.append(f"{_shown(older)} is the same run as {_shown(run)}, which is newer and counts.")
            newest[run.source, run.run_id] = run
    return list(newest.values()), list(dict.fromkeys(left_out))  # a line of a pack is damaged for all its runs at once


def _shown(run: Run) -> str:
    return "" if run.path is None else store.shown(run.path)


def _read_or_known(files: Job) -> Iterator[Run | str]:
    """Each file's run, or why it is left out; those of large folders from their index, where it knows them."""
    folders: dict[tuple[str, Path], list[Path]] = {}
    for source, folder, file in files:
        folders.setdefault((source, folder), []).append(file)
    for (source, folder), members in folders.items():
        indexed = len(members) >= INDEXED and folder.is_dir() and store.located(folder) is None
        known = index.read(folder, members, source) if indexed else {}
        fresh = [file for file in members if file not in known]
        found = dict(zip(fresh, _read_all([(source, file) for file in fresh]), strict=True))
        if indexed and found:
            index.update(folder, found)
        known |= found
        yield from map(known.__getitem__, members)


def _read_all(files: Sequence[tuple[str, Path]]) -> Iterator[Run | str]:
    """Each file's run, or why it is left out; in the order of the files."""
    processes = os.cpu_count() or 1
    if len(files) < MANY or processes == 1 or sys.platform != "linux":
        yield from _read(files)
        return
    jobs = [files[start : start + CHUNK] for start in range(0, len(files), CHUNK)]
    # Forked, since a fresh process would take as long to import as it takes to read a thousand files.
    with multiprocessing.get_context("fork").Pool(min(processes, 8)) as pool:
        for run in chain.from_iterable(pool.imap(_read, jobs)):
            yield run if isinstance(run, str) else _with_shared_texts(run)


def _read(files: Sequence[tuple[str, Path]]) -> list[Run | str]:
    found: list[Run | str] = []
    for source, file in files:
        try:
            found.append(run_of(store.read(file), file, shared(source)))
        except UserError as error:
            found.append(str(error))
    return found


def _with_shared_texts(run: Run) -> Run:
    """A run that came from another process, its texts shared with those that are here."""
    values = {field.name: getattr(run, field.name) for field in fields(run)}
    texts: dict[str, Any] = {name: shared(value) for name, value in values.items() if isinstance(value, str)}
    measured = {shared(name): value for name, value in run.metrics.items()}
    return replace(run, **texts, metrics=measured, warnings=tuple(map(shared, run.warnings)))


@contextmanager
def uncollected() -> Iterator[None]:
    """Do without garbage collection: it would look again and again at objects that all stay."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
