"""Table files as Arrow batches: CSV, Parquet, Feather and Arrow, with the type that each column's part asks for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, ipc, parquet

from clbench.data import calendar
from clbench.data.dataset import Array
from clbench.data.description import ROW, Kind, Roles
from clbench.errors import UserError

BLOCK = 16 << 20  # bytes of CSV parsed together
ROWS = 1 << 16  # rows of other files


def kinds_of(file: Path) -> dict[str, Kind]:
    """Return what each column holds, by its first rows or by the file's own types; UserError if it is no table."""
    try:
        schema = _schema(file)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} cannot be read as a table: {_first_line(error)}. Check the file.") from None
    twice = [name for name, count in Counter(schema.names).items() if count > 1]
    if twice:
        raise UserError(f"{file} has {Counter(schema.names)[twice[0]]} columns named '{twice[0]}'. Rename them.")
    return {field.name: _kind(field.type) for field in schema}


def batches(file: Path, roles: Roles) -> Iterator[pa.RecordBatch]:
    """Yield a table's rows: numbers as float64, names, labels and parts as text, times as they are."""
    wanted = _types(roles)
    try:
        for batch in _open(file, roles, wanted):
            columns = [_as(batch.column(name), wanted.get(name)) for name in roles.used]
            yield pa.RecordBatch.from_arrays(columns, names=roles.used)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise _told(file, roles, error) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} cannot be read as a table: {_first_line(error)}. Check the file.") from None


def seconds(column: pa.Array, name: str | None, file: Path) -> tuple[Array, bool]:
    """Return times as int64 seconds since 1970 and True, or plain numbers as float64 and False.

    Where there is none it is calendar.MISSING or NaN. Raises UserError if a column holds neither.
    """
    if pa.types.is_date(column.type):
        column = pc.cast(column, pa.timestamp("s"))
    if pa.types.is_timestamp(column.type):
        whole = pc.cast(pc.cast(column, pa.timestamp("s"), safe=False), pa.int64())
        return pc.fill_null(whole, calendar.MISSING).to_numpy(zero_copy_only=False), True
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False), False
    values = pc.drop_null(pc.cast(column, pa.string())).to_pylist()
    for value in values:
        try:
            np.datetime64(value)
        except ValueError:
            raise UserError(
                f"{file}: '{value}' in column '{name}' is no time. Expected ISO 8601 such as 2013-01-31 or "
                "2013-01-31T05:15 in every row, or numbers; or --set data.time=row if the rows are in order."
            ) from None
    times = np.array(
        [calendar.MISSING if one is None else _second(one) for one in pc.cast(column, pa.string()).to_pylist()]
    )
    return times, True


def _second(text: str) -> int:
    return int(np.datetime64(text).astype("datetime64[s]").astype(np.int64))


def _types(roles: Roles) -> dict[str, pa.DataType]:
    """The type of every column but the time's."""
    numbers = dict.fromkeys(roles.numbers, pa.float64())
    names = [*roles.categories, roles.label, *([roles.split] if roles.split else [])]
    groups = dict.fromkeys(roles.group, pa.string() if len(roles.group) == 1 else pa.float64())
    return {**numbers, **groups, **dict.fromkeys(names, pa.string())}


def _schema(file: Path) -> pa.Schema:
    if _is_csv(file):
        with csv.open_csv(file, parse_options=_delimiter(file), convert_options=_nulls()) as reader:
            return reader.schema
    if file.name.endswith(".parquet"):
        return parquet.read_schema(file)
    with pa.memory_map(str(file)) as source:
        return _ipc(source).schema


def _open(file: Path, roles: Roles, wanted: dict[str, pa.DataType]) -> Iterator[pa.RecordBatch]:
    if _is_csv(file):
        options = _nulls(column_types=wanted, include_columns=roles.used)
        blocks = csv.ReadOptions(block_size=BLOCK)
        with csv.open_csv(file, blocks, _delimiter(file), options) as reader:
            yield from reader
    elif file.name.endswith(".parquet"):
        with parquet.ParquetFile(file) as table:
            yield from table.iter_batches(ROWS, columns=roles.used)
    else:
        with pa.memory_map(str(file)) as source:
            opened = _ipc(source)
            if isinstance(opened, ipc.RecordBatchFileReader):
                yield from (opened.get_batch(place) for place in range(opened.num_record_batches))
            else:
                yield from opened


def _ipc(source: pa.MemoryMappedFile) -> ipc.RecordBatchFileReader | ipc.RecordBatchStreamReader:
    """An Arrow file, which Feather is too, or an Arrow stream."""
    try:
        return ipc.open_file(source)
    except pa.ArrowInvalid:
        source.seek(0)
        return ipc.open_stream(source)


def _is_csv(file: Path) -> bool:
    return file.name.endswith((".csv", ".csv.gz", ".tsv"))


def _delimiter(file: Path) -> csv.ParseOptions:
    return csv.ParseOptions(delimiter="\t" if file.name.endswith(".tsv") else ",")


def _nulls(**options: object) -> csv.ConvertOptions:
    return csv.ConvertOptions(strings_can_be_null=True, **options)


def _kind(type_: pa.DataType) -> Kind:
    if pa.types.is_dictionary(type_):
        return _kind(type_.value_type)
    if pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_):
        return "number"
    if pa.types.is_boolean(type_) or pa.types.is_null(type_):
        return "number"
    if pa.types.is_string(type_) or pa.types.is_large_string(type_):
        return "text"
    return "time" if pa.types.is_timestamp(type_) or pa.types.is_date(type_) else "other"


def _as(column: pa.Array, wanted: pa.DataType | None) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column if wanted is None or column.type == wanted else pc.cast(column, wanted, safe=False)


def _told(file: Path, roles: Roles, error: Exception) -> UserError:
    """What Arrow could not convert, with the column's name and what may be done."""
    said = _first_line(error)
    number = re.search(r"column #(\d+)", said)
    value = re.search(r"invalid value '(.*)'", said)
    if number is None or value is None:
        return UserError(f"{file} cannot be read as a table: {said}. Check the file.")
    name = _schema(file).names[int(number.group(1))]
    if name == roles.time:
        return UserError(
            f"{file}: '{value.group(1)}' in column '{name}' is no time. Expected ISO 8601 such as 2013-01-31 or "
            f"2013-01-31T05:15 in every row, or numbers; or --set data.time={ROW} if the rows are in order."
        )
    return UserError(
        f"{file}: column '{name}' holds numbers, and in a later row '{value.group(1)}'. If they are names: --set "
        f"data.categories=[{name}]; to leave the column out: --set data.drop=[{name}]."
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
