"""Image folders ``<name>/{train,test}/<class>/*``: found, stamped and decoded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from clbench.errors import UserError

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff"}


def is_image_folder(folder: Path) -> bool:
    """Say whether a folder has ``train`` and ``test`` inside."""
    return (folder / "train").is_dir() and (folder / "test").is_dir()


def folder_stamp(folder: Path) -> str:
    """Return a text that changes when files are added, removed or renamed: one time per class folder."""
    return ";".join(
        f"{part}/{name}:{(folder / part / name).stat().st_mtime_ns}"
        for part in ("train", "test")
        for name in _classes(folder / part)
    )


def _classes(folder: Path) -> list[str]:
    return sorted(child.name for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))


def read_folder(
    folder: Path, image_size: int | None = None
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any], list[str]]:
    """Decode every image: (train images, train labels, test images, test labels, class names).

    Images are uint8 [n, channels, height, width]; grey if all are grey, else RGB. With ``image_size`` every image
    is scaled and centre-cropped to a square of that many pixels; without it all must be of one size.
    Raises UserError for differing classes or sizes, empty classes, and files that are not images.
    """
    classes = _classes(folder / "train")
    if classes != _classes(folder / "test") or not classes:
        raise UserError(
            f"{folder}: train/ and test/ must hold the same class folders, at least one. "
            f"train/ has {len(classes)}, test/ has {len(_classes(folder / 'test'))}."
        )
    files = {part: list(_labelled_files(folder / part, classes)) for part in ("train", "test")}
    # A look at one image of each class decides between grey and colour for all.
    firsts = {label: file for file, label in reversed(files["train"])}
    mode = "L" if all(_is_grey(file) for file in firsts.values()) else "RGB"
    arrays: list[np.ndarray[Any, Any]] = []
    for part in ("train", "test"):
        arrays.append(_decode_all([file for file, _ in files[part]], mode, image_size))
        arrays.append(np.array([label for _, label in files[part]], dtype=np.int64))
    if arrays[0].shape[1:] != arrays[2].shape[1:]:
        raise _differing_sizes(folder)
    return arrays[0], arrays[1], arrays[2], arrays[3], classes


def _decode_all(files: list[Path], mode: str, image_size: int | None) -> np.ndarray[Any, Any]:
    """All images in one array, in one thread: for small images two are slower (measured 1.4 ×)."""
    first = _decode(files[0], mode, image_size)
    images = np.empty((len(files), *first.shape), dtype=np.uint8)
    for index, file in enumerate(files):
        image = _decode(file, mode, image_size)
        if image.shape != first.shape:
            raise _differing_sizes(file)
        images[index] = image
    return images


def _differing_sizes(where: Path) -> UserError:
    return UserError(
        f"{where}: not all images of this folder have the same size. "
        "Give them one with --set scenario.image_size=32 (or another number of pixels)."
    )


def _labelled_files(folder: Path, classes: list[str]) -> Iterator[tuple[Path, int]]:
    for label, name in enumerate(classes):
        files = sorted(f for f in (folder / name).iterdir() if f.suffix.lower() in SUFFIXES)
        if not files:
            raise UserError(f"{folder / name} holds no images ({', '.join(sorted(SUFFIXES))}). Add some or remove it.")
        yield from ((file, label) for file in files)


def _is_grey(file: Path) -> bool:
    from PIL import Image

    try:
        with Image.open(file) as image:
            return image.mode in ("1", "L")
    except OSError as error:
        raise _not_an_image(file, error) from None


def _decode(file: Path, mode: str, image_size: int | None) -> np.ndarray[Any, Any]:
    """One image as uint8 [channels, height, width]."""
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as image:
            image = image.convert(mode)  # type: ignore[assignment]
            if image_size is not None:
                image = ImageOps.fit(image, (image_size, image_size), Image.Resampling.BILINEAR)  # type: ignore[assignment]
            pixels = np.asarray(image, dtype=np.uint8)
    except OSError as error:
        raise _not_an_image(file, error) from None
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _not_an_image(file: Path, error: OSError) -> UserError:
    return UserError(f"{file} cannot be decoded as an image ({error}). Replace or remove it and run again.")
