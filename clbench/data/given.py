"""Arrays and data frames of any library as the raw data of a dataset; none of these libraries is imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np

from clbench.data.arrays import check_lengths, checked_labels, raw_of_arrays
from clbench.data.dataset import PARTS, Array, Part, Raw
from clbench.errors import UserError, in_words


def raw_of_samples(
    x: Any, y: Any, x_test: Any = None, y_test: Any = None, *, codes: bool = False, **of_rows: Any
) -> Raw:
    """Return samples and labels as raw data.

    ``x``: an array [n, …] as for ``raw_of_arrays``, or a data frame, whose columns are what a table's are. ``of_rows``:
    'time', 'group' and 'split' of each row, or None. In data frames they, and ``y``, may be the names of columns.
    Raises UserError for what cannot be a dataset.
    """
    if (x_test is None) != (y_test is None):
        raise UserError("x_test and y_test belong together. Give both, or neither.")
    of_rows = {key: one for key, one in of_rows.items() if one is not None}
    if not is_frame(x):
        named = {"x": x, "y": y, "x_test": x_test, "y_test": y_test}
        arrays = {name: array(one, name) for name, one in named.items() if one is not None}
        more = {PLURAL.get(key, key): times(one) if key == "time" else array(one, key) for key, one in of_rows.items()}
        return _own(raw_of_arrays(**arrays, **more, codes=codes), arrays)  # type: ignore[arg-type]
    if codes:
        raise UserError("codes: x is a data frame. Give the codes as an array [n, length].")
    if x_test is not None:
        return raw_of_tasks([(x, y, x_test, y_test)], codes, grouped=False)
    from clbench.data import frames

    table = frames.table_of(x, "x")
    return frames.raw_of_table(table, _checked({"label": y, **of_rows}, len(table)))


PLURAL = {"time": "times", "group": "groups"}  # as raw_of_arrays calls them


def raw_of_tasks(tasks: Sequence[Sequence[Any]], codes: bool = False, grouped: bool = True) -> Raw:
    """Return tasks (x, y, x_test, y_test), or (x, y) where a fifth is to be held out, as raw data.

    Each task is a group, '1', '2', …, unless they are not to be ``grouped``. Raises UserError for tasks that do not fit
    together.
    """
    if {len(task) for task in tasks} not in ({2}, {4}):
        raise UserError("Each task is (x, y, x_test, y_test), or each is (x, y), of which a fifth is held out.")
    pieces = [
        _Piece(str(place), part, f" of task {place}" if grouped else "", *task[at : at + 2])
        for part, at in zip(PARTS, range(0, len(tasks[0]), 2), strict=False)
        for place, task in enumerate(tasks, start=1)
    ]
    framed = is_frame(pieces[0].x)
    if any(is_frame(piece.x) != framed for piece in pieces):
        raise UserError("Some tasks are data frames, others arrays. Give all alike.")
    labels = [piece.labels() for piece in pieces]
    lengths = [len(one) for one in labels]
    of_rows: dict[str, Array] = {}
    if grouped:
        of_rows["group"] = np.repeat([piece.task for piece in pieces], lengths)
    if len(tasks[0]) == 4:
        of_rows["split"] = np.repeat([piece.part for piece in pieces], lengths)
    alike = len({_is_text(one) for one in labels}) == 1
    label = np.concatenate(labels if alike else [one.astype(str) for one in labels])
    if framed:
        from clbench.data import frames

        table = frames.joined([frames.table_of(piece.x, piece.name) for piece in pieces])
        return frames.raw_of_table(table, {"label": label, **of_rows})
    return raw_of_samples(_stacked(pieces), label, codes=codes, **of_rows)


@dataclass(frozen=True)
class _Piece:
    """Training or test samples of a task, and what errors call them."""

    task: str
    part: str
    of_task: str
    x: Any
    y: Any

    @property
    def name(self) -> str:
        return ("x" if self.part == "train" else "x_test") + self.of_task

    def labels(self) -> Array:
        """Labels; UserError if there are not as many as samples."""
        name = self.name.replace("x", "y", 1)
        found = checked_labels(array(self.y, name), name)
        rows = self.x.shape[0] if hasattr(self.x, "shape") and self.x.shape else len(self.x)
        check_lengths({self.name: rows, name: len(found)})
        return found


def _is_text(labels: Array) -> bool:
    return bool(labels.dtype.kind == "U")


def _stacked(pieces: Sequence[_Piece]) -> Array:
    """All samples in one array; UserError where they differ in shape or type."""
    samples = [array(piece.x, piece.name) for piece in pieces]
    first = samples[0]
    for piece, one in zip(pieces, samples, strict=True):
        if one.shape[1:] != first.shape[1:] or (one.dtype == np.uint8) != (first.dtype == np.uint8):
            raise UserError(
                f"{piece.name} has {one.dtype} samples of shape {one.shape[1:]}, and {pieces[0].name} {first.dtype} "
                f"ones of {first.shape[1:]}. Give arrays that differ in length alone."
            )
    return np.concatenate(samples)


def _checked(of_rows: Mapping[str, Any], rows: int) -> dict[str, Array | str]:
    """Columns' names as they are, all else as arrays of so many rows."""
    found: dict[str, Array | str] = {}
    for key, one in of_rows.items():
        if isinstance(one, str):
            found[key] = one
            continue
        name = "y" if key == "label" else key
        values = times(one) if key == "time" else checked_labels(array(one, name), name)
        check_lengths({"x": rows, name: len(values)})
        found[key] = values
    return found


def _own(raw: Raw, given: Mapping[str, Array]) -> Raw:
    """Raw data with copies of samples that are a program's: it may change them, and the fingerprint would not tell."""

    def copied(part: Part) -> Part:
        shared = any(np.may_share_memory(part.samples, one) for one in given.values())
        return replace(part, samples=np.array(part.samples, order="C")) if shared else part

    return replace(raw, train=copied(raw.train), test=None if raw.test is None else copied(raw.test))


def is_frame(x: Any) -> bool:
    """Whether something has columns with names: a data frame of pandas or polars, or an Arrow table."""
    return hasattr(x, "columns") and not isinstance(x, np.ndarray)


def array(value: Any, name: str) -> Array:
    """Return what a library has as an array: torch's tensors (also from another device), series, lists.

    Raises UserError for lists of unequal length.
    """
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value
    try:
        return np.asarray(value)
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{name} is no array ({in_words(error)}). Give numbers, one row of equal length a sample."
        ) from None


def times(value: Any) -> Array:
    """Return times as an array; Python's dates, also those with a time zone, as NumPy's."""
    found = array(value, "time")
    if found.dtype != object:
        return found
    import pyarrow as pa

    known = [one for one in found.tolist() if one is not None and one == one]
    if not all(isinstance(one, date) for one in known):
        raise UserError(
            "time cannot be read: it holds objects that are no dates. Expected a date or number for each row."
        )
    try:
        dates = pa.array(found.tolist(), from_pandas=True)
        if pa.types.is_date(dates.type) or pa.types.is_timestamp(dates.type):
            dates = dates.cast(pa.timestamp("s", getattr(dates.type, "tz", None)), safe=False)
        return np.asarray(dates.to_numpy(zero_copy_only=False))
    except pa.ArrowException as error:
        raise UserError(f"time cannot be read ({in_words(error)}). Expected a date or number for each row.") from None
