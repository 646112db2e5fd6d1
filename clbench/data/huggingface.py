"""A Hugging Face dataset as ``save_to_disk`` leaves it: a folder of Arrow streams, one such folder for each split.

``state.json`` names the files, ``dataset_info.json`` the features, ``dataset_dict.json`` the splits
(https://huggingface.co/docs/datasets). The package itself is not needed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import ipc

from clbench.data.parts import NAMES_OF_PARTS
from clbench.errors import UserError

STATE, SPLITS, INFO = "state.json", "dataset_dict.json", "dataset_info.json"
SPLIT = "split"  # the column that says which split a row is of


def is_saved(folder: Path) -> bool:
    """Say whether a folder is one that ``save_to_disk`` left."""
    return (folder / STATE).is_file() or (folder / SPLITS).is_file()


def stamp(folder: Path) -> str:
    """Return a text that changes when the files do."""
    found = [file for one in _folders(folder).values() for file in [one / INFO, *_files(one)] if file.is_file()]
    return ";".join(f"{file.name}:{file.stat().st_size}:{file.stat().st_mtime_ns}" for file in found)


def schema(folder: Path) -> pa.Schema:
    """Return the columns: class labels by their names, and one that says the split where there are several."""
    folders = _folders(folder)
    found = _used(folders)
    first = folders[found[0]]
    with pa.memory_map(str(_files(first)[0])) as source:
        fields = ipc.open_stream(source).schema
    names = _class_names(first)
    typed = [pa.field(one.name, pa.string()) if one.name in names else one for one in fields]
    return pa.schema([*typed, *([pa.field(SPLIT, pa.string())] if len(found) > 1 else [])])


def batches(folder: Path) -> Iterator[pa.RecordBatch]:
    """Yield the rows of all files, one split after the other."""
    folders = _folders(folder)
    found = _used(folders)
    for split in found:
        names = _class_names(folders[split])
        for file in _files(folders[split]):
            with pa.memory_map(str(file)) as source:
                for batch in ipc.open_stream(source):
                    yield _named(batch, names, split if len(found) > 1 else None, file)


def _named(batch: pa.RecordBatch, names: dict[str, list[str]], split: str | None, file: Path) -> pa.RecordBatch:
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    for column, known in names.items():
        codes = pc.cast(columns[column], pa.int64())
        wrong = pc.or_(pc.less(codes, -1), pc.greater_equal(codes, len(known)))
        if pc.any(wrong).as_py():
            raise UserError(
                f"{file}: column '{column}' has a number that is none of its {len(known)} classes. Save it anew."
            )
        # −1 is how the package says that a label is not known
        columns[column] = pa.array(known, pa.string()).take(pc.if_else(pc.equal(codes, -1), None, codes))
    if split is not None:
        columns[SPLIT] = pa.array(np.full(len(batch), split), pa.string())
    return pa.RecordBatch.from_arrays([*columns.values()], names=[*columns])


def _folders(folder: Path) -> dict[str, Path]:
    """The folder of each split, or the only one."""
    if not (folder / SPLITS).is_file():
        return {"train": folder}
    return {name: folder / name for name in _read(folder / SPLITS)["splits"]}


def _used(folders: dict[str, Path]) -> list[str]:
    """The splits that are read: training and test; validation where there is no test; any one that is alone."""
    train, test = ([name for name in folders if NAMES_OF_PARTS.get(name.lower()) == part] for part in (0, 1))
    return [*train[:1], *sorted(test)[:1]] if train and test else [*train, *test, *folders][:1]


def left_out(folder: Path) -> str | None:
    """Return which splits are not read, in words; None if all are."""
    folders = _folders(folder)
    used = _used(folders)
    left = [name for name in folders if name not in used]
    return f"{folder.name} is read from {' and '.join(used)}; {', '.join(left)} left out." if left else None


def _files(folder: Path) -> list[Path]:
    files = [folder / str(one["filename"]) for one in _read(folder / STATE).get("_data_files", [])]
    missing = [file for file in files if not file.is_file()]
    if missing or not files:
        raise UserError(f"{folder}: {missing[0].name if missing else 'every file'} is missing. Save the dataset anew.")
    return files


def _class_names(folder: Path) -> dict[str, list[str]]:
    """The names of classes by column."""
    features = _read(folder / INFO).get("features") or {}
    return {name: list(one["names"]) for name, one in features.items() if _is_class(one)}


def _is_class(feature: Any) -> bool:
    return isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and bool(feature.get("names"))


def _read(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read ({error}). Save the dataset anew with save_to_disk.") from None
