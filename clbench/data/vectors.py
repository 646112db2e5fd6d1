"""Columns of vectors: ``v``, whose cells are lists of equal length, is columns of numbers ``v[0]``, ``v[1]``, …."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clbench.data.dataset import Array
from clbench.errors import UserError


def named(column: str, length: int) -> list[str]:
    """Return the names of a column's positions."""
    return [f"{column}[{place}]" for place in range(length)]


def spelt_out(said: Mapping[str, Any], columns: Iterable[str]) -> dict[str, Any]:
    """Return what is said of columns, where the name of a column of vectors stands for all its positions."""
    known, out = [*columns], dict(said)
    for key in ("features", "drop"):
        lists = [
            [one] if one in known else [name for name in known if name.startswith(f"{one}[")] or [one]
            for one in said.get(key, [])
        ]
        if key in said:
            out[key] = [name for names in lists for name in names]
    return out


def are_lists(type_: pa.DataType) -> bool:
    """Say whether cells are lists of numbers whose length the type does not tell."""
    return (pa.types.is_list(type_) or pa.types.is_large_list(type_)) and _is_number(type_.value_type)


def length_of(field: pa.Field, first: pa.RecordBatch | None) -> int | None:
    """Return how many numbers a cell has, by the type or by the ``first`` rows; None where cells are no vectors."""
    if pa.types.is_fixed_size_list(field.type) and _is_number(field.type.value_type):
        return int(field.type.list_size)
    if first is None or not are_lists(field.type):
        return None
    lengths = pc.drop_null(pc.list_value_length(first.column(field.name)))
    return int(lengths[0].as_py()) if len(lengths) else 0


def _is_number(type_: pa.DataType) -> bool:
    return bool(pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_boolean(type_))


class Columns:
    """Columns by name, positions of vectors among them; ``stored`` are those of the file that hold them."""

    def __init__(self, wanted: list[str], known: list[str], file: Path) -> None:
        self.file = file
        self._places = {name: (name, None) if name in known else _taken_apart(name) for name in wanted}
        self.stored = list(dict.fromkeys(column for column, _ in self._places.values()))
        self._lengths: dict[str, int] = {}

    def of(self, batch: pa.RecordBatch) -> dict[str, pa.Array]:
        """Return the wanted columns of a batch; UserError if lists differ in length."""
        vectors = {
            column: self._matrix(batch.column(column), column)
            for column in dict.fromkeys(column for column, place in self._places.values() if place is not None)
        }
        return {
            name: batch.column(column) if place is None else pa.array(vectors[column][:, place])
            for name, (column, place) in self._places.items()
        }

    def _wanted(self, name: str) -> int:
        return 1 + max(place for column, place in self._places.values() if column == name and place is not None)

    def _matrix(self, column: pa.Array, name: str) -> Array:
        """Vectors as float64 [n, length], NaN where there is none."""
        there = column.is_valid().to_numpy(zero_copy_only=False)
        lengths = pc.drop_null(pc.list_value_length(column)).to_numpy(zero_copy_only=False)
        length = self._lengths.setdefault(name, int(lengths[0])) if len(lengths) else self._wanted(name)
        if (lengths != length).any():
            raise UserError(
                f"{self.file}: column '{name}' holds lists of {length} numbers, and in a later row one of "
                f"{lengths[lengths != length][0]}. Make them equally long, or leave the column out (--set "
                f"data.drop=[{name}])."
            )
        out = np.full((len(column), length), np.nan)
        out[there] = pc.cast(column.flatten(), pa.float64()).to_numpy(zero_copy_only=False).reshape(-1, length)
        return out


def _taken_apart(name: str) -> tuple[str, int | None]:
    """The column and position that ``v[3]`` means."""
    found = re.fullmatch(r"(.*)\[(\d+)\]", name, re.DOTALL)
    return (found.group(1), int(found.group(2))) if found else (name, None)
