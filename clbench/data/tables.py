"""Tables on disk as rows of float32: read in chunks, so that no table has to fit in memory."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clbench.data import calendar
from clbench.data.arrow import batches, kinds_of, seconds
from clbench.data.dataset import Array, Columns, Part
from clbench.data.description import ROW, Roles, roles
from clbench.data.sources import Raw
from clbench.errors import Remark, UserError

MANY = 100_000  # values of a category from which most rows must share them
SPARSE = 0.5  # share of rows with a value of their own from which a column is text or a key
NAMES_OF_PARTS = {"train": 0, "training": 0, "test": 1, "testing": 1, "val": 1, "valid": 1, "validation": 1}


def read_table(file: Path, said: Mapping[str, Any], room: Path, guess: bool = True) -> Raw:
    """Read a CSV, Parquet or Arrow file; big arrays are kept in the folder ``room``.

    Rows are put in order of time. ``guess``: say what was guessed (Remark). Raises UserError for what cannot be a
    dataset: no such column, labels or times that are missing or cannot be read, infinite numbers, one class.
    """
    found = roles(kinds_of(file), said, file)
    if found.guessed and guess:
        numbers, categories = len(found.numbers), len(found.categories)
        warnings.warn(
            Remark(
                f"{file.name} is read with {', '.join(found.guessed)}, {numbers} numbers and {categories} categories. "
                "Say otherwise with --set data.label=… and the like; 'clbench data describe' shows more."
            ),
            stacklevel=2,
        )
    if found.dates:
        left = f"{file.name}: dates in {', '.join(found.dates)} are left out; name one with --set data.time=…."
        warnings.warn(Remark(left), stacklevel=2)
    with (room / "rows").open("wb") as raw:
        reading = _Reading(file, found, room, raw)
        for batch in batches(file, found):
            reading.add(batch)
    return reading.finished()


class _Names:
    """The values of a column of names, numbered as they come."""

    def __init__(self, first: int) -> None:
        self.first = first  # the number of the first value; a missing one has the number before
        self.number: dict[str, int] = {}

    def codes(self, column: pa.Array) -> Array:
        """Return each row's number."""
        encoded = pc.dictionary_encode(column)
        local = encoded.dictionary.to_pylist()
        table = np.array([self.number.setdefault(one, len(self.number) + self.first) for one in local], np.int64)
        places = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
        found: Array = np.append(table, self.first - 1)[places]
        return found


