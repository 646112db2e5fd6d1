"""A user's own data: what lies at a path, or under the data root by its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from clbench.data import folder as image_folder
from clbench.data.dataset import Part, Raw
from clbench.data.description import beside
from clbench.data.sources import DataPlace, Found
from clbench.errors import UserError

TABLES = (".csv", ".csv.gz", ".tsv", ".parquet", ".feather", ".arrow")
ARRAYS = (".npz", ".npy")
TYPED = (".parquet", ".feather", ".arrow")  # tables that may have a column of images
Kind = Literal["table", "arrays", "datasets folder", "image folder"]


@dataclass(frozen=True)
class Own:
    """Data on disk, and as what they can be read."""

    path: Path
    kind: Kind

    def has_images(self, said: Mapping[str, Any]) -> bool:
        """Say whether samples are images, as far as a look at the file tells."""
        if self.kind == "arrays":
            from clbench.data.array_files import holds_images

            return holds_images(self.path, said)
        if self.kind == "datasets folder" or self.path.name.endswith(TYPED):
            from clbench.data.arrow import kinds_of
            from clbench.data.tables import image_column

            return image_column(kinds_of(self.path), said, self.path) is not None
        return self.kind == "image folder"

    def found(self, said: Mapping[str, Any], image_size: int | None, known: Mapping[str, Any] | None = None) -> Found:
        """Return how to read it, with a stamp that changes with its files and with what is said of them.

        ``said``: options of ``data``; a YAML file beside the data says others. ``known``: those of a named dataset; of
        any other people are told what nobody has said.
        """
        said = {**(known or {}), **beside(self.path), **said}
        return Found(self.kind, self._stamp(said), lambda room: self._read(said, room, image_size, known is None))

    def _stamp(self, said: Mapping[str, Any]) -> str:
        if self.kind == "image folder":
            told = f";{sorted(said.items())}" if image_folder.layout(self.path) == "listed" else ""
            return image_folder.folder_stamp(self.path) + told
        if self.kind == "datasets folder":
            from clbench.data import huggingface

            return f"{huggingface.stamp(self.path)}:{sorted(said.items())}"
        files = [self.path]
        if self.path.suffix == ".npy":
            from clbench.data.array_files import labels_of

            files += [labels] if (labels := labels_of(self.path, said)) else []
        sizes = [f"{file.name}:{file.stat().st_size}:{file.stat().st_mtime_ns}" for file in files]
        return f"{':'.join(sizes)}:{sorted(said.items())}"

    def _read(self, said: Mapping[str, Any], room: Path, image_size: int | None, guess: bool) -> Raw:
        if self.kind == "image folder":
            return _read_images(self.path, said, room, image_size, guess)
        if self.kind == "arrays":
            from clbench.data.array_files import read_arrays

            return read_arrays(self.path, said, room, guess)
        from clbench.data.tables import read_table

        return read_table(self.path, said, room, guess, image_size)


def _read_images(folder: Path, said: Mapping[str, Any], room: Path, image_size: int | None, guess: bool) -> Raw:
    if image_folder.layout(folder) == "listed":
        from clbench.data.tables import read_list

        return read_list(folder, said, room, guess, image_size)
    train, test, classes = image_folder.read_folder(folder, image_size)
    # Re-encoded or hand-made images are never the official bytes.
    return Raw(Part(*train), None if test is None else Part(*test), classes, official=False)


def at(path: Path) -> Own | None:
    """Return what lies at a path; None if there is nothing. Raises UserError if it cannot be read as anything."""
    if path.is_file():
        if path.name.endswith(TABLES):
            return Own(path, "table")
        if path.name.endswith(ARRAYS):
            return Own(path, "arrays")
        raise UserError(f"data.path: {path} is none of {', '.join((*TABLES, *ARRAYS))} and no folder. Convert it.")
    if not path.is_dir():
        return None
    own = _folder(path)
    if own is None:
        raise UserError(
            f"data.path: the folder {path} is no image folder ({{train,test}}/<class>/, <class>/, or images with "
            f"{' or '.join(image_folder.LISTS)}) and no Hugging Face dataset (save_to_disk). Name a file in it?"
        )
    return own


def _folder(path: Path) -> Own | None:
    if (path / "state.json").is_file() or (path / "dataset_dict.json").is_file():
        return Own(path, "datasets folder")
    return Own(path, "image folder") if image_folder.is_image_folder(path) else None


def under(name: str, place: DataPlace) -> Own | None:
    """Return a dataset by its name under the data root or its ``tables``: a folder, a table or arrays."""
    for root in (place.root, place.root / "tables"):
        own = _folder(root / name) if (root / name).is_dir() else None
        files = [root / f"{name}{suffix}" for suffix in (*TABLES, *ARRAYS)]
        own = own or next((at(file) for file in files if file.is_file()), None)
        if own is not None:
            return own
    return None


def table_of(name: str, place: DataPlace, said: Mapping[str, Any]) -> Path | None:
    """Return the file or folder of a user's table, by its path or its name; None if it is no table."""
    mine = at(Path(said["path"]).expanduser()) if "path" in said else under(name, place)
    return mine.path if mine is not None and mine.kind in ("table", "datasets folder") else None


def all_under(place: DataPlace) -> dict[str, Own]:
    """Return all data under the data root or its ``tables`` by name, in order."""
    roots = [root for root in (place.root, place.root / "tables") if root.is_dir()]
    names = sorted({name for root in roots for child in root.iterdir() if (name := _name(child)) is not None})
    return {name: mine for name in names if (mine := under(name, place)) is not None}


def _name(child: Path) -> str | None:
    if child.is_dir():
        return child.name if _folder(child) else None
    suffix = next((suffix for suffix in (*TABLES, *ARRAYS) if child.name.endswith(suffix)), None)
    if suffix is None or child.stem.endswith(("_labels", "-labels")):
        return None
    return child.name.removesuffix(suffix)
