"""Data frames of a program as a dataset: what a table on disk is, by the same rules."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import feather

from clbench.data.dataset import Array, Part, Raw
from clbench.data.tables import read_table
from clbench.errors import UserError, in_words

SHOWN = "x"  # what errors call the table


def table_of(frame: Any, name: str) -> pa.Table:
    """Return a data frame of pandas, polars or Arrow as a table; categories become text, an index is no column.

    Raises UserError for columns that hold what Arrow has no type for, such as numbers and text.
    """
    try:
        if type(frame).__module__.partition(".")[0] == "pandas":
            return pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata()
        return frame.to_arrow() if hasattr(frame, "to_arrow") else pa.table(frame)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise UserError(
            f"{name}: the data frame cannot be read ({in_words(error)}). Give each column numbers, text or dates alone."
        ) from None


def joined(tables: Sequence[pa.Table]) -> pa.Table:
    """Return the rows of all tables; UserError if they have other columns."""
    names = tables[0].schema.names
    for table in tables[1:]:
        if sorted(table.schema.names) != sorted(names):
            other = sorted({*names} ^ {*table.schema.names})
            raise UserError(f"The data frames differ in their columns: {', '.join(other)}. Give the same to each.")
    same = [_without_codes(table.select(names)) for table in tables]
    return pa.concat_tables(same, promote_options="permissive")


def raw_of_table(table: pa.Table, of_rows: Mapping[str, Array | str]) -> Raw:
    """Return a table as a dataset's raw data, in memory.

    ``of_rows``: under 'label', and where there are any 'time', 'group' and 'split', an array with one entry a row, or
    the name of a column. What is said of tables in general holds: columns of text and of categories are categories,
    dates tell the time of the week and of the day where they are the time, an empty cell is missing.
    """
    coded = [field.name for field in table.schema if pa.types.is_dictionary(field.type)]
    named = [one for one in of_rows.values() if isinstance(one, str)]
    said: dict[str, Any] = {"categories": [name for name in coded if name not in named]}
    table = _without_codes(table)
    for key, one in of_rows.items():
        said[key] = one if isinstance(one, str) else _free(key, table.schema.names)
        if not isinstance(one, str):
            table = table.append_column(said[key], pa.array(one))
    with tempfile.TemporaryDirectory(prefix="clbench-") as room:
        file = Path(room) / SHOWN
        feather.write_feather(table, str(file), compression="uncompressed")
        try:
            raw = read_table(file, said, Path(room), guess=False)
        except UserError as error:
            raise UserError(str(error).replace(str(file), SHOWN)) from None
        return replace(raw, train=_in_memory(raw.train), test=None if raw.test is None else _in_memory(raw.test))


def _without_codes(table: pa.Table) -> pa.Table:
    """Categories as text: tables that are joined may number them differently."""
    for place, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            table = table.set_column(place, field.name, pc.cast(table.column(place), pa.string()))
    return table


def _free(name: str, taken: Sequence[str]) -> str:
    """A name that no column has."""
    while name in taken:
        name += "_"
    return name


def _in_memory(part: Part) -> Part:
    return replace(part, samples=np.array(part.samples))
