"""Times of rows: as numbers to sort by, cut into periods, and as inputs that need no fitting."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from clbench.data import parts
from clbench.data.dataset import Array

Every = Literal["rows", "year", "quarter", "month", "week", "day", "hour", "value"]
MISSING = np.iinfo(np.int64).min
DAY, WEEK = 86_400.0, 7 * 86_400.0  # seconds


def with_features(rows: Array, times: Array | None, room: Path, numbers: int) -> tuple[Array, list[str]]:
    """Put the time of the week and of the day into rows, behind their numbers, each as a sine and a cosine.

    Not that of the year: a period would have to say what it never saw. Nothing is added where there are no dates; no
    time of day where all are midnight. Returns rows and column names.
    """
    if times is None:
        return rows, []
    cycles = {"week": WEEK} | ({"day": DAY} if (times % DAY != 0).any() else {})
    names = [f"{function} of {cycle}" for cycle in cycles for function in ("sine", "cosine")]
    out = parts.scratch((len(rows), rows.shape[1] + len(names)), np.float32, room)
    for here in parts.chunks(out):
        angle = 2 * np.pi * times[here, None] / np.array([*cycles.values()])
        waves = np.stack([np.sin(angle), np.cos(angle)], axis=2).reshape(len(angle), -1)
        out[here] = np.concatenate([rows[here, :numbers], waves, rows[here, numbers:]], axis=1)
    return out, names


def shown(second: int) -> str:
    """A time in words."""
    return str(np.datetime64(second, "s")).replace("T", " ")


def starts(times: Array, every: Every, count: int) -> Array:
    """Return the first row of each period of rows in order of time, ascending; 'rows': ``count`` of equally many."""
    number = np.arange(len(times)) * count // len(times) if every == "rows" else periods(times, every)
    return np.flatnonzero(np.diff(number, prepend=number[0] - 1))


def periods(times: Array, every: str) -> Array:
    """Return the number of each time's period: a calendar unit of times in seconds, or each 'value' its own."""
    if every == "value":
        return np.unique(times, return_inverse=True)[1]
    if every == "week":  # from Monday; 1970-01-01 was a Thursday
        return (times // int(DAY) + 3) // 7
    units = {"year": "Y", "month": "M", "day": "D", "hour": "h"}
    dates = times.astype("datetime64[s]")
    if every == "quarter":
        return dates.astype("datetime64[M]").astype(np.int64) // 3
    return dates.astype(f"datetime64[{units[every]}]").astype(np.int64)
