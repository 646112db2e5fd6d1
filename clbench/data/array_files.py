"""Arrays on disk: one ``.npz`` file, or ``name.npy`` with its labels in ``name_labels.npy``. No pickle is ever read."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from clbench.data.arrays import raw_of_arrays
from clbench.data.dataset import Array, Raw
from clbench.data.description import ROW
from clbench.errors import Remark, UserError

# How arrays are often called; in lower case, without _ and -. The first that is there counts.
SPELLINGS = {
    "x": ("x", "xtrain", "trainx", "images", "trainimages", "features", "embeddings", "data", "samples"),
    "y": ("y", "ytrain", "trainy", "labels", "trainlabels", "targets", "target", "label"),
    "x_test": ("xtest", "testx", "testimages", "testfeatures", "testdata"),
    "y_test": ("ytest", "testy", "testlabels", "testtargets"),
    "times": ("time", "times", "date", "dates", "timestamp", "timestamps"),
    "groups": ("group", "groups", "domain", "domains"),
    "split": ("split", "fold"),
    "classes": ("classes", "classnames"),
}
ABOUT = "about"  # what 'clbench data embed' says of its features
OPTIONS = {"label": "y", "time": "times", "group": "groups", "split": "split"}  # of ``data``: which array it names
LABELS = ("_labels", "-labels")  # behind a file's name


def read_arrays(file: Path, said: Mapping[str, Any], room: Path, guess: bool = True) -> Raw:
    """Read a dataset's arrays; they are unpacked into the folder ``room`` and stay on the disk.

    ``guess``: say which arrays were left (Remark). Raises UserError for a file that is damaged, has no x and y, or
    holds what cannot be a dataset.
    """
    for key in ("features", "drop", "categories"):
        if key in said:
            raise UserError(f"data.{key}: {file.name} has no columns with names. Leave the option out.")
    found = _stacked(file, said) if file.suffix == ".npy" else _unpacked(file, said, room, guess)
    if said.get("time") == ROW:
        found["times"] = np.arange(len(found["x"]))
    names = found.pop("classes", None)
    try:
        raw = raw_of_arrays(**found, codes=bool(said.get("codes")), room=room)
    except UserError as error:
        raise UserError(f"{file}: {error}") from None
    return raw if names is None else replace(raw, classes=_named(raw.classes, names, file))


def _named(numbers: list[str], names: Array, file: Path) -> list[str]:
    """The names of classes whose labels are places among ``names``."""
    try:
        return [str(names[int(number)]) for number in numbers]
    except (ValueError, IndexError):
        raise UserError(
            f"{file}: the array 'classes' has {len(names)} names, and y is no place among them. Leave it out."
        ) from None


def holds_images(file: Path, said: Mapping[str, Any]) -> bool:
    """Say whether the samples of a file are images, by its header; False if it cannot be read."""
    if said.get("codes"):
        return False
    try:
        if file.suffix == ".npy":
            x = np.load(file, mmap_mode="r", allow_pickle=False)
            return x.dtype == np.uint8 and x.ndim in (3, 4)
        with zipfile.ZipFile(file) as archive, archive.open(f"{_found(archive, said)['x']}.npy") as stream:
            read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            shape, _, dtype = read[np.lib.format.read_magic(stream)](stream)
            return dtype == np.uint8 and len(shape) in (3, 4)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return False


def labels_of(file: Path, said: Mapping[str, Any]) -> Path | None:
    """Return the file that holds the labels of a ``.npy`` file, or None."""
    if said.get("label"):
        named = file.parent / said["label"]
        return named if named.is_file() else None
    return next((other for end in LABELS if (other := file.with_name(f"{file.stem}{end}.npy")).is_file()), None)


def _stacked(file: Path, said: Mapping[str, Any]) -> dict[str, Any]:
    """Samples and labels of two .npy files."""
    labels = labels_of(file, said)
    if labels is None:
        raise UserError(
            f"{file} has no labels: put them in {file.stem}_labels.npy beside it, name a file with --set data.label=…, "
            "or put x and y in one .npz (numpy.savez)."
        )
    return {"x": _array(file, "x"), "y": _array(labels, "y")}


def _unpacked(file: Path, said: Mapping[str, Any], room: Path, guess: bool) -> dict[str, Any]:
    """The arrays of a .npz file by their part, memory-mapped."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = _found(archive, said)
            held = ", ".join(_names(archive)) or "nothing"
            for key in ("x", "y"):
                if key not in names:
                    raise UserError(
                        f"{file} holds {held}, and no '{key}'. Save x and y (numpy.savez), or x_train, y_train, …."
                    )
            unread = [one for one in _names(archive) if one not in (*names.values(), ABOUT)]
            for name in names.values():
                archive.extract(f"{name}.npy", room)
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise UserError(f"{file} is damaged or no .npz file ({error}). Save it anew with numpy.savez.") from None
    if guess and unread:
        warnings.warn(Remark(f"{file.name}: the arrays {', '.join(unread)} are not read."), stacklevel=3)
    return {key: _array(room / f"{name}.npy", name) for key, name in names.items()}


def _names(archive: zipfile.ZipFile) -> list[str]:
    return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]


def _found(archive: zipfile.ZipFile, said: Mapping[str, Any]) -> dict[str, str]:
    """The name of each array that is there: as it is said, else as it is often spelt."""
    plain = {name.lower().replace("_", "").replace("-", ""): name for name in reversed(_names(archive))}
    found = {}
    for key, spellings in SPELLINGS.items():
        name = next((plain[one] for one in spellings if one in plain), None)
        if name is not None:
            found[key] = name
    for option, key in OPTIONS.items():
        name = said.get(option)
        if isinstance(name, str) and not (option == "time" and name == ROW):
            if name not in _names(archive):
                raise UserError(
                    f"data.{option}: {archive.filename} has no array '{name}'. It holds {', '.join(_names(archive))}."
                )
            found[key] = name
    return found


def _array(file: Path, name: str) -> Array:
    try:
        found: Array = np.load(file, mmap_mode="r", allow_pickle=False)
        return found
    except ValueError as error:
        holds_objects = "Python objects" in str(error) or "allow_pickle" in str(error)
        what = "holds Python objects, which are never read" if holds_objects else f"cannot be read ({error})"
        raise UserError(f"The array '{name}' {what}. Save numbers, dates or text (dtype '<U…').") from None
