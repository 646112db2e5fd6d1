"""What a stream of a dataset would look like: its periods or groups, with the classes that come and go."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clbench.data import calendar
from clbench.data.calendar import Every
from clbench.data.dataset import Array, Dataset
from clbench.errors import UserError

UNITS: tuple[Every, ...] = ("year", "quarter", "month", "week", "day", "hour")
PERIODS = 10  # of as many rows each, as the time scenarios cut
MOST = 500  # periods that anybody would look at
LIKED = 12  # what a guess comes near to
LEAST = 50  # rows of a period that a guess makes


@dataclass(frozen=True)
class Section:
    """A period or a group: its name, its rows and how many there are of each class.

    ``new``: classes that no section before had; ``gone``: those that the one before had and this one has not.
    """

    name: str
    rows: int
    counts: list[int]
    new: list[str]
    gone: list[str]

    @property
    def shares(self) -> list[float]:
        """The share of each class."""
        return [count / self.rows for count in self.counts]


def guessed(data: Dataset) -> Every:
    """Return how a dated table is best cut: the unit of the calendar whose periods are nearest to a dozen."""
    times = data.train.times
    if times is None or not data.calendar:
        return "rows"
    fitting: dict[Every, float] = {}
    for unit in UNITS:
        sizes = np.unique(calendar.periods(times, unit), return_counts=True)[1]
        if 4 <= len(sizes) <= 10 * LIKED and sizes.min() >= LEAST:
            fitting[unit] = abs(np.log(len(sizes) / LIKED))
    return min(fitting, key=lambda unit: fitting[unit]) if fitting else "rows"


def starts(data: Dataset, every: Every) -> Array:
    """Return the first row of each period of training rows, ascending, as the time scenarios cut them.

    Raises UserError for a unit of the calendar where times are no dates, and for one period or more than ``MOST``.
    """
    times = data.train.times
    if times is None:
        raise UserError(
            f"--every {every}: no column of '{data.name}' says when a row was taken. Name it with --set data.time=…, "
            "or say data.time=row if the rows are in order."
        )
    if every in UNITS and not data.calendar:
        raise UserError(f"--every {every} needs dates, and the times of '{data.name}' are plain numbers. Use rows.")
    found = calendar.starts(times, every, PERIODS)
    if len(found) < 2:
        raise UserError(f"--every {every}: all rows of '{data.name}' are in one. Choose a shorter period.")
    if len(found) > MOST:
        raise UserError(f"--every {every} cuts '{data.name}' into {len(found):,} periods. Choose a longer one.")
    return found


def periods(data: Dataset, every: Every) -> list[Section]:
    """Return the periods of a dataset whose rows have times."""
    edges = starts(data, every)
    number = np.repeat(np.arange(len(edges)), np.diff(np.append(edges, len(data.train.labels))))
    return _sections(data, number, [_begin(data, int(row), every) for row in edges])


def groups(data: Dataset) -> list[Section]:
    """Return the groups of a dataset's training rows, by size; none if it has no groups."""
    found = data.train.groups
    if found is None or data.groups is None:
        return []
    sizes = np.bincount(found, minlength=len(data.groups))
    order = np.argsort(-sizes, kind="stable")[: int((sizes > 0).sum())]
    place = np.full(len(sizes), -1)
    place[order] = np.arange(len(order))
    return _sections(data, place[found], [data.groups[one] for one in order])


def _sections(data: Dataset, number: Array, names: list[str]) -> list[Section]:
    classes = len(data.classes)
    flat = np.bincount(number * classes + data.train.labels, minlength=len(names) * classes)
    counts = flat.reshape(len(names), classes)
    there = counts > 0
    before = np.vstack([np.zeros((1, classes), bool), np.logical_or.accumulate(there)[:-1]])
    gone = np.vstack([np.zeros((1, classes), bool), there[:-1] & ~there[1:]])

    def named(which: Array) -> list[str]:
        return [data.classes[one] for one in np.flatnonzero(which)]

    return [
        Section(name, int(row.sum()), row.tolist(), named(here & ~known), named(lost))
        for name, row, here, known, lost in zip(names, counts, there, before, gone, strict=True)
    ]


def _begin(data: Dataset, row: int, every: Every) -> str:
    """When a period begins, in as few words as tell it."""
    times = data.train.times
    assert times is not None
    if not data.calendar:
        return f"row {row + 1:,}" if every == "rows" else f"{times[row]:g}"
    second = np.datetime64(int(times[row]), "s")
    if every == "quarter":
        month = int(second.astype("datetime64[M]").astype(np.int64))
        return f"{1970 + month // 12} Q{month % 12 // 3 + 1}"
    units = {"year": "Y", "month": "M", "week": "D", "day": "D", "hour": "h"}
    shown = str(second.astype(f"datetime64[{units[every]}]")) if every in units else calendar.shown(int(times[row]))
    return shown.replace("T", " ") + ("h" if every == "hour" else "")
