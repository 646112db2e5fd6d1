"""Decoded once, shared by all processes: a memory-mapped cache with a fingerprint.

One folder per dataset holds ``.npy`` files and ``meta.json``. It is written beside its final place and renamed,
so it is whole or absent; what does not match its own checksums is rebuilt.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from clbench.data import memory
from clbench.data.dataset import Array, Columns, Dataset, Part, Raw
from clbench.data.known import SOURCES
from clbench.data.parts import chunks
from clbench.data.sources import DataPlace, Found, locate
from clbench.errors import UserError
from clbench.lock import locked

FORMAT = 3
TRUSTED = 1 << 30  # bytes from which a cache is verified by the sizes and times of its files, not read through
Said = Mapping[str, Any]  # options of ``data``


def load(name: str, place: DataPlace, image_size: int | None = None, said: Said | None = None) -> Dataset:
    """Return a dataset from the cache, decoding it first if it is not there, has changed or is damaged.

    ``said``: options of ``data``, for a user's own files. A process that has read and verified a dataset does so again
    only when the files have changed. Raises UserError if the data cannot be found, read or cached, or are not those
    that a fingerprint asks for.
    """
    said = said or {}
    if memory.FINGERPRINT in said:
        return _fingerprinted(name, place, image_size, said)
    if _key(name, image_size, said) in _given:
        return _given[_key(name, image_size, said)]
    found = locate(name, place, image_size, said)
    folder = cache_folder(name, place, image_size, said)
    known = _open.get(folder)
    if known is not None and known[0] == (found.stamp, _state(folder)):
        return known[1]
    dataset = read(folder, found.stamp) or _decoded(folder, name, found, image_size)
    _open[folder] = ((found.stamp, _state(folder)), dataset)
    return dataset


def _fingerprinted(name: str, place: DataPlace, image_size: int | None, said: Said) -> Dataset:
    """Return the dataset that has a fingerprint before its images are scaled: a program's, or one on disk."""
    lent = memory.held(said)
    other = [key for key in said if key not in memory.WITH]
    if lent is not None and other:
        raise UserError(
            f"data.{other[0]}: the data are arrays in memory already. Leave it out; clbench.stream says it."
        )
    if lent is not None:
        return lent.at(image_size, scaled)
    asked = {key: value for key, value in said.items() if key != memory.FINGERPRINT}
    there = load(name, place, None, asked).fingerprint
    if there != said[memory.FINGERPRINT]:
        raise UserError(
            f"data.fingerprint: '{name}' is {there[:12]}… now, not {str(said[memory.FINGERPRINT])[:12]}…: other "
            "content. Find the former data, or leave the fingerprint out."
        )
    return load(name, place, image_size, asked)


def scaled(name: str, raw: Raw, image_size: int) -> Dataset:
    """A dataset in memory with its images scaled."""
    from clbench.data.arrays import dataset_of

    return dataset_of(name, _at_size(name, raw, image_size))


def _decoded(folder: Path, name: str, found: Found, image_size: int | None) -> Dataset:
    """Decode a dataset; of many processes that want to, one does, and the others wait for it."""
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(folder.with_name(f".{folder.name}.lock")))
        except OSError as error:
            raise UserError(
                f"The data cache {folder.parent} cannot be written ({error.strerror}). Name another with "
                "$CLBENCH_CACHE."
            ) from None
        dataset = read(folder, found.stamp)
        if dataset is None:
            _write(folder, name, found, image_size)
            dataset = read(folder, found.stamp)
    if dataset is None:
        raise UserError(
            f"{folder} is changed by something else while it is read. Name another place with $CLBENCH_CACHE."
        )
    return dataset


def give(dataset: Dataset, image_size: int | None = None, said: Said | None = None) -> None:
    """Use a dataset that came from elsewhere, such as another machine, in this process."""
    _given[_key(dataset.name, image_size, said or {})] = dataset


def _key(name: str, image_size: int | None, said: Said) -> tuple[str, int | None, str]:
    return name, image_size, json.dumps(dict(said), sort_keys=True)


_given: dict[tuple[str, int | None, str], Dataset] = {}
_open: dict[Path, tuple[object, Dataset]] = {}


def _state(folder: Path) -> list[tuple[str, int, int]] | None:
    """What changes when a cached dataset does; None if it is gone."""
    try:
        found = [(file.name, file.stat()) for file in sorted(folder.iterdir())]
    except OSError:
        return None
    return [(name, one.st_mtime_ns, one.st_size) for name, one in found]


def cache_folder(name: str, place: DataPlace, image_size: int | None = None, said: Said | None = None) -> Path:
    """Return where a dataset's decoded form is kept; data of different roots, or read differently, are kept apart."""
    root = hashlib.sha256(str(place.root.resolve()).encode()).hexdigest()[:8] if name != "digits" else "bundled"
    if said:
        path = {"path": str(Path(said["path"]).resolve())} if "path" in said else {}
        text = json.dumps({**said, **path}, sort_keys=True)
        root += f"-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    return place.cache / f"{name}-{image_size or 'native'}-{root}-v{FORMAT}"


def read(folder: Path, stamp: str | None = None) -> Dataset | None:
    """Read a cached dataset and verify its checksums; None if it is absent, damaged or out of date."""
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        if stamp is not None and meta["stamp"] != stamp:
            return None
        # Copy-on-write: torch wants writable memory; nobody writes, so all processes share the same pages.
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="c", allow_pickle=False) for name in meta["arrays"]}
        if not _sound(folder, arrays, meta):
            return None
        divided = "samples" not in arrays
        train, test = (_part(arrays, f"{part}_" if divided else "") for part in ("train", "test"))
        return Dataset(
            name=meta["name"],
            train=train,
            test=test if divided else train,
            undivided=not divided,
            classes=meta["classes"],
            coarse=meta["coarse"],
            mean=meta["mean"],
            std=meta["std"],
            fingerprint=meta["fingerprint"],
            official=official(meta["name"], meta["fingerprint"], meta["read_as"], meta["image_size"]),
            columns=Columns(**meta["columns"]) if meta["columns"] else None,
            groups=meta["groups"],
            calendar=meta["calendar"],
        )
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None


