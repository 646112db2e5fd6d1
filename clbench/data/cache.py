"""Decoded once, shared by all processes: a memory-mapped uint8 cache with a fingerprint.

One folder per dataset holds four ``.npy`` files and ``meta.json``. It is written beside its final place and renamed,
so it is whole or absent; what does not match its own checksums is rebuilt.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clbench.data.sources import SOURCES, DataPlace, Found, RawImages, locate
from clbench.errors import UserError
from clbench.lock import locked

FORMAT = 2
PARTS = ("train_samples", "train_labels", "test_samples", "test_labels")


@dataclass(frozen=True)
class Dataset:
    """A decoded dataset, memory-mapped: images uint8 [n, channels, height, width], labels int64 [n].

    ``mean`` and ``std`` are those of the training images per channel, in [0, 1]. ``fingerprint`` is the sha256 of
    content and labels; ``official`` says whether they equal the official release (None: cannot be told).
    """

    name: str
    train_samples: np.ndarray[Any, Any]
    train_labels: np.ndarray[Any, Any]
    test_samples: np.ndarray[Any, Any]
    test_labels: np.ndarray[Any, Any]
    classes: list[str]
    coarse: list[int] | None
    mean: list[float]
    std: list[float]
    fingerprint: str
    official: bool | None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of an image."""
        channels, height, width = self.train_samples.shape[1:]
        return channels, height, width


def load(name: str, place: DataPlace, image_size: int | None = None) -> Dataset:
    """Return a dataset from the cache, decoding it first if it is not there, has changed or is damaged.

    A process that has read and verified it does so again only when the files have changed. Raises UserError if the
    data cannot be found, read or cached.
    """
    if (name, image_size) in _given:
        return _given[name, image_size]
    found = locate(name, place, image_size)
    folder = cache_folder(name, place, image_size)
    known = _open.get(folder)
    if known is not None and known[0] == (found.stamp, _state(folder)):
        return known[1]
    dataset = read(folder, found.stamp) or _decoded(folder, name, found, image_size)
    _open[folder] = ((found.stamp, _state(folder)), dataset)
    return dataset


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


def give(dataset: Dataset, image_size: int | None) -> None:
    """Use a dataset that came from elsewhere, such as another machine, in this process."""
    _given[dataset.name, image_size] = dataset


_given: dict[tuple[str, int | None], Dataset] = {}
_open: dict[Path, tuple[object, Dataset]] = {}


def _state(folder: Path) -> list[tuple[int, int]] | None:
    """What changes when a cached dataset does; None if part of it is gone."""
    try:
        found = [(folder / name).stat() for name in ("meta.json", *(f"{part}.npy" for part in PARTS))]
    except OSError:
        return None
    return [(one.st_mtime_ns, one.st_size) for one in found]


def cache_folder(name: str, place: DataPlace, image_size: int | None = None) -> Path:
    """Return where a dataset's decoded form is kept; data of different roots are kept apart."""
    root = hashlib.sha256(str(place.root.resolve()).encode()).hexdigest()[:8] if name != "digits" else "bundled"
    return place.cache / f"{name}-{image_size or 'native'}-{root}-v{FORMAT}"


def read(folder: Path, stamp: str | None = None) -> Dataset | None:
    """Read a cached dataset and verify its checksums; None if it is absent, damaged or out of date."""
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        if stamp is not None and meta["stamp"] != stamp:
            return None
        # Copy-on-write: torch wants writable memory; nobody writes, so all processes share the same pages.
        arrays = {part: np.load(folder / f"{part}.npy", mmap_mode="c", allow_pickle=False) for part in PARTS}
        if meta["fingerprint"] != fingerprint(*arrays.values()):
            return None
        return Dataset(
            name=meta["name"],
            **arrays,
            classes=meta["classes"],
            coarse=meta["coarse"],
            mean=meta["mean"],
            std=meta["std"],
            fingerprint=meta["fingerprint"],
            official=official(meta["name"], meta["fingerprint"], meta["read_as"], meta["image_size"]),
        )
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None


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
    raw = found.read()
    if image_size is not None and raw.train_samples.shape[2:] != (image_size, image_size):
        raw = _resized(raw, image_size)
    arrays = [getattr(raw, part) for part in PARTS]
    digest = fingerprint(*arrays)
    pixels = raw.train_samples
    meta = {
        "name": name,
        "stamp": found.stamp,
        "layout": found.layout,
        "classes": raw.classes,
        "coarse": raw.coarse,
        "fingerprint": digest,
        "read_as": raw.official,
        "image_size": image_size,
    } | _moments(pixels)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for part, array in zip(PARTS, arrays, strict=True):
            np.save(scratch / f"{part}.npy", array, allow_pickle=False)
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


def _moments(pixels: np.ndarray[Any, Any]) -> dict[str, list[float]]:
    """Mean and standard deviation per channel in [0, 1], exactly, from a histogram of the 256 values."""
    values = np.arange(256) / 255
    mean, std = [], []
    for channel in range(pixels.shape[1]):
        counts = np.bincount(pixels[:, channel].reshape(-1), minlength=256) / pixels[:, channel].size
        centre = float(counts @ values)
        mean.append(centre)
        spread = float(counts @ (values - centre) ** 2) ** 0.5
        std.append(spread if spread > 1e-6 else 1.0)  # a channel that never changes becomes 0, not noise
    return {"mean": mean, "std": std}


def _resized(raw: RawImages, size: int) -> RawImages:
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

    return replace(raw, train_samples=scale(raw.train_samples), test_samples=scale(raw.test_samples))
