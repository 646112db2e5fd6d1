"""From samples, and what is known of each, to training and test parts: in order of time, divided as somebody says."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from clbench.data.dataset import Array, Part, Shape
from clbench.errors import UserError

NAMES_OF_PARTS = {"train": 0, "training": 0, "test": 1, "testing": 1, "val": 1, "valid": 1, "validation": 1}
SPARSE = 0.5  # share of rows with a value of their own from which a column is text or a key
CHUNK = 64 << 20  # bytes copied together


def scratch(shape: Shape, dtype: Any, room: Path | None) -> Array:
    """Return an array to fill: in a nameless file of the folder ``room``, or in memory if there is none."""
    if room is None or not math.prod(shape):
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile(dir=room) as file:
        return np.memmap(file, dtype, "w+", shape=shape)


def chunks(samples: Array, itemsize: int = 8) -> list[slice]:
    """Return slices of samples [n, …] that take little memory each, at so many bytes an element."""
    step = max(CHUNK // max(itemsize * math.prod(samples.shape[1:]), 1), 1)
    return [slice(start, start + step) for start in range(0, len(samples), step)]


def taken(samples: Array, rows: Array, room: Path | None) -> Array:
    """Return a copy of some samples, which never takes more memory than a chunk if there is ``room`` on the disk."""
    if room is None:
        return np.ascontiguousarray(samples[rows])
    out = scratch((len(rows), *samples.shape[1:]), samples.dtype, room)
    for here in chunks(out):
        out[here] = samples[rows[here]]
    return out


def in_order(names: Iterable[str]) -> list[str]:
    """Return names in order: by number where all are numbers, else by letter."""
    found = list(names)
    try:
        return sorted(found, key=float)
    except ValueError:
        return sorted(found)


def check_classes(classes: int, rows: int, example: str, label: str, otherwise: str) -> None:
    """Raise UserError for labels that are no classes: all the same, or a value of its own in most rows.

    ``label`` says where they come from, ``otherwise`` how to name others.
    """
    if classes < 2:
        raise UserError(f"{label}: every row has the label '{example}'. {otherwise}.")
    if classes > max(1000, SPARSE * rows) or classes > SPARSE * rows > 10:
        raise UserError(
            f"{label} has {classes:,} different values in {rows:,} rows. clbench tells classes apart. {otherwise}, or "
            "make classes of it."
        )


def time_order(times: Array | None) -> Array | None:
    """Return the order of rows in time, those of one time as they come; None where they are in order."""
    return None if times is None or not (np.diff(times) < 0).any() else np.argsort(times, kind="stable")


def with_previous(part: Part) -> Part:
    """Return rows in order of time with the label of the one before each, where there are times."""
    return part if part.times is None else replace(part, previous=np.append(-1, part.labels[:-1]))


def tested(names: Sequence[str], codes: Array, said: str, otherwise: str) -> Array:
    """Return which rows are test rows, given their part's names; UserError where these name no parts.

    ``said`` says who names them, ``otherwise`` how to name another.
    """
    wrong = [name for name in names if name.lower() not in NAMES_OF_PARTS]
    if wrong:
        raise UserError(f"{said} says '{wrong[0]}'; expected {', '.join(NAMES_OF_PARTS)}. {otherwise}.")
    if len(codes) and codes.min() < 0:
        raise UserError(f"{said} says nothing of row {int(np.flatnonzero(codes < 0)[0]) + 1:,}. {otherwise}.")
    test: Array = np.array([NAMES_OF_PARTS[name.lower()] for name in names])[codes] == 1
    if test.all() or not test.any():
        raise UserError(f"{said} puts all rows in one part. {otherwise}.")
    return test


def divided(whole: Part, test: Array | None, room: Path | None) -> tuple[Part, Part | None]:
    """Return training and test part, or all and None where nobody has divided them."""
    if test is None:
        return whole, None
    return chosen(whole, np.flatnonzero(~test), room), chosen(whole, np.flatnonzero(test), room)


def chosen(part: Part, rows: Array, room: Path | None) -> Part:
    """Return some of a part's samples, in the order of ``rows``."""
    times, groups, previous = (None if one is None else one[rows] for one in (part.times, part.groups, part.previous))
    return Part(taken(part.samples, rows, room), part.labels[rows], times, groups, previous)
