"""Tables as Arrow batches, with the type that each column's part asks for: CSV, Parquet, Feather, Arrow, and folders of
Hugging Face datasets.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, ipc, parquet

from clbench.data import calendar, huggingface, vectors
from clbench.data.dataset import Array
from clbench.data.description import ROW, Kind, Roles
from clbench.errors import UserError

BLOCK = 4 << 20  # bytes of CSV parsed together; Arrow reads several blocks ahead
ROWS = 1 << 16  # rows of other files, at most
CELLS = 1 << 23  # columns times rows of those
CANNOT = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError)


def kinds_of(file: Path) -> dict[str, Kind]:
    """Return what each column holds, by its first rows or by the file's own types; UserError if it is no table.

    A column of vectors ``v`` of equal length is columns of numbers ``v[0]``, ``v[1]``, ….
    """
    try:
        schema = _schema(file)
        lists = [one.name for one in schema if vectors.are_lists(one.type)]
        first = next(_opened(file, lists, {}, ROWS), None) if lists else None
    except (*CANNOT, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} cannot be read as a table: {_first_line(error)}. Check the file.") from None
    twice = [name for name, count in Counter(schema.names).items() if count > 1]
    if twice:
        raise UserError(f"{file} has {Counter(schema.names)[twice[0]]} columns named '{twice[0]}'. Rename them.")
    garbled = [one.name for one in schema if _is_csv(file) and pa.types.is_binary(one.type)]
    if garbled:
        raise UserError(f"{file}: the text of column '{garbled[0]}' is not UTF-8. Save the file as UTF-8.")
    kinds: dict[str, Kind] = {}
    for field in schema:
        length = vectors.length_of(field, first)
        kinds |= (
            {field.name: _kind(field.type)}
            if length is None
            else dict.fromkeys(vectors.named(field.name, length), "number")
        )
    return kinds


def batches(file: Path, roles: Roles) -> Iterator[pa.RecordBatch]:
    """Yield a table's rows: numbers as float64, names, labels and parts as text, times and images as they are."""
    wanted = _types(roles, file)
    rows = max(min(ROWS, CELLS // len(roles.used)), 1)
    try:
        columns = vectors.Columns(roles.used, _schema(file).names, file)
        for batch in _opened(file, columns.stored, wanted, rows):
            found = columns.of(batch)
            yield pa.RecordBatch.from_arrays(
                [_as(column, wanted.get(name)) for name, column in found.items()], names=[*found]
            )
    except CANNOT as error:
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


def _types(roles: Roles, file: Path) -> dict[str, pa.DataType]:
    """The type of every column but the time's and that of stored images."""
    numbers = dict.fromkeys(roles.numbers, pa.float64())
    names = [*roles.categories, roles.label, *([roles.split] if roles.split else [])]
    names += [roles.images] if roles.images and _is_csv(file) else []  # the names of their files
    groups = dict.fromkeys(roles.group, pa.string() if len(roles.group) == 1 else pa.float64())
    return {**numbers, **groups, **dict.fromkeys(names, pa.string())}


def _schema(file: Path) -> pa.Schema:
    if file.is_dir():
        return huggingface.schema(file)
    if _is_csv(file):
        with csv.open_csv(file, parse_options=_delimiter(file), convert_options=_nulls()) as reader:
            return reader.schema
    if file.name.endswith(".parquet"):
        return parquet.read_schema(file)
    with pa.memory_map(str(file)) as source:
        return _ipc(source).schema


def _opened(file: Path, columns: list[str], types: dict[str, pa.DataType], rows: int) -> Iterator[pa.RecordBatch]:
    """Batches of some columns, of so many rows at most where a file is not text."""
    if _is_csv(file):
        options = _nulls(column_types=types, include_columns=columns)
        blocks = csv.ReadOptions(block_size=BLOCK)
        with csv.open_csv(file, blocks, _delimiter(file), options) as reader:
            yield from reader
    elif file.name.endswith(".parquet"):
        # without these two Arrow holds in memory all that it has read
        with parquet.ParquetFile(file, memory_map=True, pre_buffer=False) as table:
            yield from table.iter_batches(rows, columns=columns)
    else:
        for batch in huggingface.batches(file) if file.is_dir() else _stored(file):
            chosen = batch.select(columns)
            yield from (chosen.slice(start, rows) for start in range(0, len(chosen), rows))


def _stored(file: Path) -> Iterator[pa.RecordBatch]:
    """The batches of an Arrow file or stream, as they were written."""
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
    if pa.types.is_timestamp(type_) or pa.types.is_date(type_):
        return "time"
    return "image" if _is_image(type_) else "other"


def _is_image(type_: pa.DataType) -> bool:
    """Whether cells are files: their bytes, or a structure that has these."""
    if pa.types.is_struct(type_):
        place = type_.get_field_index("bytes")
        return place >= 0 and _is_image(type_.field(place).type)
    return bool(pa.types.is_binary(type_) or pa.types.is_large_binary(type_))


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
