"""What datasets are there and whether the cache can be trusted."""

from __future__ import annotations

import json
from dataclasses import dataclass

from clbench.data import cache, own
from clbench.data.known import SOURCES
from clbench.data.sources import DataPlace, Found, find
from clbench.errors import UserError

OFFICIAL = {True: "yes", False: "no", None: "cannot be told"}


@dataclass(frozen=True)
class Status:
    """One dataset, in words."""

    name: str
    layout: str
    decoded: str
    official: str
    fingerprint: str


@dataclass(frozen=True)
class Verdict:
    """Whether a cache was sound, and what was found."""

    sound: bool
    sentence: str


def present(place: DataPlace) -> list[str]:
    """Names of the datasets on disk: the named ones, and a user's own folders, tables and arrays."""
    named = [name for name in SOURCES if _layout(name, place) is not None]
    return named + [name for name in own.all_under(place) if name not in SOURCES]


def statuses(place: DataPlace) -> list[Status]:
    """Every named dataset, and every folder, table and file of arrays under the data root."""
    there = present(place)
    return [_status(name, place, name in there) for name in [*SOURCES, *(n for n in there if n not in SOURCES)]]


def _layout(name: str, place: DataPlace) -> Found | str | None:
    """How a dataset lies on disk; why not, if what is there cannot be read."""
    try:
        return find(name, place)
    except UserError:
        return "cannot be read"


def _status(name: str, place: DataPlace, there: bool) -> Status:
    found = _layout(name, place) if there else "–"
    if not isinstance(found, Found):
        return Status(name, found or "–", "–", "–", "–")
    folder = cache.cache_folder(name, place)
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        decoded = "yes" if meta["stamp"] == found.stamp else "out of date"
        return Status(
            name,
            found.layout,
            decoded,
            OFFICIAL[cache.official(name, meta["fingerprint"], meta["read_as"], None)],
            meta["fingerprint"][:12],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return Status(name, found.layout, "no", "–", "–")


def verify(name: str, place: DataPlace) -> Verdict:
    """Compare a cache with its checksums; rebuild it if it is damaged or out of date.

    Raises UserError if the dataset is not there or cannot be read.
    """
    folder = cache.cache_folder(name, place)
    decoded = (folder / "meta.json").exists()
    sound = not decoded or cache.read(folder) is not None
    data = cache.load(name, place)
    what = f"fingerprint {data.fingerprint[:12]}, official release: {OFFICIAL[data.official]}"
    if not sound:
        return Verdict(False, f"the cache was damaged and has been rebuilt; {what}")
    return Verdict(True, f"{'sound' if decoded else 'decoded'}; {what}")
