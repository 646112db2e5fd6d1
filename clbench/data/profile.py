"""What is in each column of a table: range, gaps and values, read in blocks so that no table has to fit in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from clbench.data.dataset import Array, Dataset
from clbench.data.running import Running

BLOCK = 1 << 16  # rows looked at together
SAMPLE = 100_000  # rows, drawn once for all, for what cannot be said of a block alone
FREQUENT = 3  # values of a category that are shown


@dataclass(frozen=True)
class Moments:
    """Of each column of numbers: how many are there, their mean and standard deviation, the least and the greatest.

    ``constant``: they never change, but for rounding. ``whole``: all are whole numbers. ``rising``: none is less than
    the one before.
    """

    count: Array
    mean: Array
    spread: Array
    constant: Array
    low: Array
    high: Array
    whole: Array
    rising: Array


@dataclass(frozen=True)
class NumberColumn:
    """A column of numbers. ``missing``: share of rows. ``distinct``: share of different values among ``SAMPLE`` rows.

    ``moved``: by how many of its standard deviations the mean of the last period lies above that of the first; None
    where there are no periods.
    """

    name: str
    missing: float
    low: float | None
    high: float | None
    mean: float | None
    spread: float | None
    whole: bool
    rising: bool
    distinct: float
    moved: float | None = None
    kind: str = "number"


@dataclass(frozen=True)
class CategoryColumn:
    """A column of names. ``frequent``: its most frequent values with their shares of rows.

    ``unseen``: share of the second half's rows (in time, else in the file) with a value that the first half has not.
    """

    name: str
    missing: float
    values: int
    unseen: float
    frequent: list[tuple[str, float]] = field(default_factory=list)
    kind: str = "category"


Column = NumberColumn | CategoryColumn


def moments(numbers: Array) -> Moments:
    """Return moments of float32 [n, columns], NaN where one is missing, in blocks."""
    width = numbers.shape[1]
    running = Running(width)
    low, high = np.full(width, np.inf), np.full(width, -np.inf)
    whole, rising = np.ones(width, bool), np.ones(width, bool)
    last = np.full(width, -np.inf)
    for block in blocks(numbers):
        values = block.astype(np.float64)
        there = running.add(values)
        low = np.minimum(low, np.where(there, values, np.inf).min(0))
        high = np.maximum(high, np.where(there, values, -np.inf).max(0))
        whole &= (there <= (np.round(values) == values)).all(0)
        # What is missing stands for what was there before it.
        held = np.maximum.accumulate(np.where(there, values, -np.inf), axis=0)
        rising &= (there <= (values >= held)).all(0) & (held[0] >= last)
        last = np.maximum(last, held[-1])
    return Moments(running.count, running.mean, running.spread, running.constant, low, high, whole, rising)


def blocks(rows: Array) -> Iterator[Array]:
    """Yield rows in blocks that fit in memory."""
    for start in range(0, len(rows), BLOCK):
        yield rows[start : start + BLOCK]


def drawn(rows: int, most: int = SAMPLE) -> Array:
    """Indices of at most so many rows, ascending, the same each time."""
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(0).choice(rows, most, replace=False))


def names_of(data: Dataset) -> tuple[list[str], list[str]]:
    """Names of a dataset's columns of numbers and of categories; values of a vector without names are counted."""
    if data.columns is not None:
        return data.columns.numbers, data.columns.categories
    return ([] if data.is_images or len(data.shape) != 1 else [f"x[{place}]" for place in range(data.shape[0])]), []


def profiled(data: Dataset, ends: tuple[int, int] | None, frequent: Sequence[list[tuple[str, float]]]) -> list[Column]:
    """Return what is in each column of the training rows.

    ends: where the first period ends and the last begins, if there are periods. frequent: of each category.
    """
    numbers, categories = names_of(data)
    rows = data.train.samples
    found: list[Column] = []
    if numbers:
        found += _numbers(numbers, rows[:, : len(numbers)], ends)
    for place, name in enumerate(categories):
        found.append(_category(name, rows[:, len(numbers) + place], frequent[place]))
    return found


def _numbers(names: list[str], rows: Array, ends: tuple[int, int] | None) -> list[Column]:
    all_, sample = moments(rows), np.asarray(rows[drawn(len(rows))])
    moved: Array | None = None
    if ends is not None:
        first, last = moments(rows[: ends[0]]), moments(rows[ends[1] :])
        known = (first.count > 0) & (last.count > 0) & ~all_.constant
        moved = np.where(known, (last.mean - first.mean) / np.where(known, all_.spread, 1), 0)
    return [
        NumberColumn(
            name,
            missing=1 - float(all_.count[place]) / len(rows),
            low=_there(all_.low[place]),
            high=_there(all_.high[place]),
            mean=_there(all_.mean[place]) if all_.count[place] else None,
            spread=_there(all_.spread[place]) if all_.count[place] else None,
            whole=bool(all_.whole[place]),
            rising=bool(all_.rising[place]),
            distinct=len(np.unique(sample[:, place])) / len(sample),
            moved=None if moved is None else float(moved[place]),
        )
        for place, name in enumerate(names)
    ]


def _there(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _category(name: str, column: Array, frequent: list[tuple[str, float]]) -> Column:
    counts = np.zeros((2, 1), np.int64)  # of each value, in both halves
    half = len(column) // 2
    for start in range(0, len(column), BLOCK):
        codes = column[start : start + BLOCK].astype(np.int64)
        late = np.arange(start, start + len(codes)) >= half
        if codes.max() >= counts.shape[1]:
            counts = np.pad(counts, ((0, 0), (0, int(codes.max()) + 1 - counts.shape[1])))
        for place in (0, 1):
            counts[place] += np.bincount(codes[late == place], minlength=counts.shape[1])
    later = int(counts[1][(counts[0] == 0)][: counts.shape[1]].sum())
    total = counts.sum(0)
    return CategoryColumn(
        name,
        missing=float(total[0]) / len(column),
        values=int((total[1:] > 0).sum()),
        unseen=later / max(int(counts[1].sum()), 1),
        frequent=frequent,
    )


def frequent_values(file: Path, label: str, categories: list[str]) -> list[list[tuple[str, float]]]:
    """Return the most frequent values of each category of a table file, with their shares of its rows."""
    import pyarrow.compute as pc

    from clbench.data.arrow import batches
    from clbench.data.description import Roles

    if not categories:
        return []
    counts: list[Counter[str]] = [Counter() for _ in categories]
    rows = 0
    for batch in batches(file, Roles(label, [], categories)):
        rows += len(batch)
        for name, counter in zip(categories, counts, strict=True):
            for one in pc.value_counts(batch.column(name)).to_pylist():
                if one["values"] is not None:
                    counter[one["values"]] += one["counts"]
    return [[(value, many / rows) for value, many in counter.most_common(FREQUENT)] for counter in counts]