class _Reading:
    """What has been read of a table: rows in a file, and short columns in memory."""

    def __init__(self, file: Path, roles: Roles, room: Path, raw: BinaryIO) -> None:
        self.file, self.roles, self.room, self.raw = file, roles, room, raw
        self.rows = 0
        self.label, self.split, self.group = _Names(0), _Names(0), _Names(0)
        self.categories = {name: _Names(1) for name in roles.categories}
        self.short: dict[str, list[Array]] = {"label": [], "time": [], "split": [], "group": []}
        self.calendar = False
        self.width = len(roles.numbers) + len(roles.categories)

    def add(self, batch: pa.RecordBatch) -> None:
        """Take in a batch of rows."""
        block = np.empty((len(batch), self.width), np.float32)
        for place, name in enumerate(self.roles.numbers):
            block[:, place] = self._numbers(name, batch.column(name))
        for place, (name, names) in enumerate(self.categories.items(), start=len(self.roles.numbers)):
            block[:, place] = names.codes(batch.column(name))
        self._few_values()
        block.tofile(self.raw)
        self._short(batch)
        self.rows += len(batch)

    def _numbers(self, name: str, column: pa.Array) -> Array:
        values: Array = pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        if np.isinf(values).any():
            row = self.rows + int(np.flatnonzero(np.isinf(values))[0]) + 1
            raise UserError(
                f"{self.file}: column '{name}' is infinite in row {row:,}. Leave it empty where it is not known, or "
                f"leave the column out (--set data.drop=[{name}])."
            )
        return values

    def _few_values(self) -> None:
        for name, names in self.categories.items():
            if len(names.number) > MANY and len(names.number) > SPARSE * self.rows:
                raise self._own_values(name)

    def _own_values(self, name: str) -> UserError:
        example = next(iter(self.categories[name].number))[:60]
        return UserError(
            f"{self.file}: column '{name}' has a value of its own in most rows, such as '{example}': a key or text. "
            f"Leave it out (--set data.drop=[{name}]), or put an embedding of the text in columns of numbers."
        )

    def _short(self, batch: pa.RecordBatch) -> None:
        roles = self.roles
        labels = self.label.codes(batch.column(roles.label))
        if (labels < 0).any():
            raise self._missing("label", roles.label, labels < 0)
        self.short["label"].append(labels)
        if roles.time is not None and roles.time != ROW:
            times, self.calendar = seconds(batch.column(roles.time), roles.time, self.file)
            unknown = times == calendar.MISSING if self.calendar else np.isnan(times)
            if unknown.any():
                raise self._missing("time", roles.time, unknown)
            self.short["time"].append(times)
        if roles.split is not None:
            self.short["split"].append(self.split.codes(batch.column(roles.split)))
        if roles.group:
            groups = self.group.codes(_group(batch, roles.group))
            if (groups < 0).any():
                raise self._missing("group", roles.group[0], groups < 0)
            self.short["group"].append(groups)

    def _missing(self, what: str, name: str, where: Array) -> UserError:
        row = self.rows + int(np.flatnonzero(where)[0]) + 1
        return UserError(
            f"{self.file}: the {what} (column '{name}') is missing in row {row:,}. Remove such rows, or name another "
            f"column with --set data.{what}=…."
        )

    def finished(self) -> Raw:
        """Return what was read, in order of time."""
        if self.rows == 0:
            raise UserError(f"{self.file} has no rows. Give a table with a header and rows.")
        for name, names in self.categories.items():
            if len(names.number) > max(SPARSE * self.rows, 1):
                raise self._own_values(name)
        classes, labels = self._classes()
        rows: Array = np.memmap(self.room / "rows", np.float32, "r", shape=(self.rows, self.width))
        times = self._joined("time")
        if times is not None and (np.diff(times) < 0).any():
            order = np.argsort(times, kind="stable")
            rows, labels, times = self._sorted(rows, order), labels[order], times[order]
            groups, split = (None if one is None else one[order] for one in map(self._joined, ("group", "split")))
        else:
            groups, split = self._joined("group"), self._joined("split")
        if self.roles.time == ROW:
            times = np.arange(self.rows, dtype=np.float64)
        rows, added = calendar.with_features(rows, times if self.calendar else None, self.room, len(self.roles.numbers))
        whole = Part(rows, labels, times, groups, None if times is None else np.append(-1, labels[:-1]))
        train, test = self._divided(whole, split)
        columns = Columns(
            [*self.roles.numbers, *added],
            self.roles.categories,
            self.roles.label,
            self.roles.time,
            " or ".join(self.roles.group) or None,
        )
        return Raw(
            train,
            test,
            classes,
            None,
            columns=columns,
            groups=[*self.group.number] if self.roles.group else None,
            calendar=self.calendar,
        )

    def _joined(self, name: str) -> Array | None:
        found = self.short[name]
        return np.concatenate(found) if found else None

    def _classes(self) -> tuple[list[str], Array]:
        """Class names in order, by number where they are numbers, and labels as places among them."""
        names, labels = [*self.label.number], np.concatenate(self.short["label"])
        column = self.roles.label
        if len(names) < 2:
            raise UserError(f"{self.file}: every row has the label '{names[0]}' (column '{column}'). Name another.")
        if len(names) > max(1000, SPARSE * self.rows) or len(names) > SPARSE * self.rows > 10:
            raise UserError(
                f"{self.file}: the label (column '{column}') has {len(names):,} different values in {self.rows:,} "
                "rows. clbench tells classes apart: name another column with --set data.label=…, or make classes of it."
            )
        try:
            order = sorted(names, key=float)
        except ValueError:
            order = sorted(names)
        place = {name: index for index, name in enumerate(order)}
        return order, np.array([place[name] for name in names])[labels]

    def _sorted(self, rows: Array, order: Array) -> Array:
        """Rows in order of time, and categories numbered as they come in it."""
        out: Array = np.memmap(self.room / "sorted", np.float32, "w+", shape=rows.shape)
        for start in range(0, len(order), 1 << 16):
            out[start : start + (1 << 16)] = rows[order[start : start + (1 << 16)]]
        for place in range(len(self.roles.numbers), self.width):
            codes = out[:, place].astype(np.int64)
            values, first = np.unique(codes, return_index=True)
            values = values[np.argsort(first)]
            number = np.zeros(int(codes.max()) + 1, np.float32)
            present = values[values > 0]
            number[present] = np.arange(1, len(present) + 1)
            out[:, place] = number[codes]
        return out

    def _divided(self, whole: Part, split: Array | None) -> tuple[Part, Part | None]:
        """Training and test rows as the table's own column says, or all rows, undivided."""
        if split is None:
            return whole, None
        wrong = [name for name in self.split.number if name.lower() not in NAMES_OF_PARTS]
        if wrong:
            raise UserError(
                f"{self.file}: column '{self.roles.split}' says '{wrong[0]}'; expected {', '.join(NAMES_OF_PARTS)}. "
                "Name another column with --set data.split=…."
            )
        test = np.array([NAMES_OF_PARTS[name.lower()] for name in self.split.number])[split] == 1
        if test.all() or not test.any():
            raise UserError(f"{self.file}: column '{self.roles.split}' puts all rows in one part. Name another.")
        train, held_out = (
            Part(
                whole.samples[chosen],
                whole.labels[chosen],
                None if whole.times is None else whole.times[chosen],
                None if whole.groups is None else whole.groups[chosen],
                None if whole.previous is None else whole.previous[chosen],
            )
            for chosen in (~test, test)
        )
        return train, held_out


def _group(batch: pa.RecordBatch, columns: list[str]) -> pa.Array:
    """The group of each row: a column's value, or which of several 0/1 columns is 1."""
    if len(columns) == 1:
        return pc.cast(batch.column(columns[0]), pa.string())
    ones = np.column_stack(
        [pc.cast(batch.column(name), pa.float64()).to_numpy(zero_copy_only=False) for name in columns]
    )
    return pa.array([columns[place] for place in ones.argmax(1)])