def _sound(folder: Path, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> bool:
    """Whether arrays are those that were written."""
    if sum(array.nbytes for array in arrays.values()) < TRUSTED:
        return bool(meta["fingerprint"] == fingerprint(*arrays.values()))
    return bool(meta["files"] == _files(folder, arrays))


def _files(folder: Path, arrays: Iterable[str]) -> list[list[int]]:
    """Size and time of each array's file."""
    found = [(folder / f"{name}.npy").stat() for name in arrays]
    return [[one.st_size, one.st_mtime_ns] for one in found]


def _part(arrays: Mapping[str, Array], prefix: str) -> Part:
    return Part(**{one.name: arrays.get(f"{prefix}{one.name}") for one in fields(Part)})  # type: ignore[arg-type]


def arrays_of(raw: Raw) -> dict[str, Array]:
    """Return the arrays of raw data by the names of their files."""
    parts = {"": raw.train} if raw.test is None else {"train_": raw.train, "test_": raw.test}
    found = {f"{prefix}{one.name}": getattr(part, one.name) for prefix, part in parts.items() for one in fields(Part)}
    return {name: array for name, array in found.items() if array is not None}


def fingerprint(*arrays: np.ndarray[Any, Any]) -> str:
    """Return the sha256 of content, type and shape of arrays, as 64 hex digits."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def official(name: str, digest: str, read_as: bool | None, image_size: int | None) -> bool | None:
    """Say whether decoded data equal the official release: by known fingerprint, else as the reader could tell."""
    source = SOURCES.get(name)
    if source is None or image_size is not None or read_as is False:
        return False
    if source.fingerprint is not None:
        return digest == source.fingerprint
    return read_as


def _write(folder: Path, name: str, found: Found, image_size: int | None) -> None:
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-raw-", dir=folder.parent) as room:
            raw = found.read(Path(room))
            images = raw.train.samples.dtype == np.uint8
            raw = raw if image_size is None else _at_size(name, raw, image_size)
            arrays = arrays_of(raw)
            for part, array in arrays.items():
                np.save(scratch / f"{part}.npy", array, allow_pickle=False)
        meta = {
            "name": name,
            "stamp": found.stamp,
            "layout": found.layout,
            "classes": raw.classes,
            "coarse": raw.coarse,
            "columns": asdict(raw.columns) if raw.columns else None,
            "groups": raw.groups,
            "calendar": raw.calendar,
            "arrays": [*arrays],
            "files": _files(scratch, arrays),
            "fingerprint": fingerprint(*arrays.values()),
            "read_as": raw.official,
            "image_size": image_size,
        } | (moments(raw.train.samples) if images else {"mean": [], "std": []})
        (scratch / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
        _replace(scratch, folder)
    except OSError as error:
        raise UserError(
            f"Writing the decoded '{name}' to {folder} failed ({error.strerror}). Make room, or name another "
            "place with $CLBENCH_CACHE."
        ) from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _replace(scratch: Path, folder: Path) -> None:
    """Put a finished folder in its place; a reader sees the old one, none, or the new one, never a mixture."""
    while True:
        try:
            os.rename(scratch, folder)
            return
        except OSError:
            if not folder.exists():
                raise
            aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent))
            try:
                os.rename(folder, aside / "old")
            except FileNotFoundError:  # another process was quicker
                continue
            finally:
                shutil.rmtree(aside, ignore_errors=True)


def moments(pixels: np.ndarray[Any, Any]) -> dict[str, list[float]]:
    """Return mean and standard deviation per channel in [0, 1], exactly, from a histogram of the 256 values."""
    values = np.arange(256) / 255
    mean, std = [], []
    for channel in range(pixels.shape[1]):
        plane = pixels[:, channel]
        blocks = [np.bincount(plane[here].reshape(-1), minlength=256) for here in chunks(plane)]
        counts = np.sum(blocks, axis=0) / plane.size
        centre = float(counts @ values)
        mean.append(centre)
        spread = float(counts @ (values - centre) ** 2) ** 0.5
        std.append(spread if spread > 1e-6 else 1.0)  # a channel that never changes becomes 0, not noise
    return {"mean": mean, "std": std}


def _at_size(name: str, raw: Raw, image_size: int) -> Raw:
    """Images as squares of a size; UserError if there are none."""
    if raw.train.samples.dtype != np.uint8:
        raise UserError(f"scenario.image_size: '{name}' has no images. Leave it out.")
    return raw if raw.train.samples.shape[2:] == (image_size, image_size) else _resized(raw, image_size)


def _resized(raw: Raw, size: int) -> Raw:
    """Scale every image to a square, by Pillow's bilinear filter as for image folders."""
    from dataclasses import replace

    from PIL import Image

    def scale(images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        out = np.empty((*images.shape[:2], size, size), dtype=np.uint8)
        for row, image in enumerate(images):
            for channel, plane in enumerate(image):
                picture = Image.fromarray(plane).resize((size, size), Image.Resampling.BILINEAR)
                out[row, channel] = np.asarray(picture)
        return out

    train, test = (
        None if part is None else replace(part, samples=scale(part.samples)) for part in (raw.train, raw.test)
    )
    assert train is not None
    return replace(raw, train=train, test=test)
