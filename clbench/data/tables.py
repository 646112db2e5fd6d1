"""Tables on disk as rows of float32, or as images: read in chunks, so that no table has to fit in memory."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clbench.data import calendar, huggingface, parts, vectors
from clbench.data.arrow import batches, kinds_of, seconds
from clbench.data.blocks import Names, Numbers
from clbench.data.dataset import Array, Columns, Part, Raw
from clbench.data.description import ROW, Kind, Roles, roles
from clbench.data.folder import FILES, list_of
from clbench.data.pictures import Pictures
from clbench.errors import Remark, UserError


def read_table(
    file: Path, said: Mapping[str, Any], room: Path, guess: bool = True, image_size: int | None = None
) -> Raw:
    """Read a CSV, Parquet or Arrow file, or a folder of a Hugging Face dataset; big arrays are kept in ``room``.

    Rows are put in order of time. A column of images makes an image set. ``guess``: say what was guessed (Remark).
    Raises UserError for what cannot be a dataset: no such column, labels or times that are missing or cannot be read,
    infinite numbers, one class.
    """
    kinds = kinds_of(file)
    images = image_column(kinds, said, file)
    if images is not None:
        folder = file if file.is_dir() else file.parent
        return _read_images(file, kinds, said, room, guess, Pictures(file, images, folder, image_size))
    found = roles(kinds, vectors.spelt_out(said, kinds), file)
    what = f"{len(found.numbers)} numbers and {len(found.categories)} categories"
    return _read(file, found, room, Numbers(file, found.numbers, found.categories), what if guess else None)


def read_list(folder: Path, said: Mapping[str, Any], room: Path, guess: bool, image_size: int | None) -> Raw:
    """Read images with a list beside them, which says each one's file, label, and perhaps time, group and part."""
    file = list_of(folder)
    assert file is not None
    kinds = kinds_of(file)
    column = next((name for one in FILES for name in kinds if name.lower() == one), None)
    if column is None:
        raise UserError(
            f"{file} has no column that names the images' files. Call it {', '.join(FILES)}. Its columns are "
            f"{', '.join(kinds)}."
        )
    return _read_images(file, kinds, said, room, guess, Pictures(file, column, folder, image_size))


def _read_images(
    file: Path, kinds: Mapping[str, Kind], said: Mapping[str, Any], room: Path, guess: bool, images: Pictures
) -> Raw:
    """Read images with what stands beside them. Their column comes first, so that it is not taken for the label."""
    shown: dict[str, Kind] = {images.column: "number"}
    others = {name: kind for name, kind in kinds.items() if name != images.column}
    found = roles(shown | others, {**said, "features": [images.column]}, file)
    found = replace(found, numbers=[], dates=[], images=images.column)
    return _read(file, found, room, images, f"images in column {images.column}" if guess else None)


def _read(file: Path, found: Roles, room: Path, samples: Numbers | Pictures, what: str | None) -> Raw:
    """Read all rows; ``what`` they are, in words, if it is to be told."""
    if found.guessed and what:
        _tell(
            f"{file.name} is read with {', '.join(found.guessed)}, {what}. Say otherwise with --set data.label=… and "
            "the like; 'clbench data describe' shows more."
        )
    if file.is_dir() and (left := huggingface.left_out(file)):
        _tell(left)
    if found.dates:
        _tell(f"{file.name}: dates in {', '.join(found.dates)} are left out; name one with --set data.time=….")
    with (room / "rows").open("wb") as raw:
        reading = _Reading(file, found, room, samples, raw)
        for batch in batches(file, found):
            reading.add(batch)
    return reading.finished()


def _tell(remark: str) -> None:
    warnings.warn(Remark(remark), stacklevel=3)


def image_column(kinds: Mapping[str, Kind], said: Mapping[str, Any], file: Path) -> str | None:
    """Return the column of images, if there is one that has not been left out; UserError if there are several."""
    wanted = [one for one in said.get("features", kinds) if one not in said.get("drop", [])]
    found = [one for one in wanted if kinds.get(one) == "image"]
    if len(found) > 1 or (found and "features" in said and len(wanted) > 1):
        raise UserError(
            f"{file}: images in {', '.join(found)} cannot be put beside other columns. Name one column with --set "
            f"data.features=[{found[0]}]."
        )
    return found[0] if found else None


class _Reading:
    """What has been read of a table: samples in a file, and short columns in memory."""

    def __init__(self, file: Path, roles: Roles, room: Path, samples: Numbers | Pictures, raw: BinaryIO) -> None:
        self.file, self.roles, self.room, self.samples, self.raw = file, roles, room, samples, raw
        self.rows = 0
        self.label, self.split, self.group = Names(0), Names(0), Names(0)
        self.short: dict[str, list[Array]] = {"label": [], "time": [], "split": [], "group": []}
        self.calendar = False

    def add(self, batch: pa.RecordBatch) -> None:
        """Take in a batch of rows."""
        self.samples.block(batch, self.rows).tofile(self.raw)
        self._short(batch)
        self.rows += len(batch)

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
        shape = (self.rows, *self.samples.shape)
        rows = self.samples.read(np.memmap(self.room / "rows", self.samples.dtype, "r", shape=shape))
        classes, labels = self._classes()
        times = np.arange(self.rows, dtype=np.float64) if self.roles.time == ROW else self._joined("time")
        whole, test = Part(rows, labels, times, self._joined("group")), self._test()
        order = parts.time_order(times)
        if order is not None:
            whole, test = parts.chosen(whole, order, self.room), None if test is None else test[order]
            self.samples.in_time(whole.samples)
        rows, numbers = self.samples.dated(whole.samples, whole.times if self.calendar else None, self.room)
        whole = parts.with_previous(Part(rows, whole.labels, whole.times, whole.groups))
        train, held_out = parts.divided(whole, test, self.room)
        roles = self.roles
        group = " or ".join(roles.group) or None
        columns = None if numbers is None else Columns(numbers, roles.categories, roles.label, roles.time, group)
        return Raw(
            train,
            held_out,
            classes,
            None,
            columns=columns,
            groups=[*self.group.number] if group else None,
            calendar=self.calendar,
        )

    def _joined(self, name: str) -> Array | None:
        found = self.short[name]
        return np.concatenate(found) if found else None

    def _classes(self) -> tuple[list[str], Array]:
        """Class names in order, and labels as places among them."""
        names, labels = [*self.label.number], np.concatenate(self.short["label"])
        label = f"{self.file}: the label (column '{self.roles.label}')"
        parts.check_classes(len(names), self.rows, names[0], label, "Name another column with --set data.label=…")
        order = parts.in_order(names)
        place = {name: index for index, name in enumerate(order)}
        return order, np.array([place[name] for name in names])[labels]

    def _test(self) -> Array | None:
        """Which rows are test rows, if a column says so."""
        split = self._joined("split")
        said = f"{self.file}: column '{self.roles.split}'"
        otherwise = "Name another column with --set data.split=…"
        return None if split is None else parts.tested([*self.split.number], split, said, otherwise)


def _group(batch: pa.RecordBatch, columns: list[str]) -> pa.Array:
    """The group of each row: a column's value, or which of several 0/1 columns is 1."""
    if len(columns) == 1:
        return pc.cast(batch.column(columns[0]), pa.string())
    ones = np.column_stack(
        [pc.cast(batch.column(name), pa.float64()).to_numpy(zero_copy_only=False) for name in columns]
    )
    return pa.array([columns[place] for place in ones.argmax(1)])
