"""A table's columns as samples: numbers and the numbers of names, block by block."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clbench.data import calendar
from clbench.data.dataset import Array
from clbench.data.parts import SPARSE
from clbench.errors import UserError

MANY = 100_000  # values of a category from which most rows must share them


class Names:
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


class Numbers:
    """Rows of float32: first numbers, NaN where one is missing, then the number of each category's value."""

    dtype = np.float32

    def __init__(self, file: Path, numbers: list[str], categories: list[str]) -> None:
        self.file = file
        self.numbers = numbers
        self.categories = {name: Names(1) for name in categories}
        self.shape = (len(numbers) + len(categories),)

    def block(self, batch: pa.RecordBatch, before: int) -> Array:
        """Return a batch of rows, float32 [n, columns], ``before`` of which have been read."""
        block = np.empty((len(batch), *self.shape), np.float32)
        for place, name in enumerate(self.numbers):
            block[:, place] = self._numbers(name, batch.column(name), before)
        for place, (name, names) in enumerate(self.categories.items(), start=len(self.numbers)):
            block[:, place] = names.codes(batch.column(name))
            if len(names.number) > MANY and len(names.number) > SPARSE * before:
                raise self._own_values(name)
        return block

    def _numbers(self, name: str, column: pa.Array, before: int) -> Array:
        values: Array = pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        if np.isinf(values).any():
            row = before + int(np.flatnonzero(np.isinf(values))[0]) + 1
            raise UserError(
                f"{self.file}: column '{name}' is infinite in row {row:,}. Leave it empty where it is not known, or "
                f"leave the column out (--set data.drop=[{name}])."
            )
        return values

    def _own_values(self, name: str) -> UserError:
        example = next(iter(self.categories[name].number))[:60]
        return UserError(
            f"{self.file}: column '{name}' has a value of its own in most rows, such as '{example}': a key or text. "
            f"Leave it out (--set data.drop=[{name}]), or put an embedding of the text in columns of numbers."
        )

    def read(self, rows: Array) -> Array:
        """Return all rows, as they were read; UserError for a category that has a value of its own in most."""
        for name, names in self.categories.items():
            if len(names.number) > max(SPARSE * len(rows), 1):
                raise self._own_values(name)
        return rows

    def in_time(self, rows: Array) -> None:
        """Number categories as they come in ``rows``, which have been put in order of time."""
        for place in range(len(self.numbers), *self.shape):
            codes = rows[:, place].astype(np.int64)
            values, first = np.unique(codes, return_index=True)
            values = values[np.argsort(first)]
            number = np.zeros(int(codes.max()) + 1, np.float32)
            present = values[values > 0]
            number[present] = np.arange(1, len(present) + 1)
            rows[:, place] = number[codes]

    def dated(self, rows: Array, times: Array | None, room: Path) -> tuple[Array, list[str]]:
        """Return rows with what their dates tell, and the names of the columns of numbers."""
        rows, added = calendar.with_features(rows, times, room, len(self.numbers))
        return rows, [*self.numbers, *added]
