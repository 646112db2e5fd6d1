"""Image folders: found, stamped and decoded.

``<name>/{train,test}/<class>/*``, where ``val`` may stand for a missing ``test``; ``<name>/<class>/*``, of which nobody
has divided the images; or images with a list beside them, ``labels.csv`` or ``metadata.csv``, that says which is what.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from clbench.data.dataset import Array
from clbench.errors import Remark, UserError

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff"}
TESTS = ("test", "val", "valid", "validation")  # the first that is there
LISTS = ("labels.csv", "metadata.csv")
FILES = ("file_name", "filename", "file", "image", "path")  # what a list's column of files is called
Layout = Literal["divided", "flat", "listed"]
Labelled = list[tuple[Path, int]]


def layout(folder: Path) -> Layout | None:
    """Return how the images of a folder lie; None if it is no image folder."""
    if not folder.is_dir():
        return None
    if (folder / "train").is_dir():
        has_test = any((folder / name).is_dir() for name in TESTS)
        return "divided" if has_test or _class_of_images(folder / "train") else None
    if list_of(folder) is not None:
        return "listed" if any(map(_is_image, folder.iterdir())) or _class_of_images(folder) else None
    return "flat" if len(_classes(folder)) > 1 and _class_of_images(folder) else None


def is_image_folder(folder: Path) -> bool:
    """Say whether a folder holds images in one of the ways."""
    return layout(folder) is not None


def list_of(folder: Path) -> Path | None:
    """Return the list that says which image is what, if there is one."""
    return next((folder / name for name in LISTS if (folder / name).is_file()), None)


def _class_of_images(folder: Path) -> bool:
    """Whether a folder has class folders that hold images."""
    return any(_is_image(file) for name in _classes(folder) for file in (folder / name).iterdir())


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES


def _test_part(folder: Path) -> str | None:
    """Which folder beside ``train`` holds the test images."""
    return next((name for name in TESTS if (folder / name).is_dir()), None)


def folder_stamp(folder: Path) -> str:
    """Return a text that changes when files are added, removed or renamed: one time per class folder."""
    kind = layout(folder)
    if kind == "divided":
        found = ["train", *filter(None, [_test_part(folder)])]
        places = [f"{part}/{name}" for part in found for name in _classes(folder / part)]
    elif kind == "flat":
        places = _classes(folder)
    else:
        places = [".", *_classes(folder), *(name for name in LISTS if (folder / name).is_file())]
    return ";".join(f"{place}:{(folder / place).stat().st_mtime_ns}" for place in places)


def _classes(folder: Path) -> list[str]:
    return sorted(child.name for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))


def read_folder(
    folder: Path, image_size: int | None = None
) -> tuple[tuple[Array, Array], tuple[Array, Array] | None, list[str]]:
    """Decode every image: (train images and labels, test images and labels or None if undivided, class names).

    Images are uint8 [n, channels, height, width]; grey if all are grey, else RGB. With ``image_size`` every image
    is scaled and centre-cropped to a square of that many pixels; without it all must be of one size.
    Raises UserError for differing classes or sizes, empty classes, and files that are not images.
    """
    if layout(folder) == "flat":
        classes = _classes(folder)
        files = list(_labelled_files(folder, classes))
        return _decode_all(files, _mode(files), image_size), None, classes
    held_out = _test_part(folder)
    if held_out is None:
        raise UserError(
            f"{folder} has train/ but none of {', '.join(f'{name}/' for name in TESTS)}. Add one with the same class "
            "folders; or put the class folders side by side, without train/, and a fifth is held out."
        )
    if held_out != "test":
        said_so = f"{folder.name} has no test/: the images of {held_out}/ are the test images."
        warnings.warn(Remark(said_so), stacklevel=2)
    classes = _classes(folder / "train")
    if classes != _classes(folder / held_out) or not classes:
        raise UserError(
            f"{folder}: train/ and {held_out}/ must hold the same class folders, at least one. "
            f"train/ has {len(classes)}, {held_out}/ has {len(_classes(folder / held_out))}."
        )
    train_files, test_files = (list(_labelled_files(folder / part, classes)) for part in ("train", held_out))
    mode = _mode(train_files)
    train, test = (_decode_all(files, mode, image_size) for files in (train_files, test_files))
    if train[0].shape[1:] != test[0].shape[1:]:
        raise differing_sizes(folder)
    return train, test, classes


def _mode(files: Labelled) -> str:
    """A look at one image of each class decides between grey and colour for all."""
    firsts = {label: file for file, label in reversed(files)}
    return "L" if all(_is_grey(file) for file in firsts.values()) else "RGB"


def _decode_all(files: Labelled, mode: str, image_size: int | None) -> tuple[Array, Array]:
    """All images in one array, in one thread: for small images two are slower (measured 1.4 ×); and their labels."""
    first, _ = decode(files[0][0], str(files[0][0]), mode, image_size)
    images = np.empty((len(files), *first.shape), dtype=np.uint8)
    for index, (file, _) in enumerate(files):
        image, _ = decode(file, str(file), mode, image_size)
        if image.shape != first.shape:
            raise differing_sizes(file)
        images[index] = image
    return images, np.array([label for _, label in files], dtype=np.int64)


def differing_sizes(where: Path) -> UserError:
    """Return the error for images that cannot stand in one array."""
    return UserError(
        f"{where}: not all images of this folder have the same size. "
        "Give them one with --set scenario.image_size=32 (or another number of pixels)."
    )


def _labelled_files(folder: Path, classes: list[str]) -> Iterator[tuple[Path, int]]:
    for label, name in enumerate(classes):
        files = sorted(f for f in (folder / name).iterdir() if _is_image(f))
        if not files:
            raise UserError(f"{folder / name} holds no images ({', '.join(sorted(SUFFIXES))}). Add some or remove it.")
        yield from ((file, label) for file in files)


def _is_grey(file: Path) -> bool:
    from PIL import Image

    try:
        with Image.open(file) as image:
            return image.mode in ("1", "L")
    except OSError as error:
        raise _not_an_image(str(file), error) from None


def decode(source: Path | BinaryIO, name: str, mode: str | None, image_size: int | None) -> tuple[Array, bool]:
    """Return one image as uint8 [channels, height, width], in RGB if no ``mode`` is given, and whether it is grey.

    ``name``: what it is called in the UserError for something that is no image.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(source) as image:
            grey = image.mode in ("1", "L")
            image = image.convert(mode or "RGB")  # type: ignore[assignment]
            if image_size is not None:
                image = ImageOps.fit(image, (image_size, image_size), Image.Resampling.BILINEAR)  # type: ignore[assignment]
            pixels = np.asarray(image, dtype=np.uint8)
    except OSError as error:
        raise _not_an_image(name, error) from None
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1), grey


def _not_an_image(name: str, error: OSError) -> UserError:
    return UserError(f"{name} cannot be decoded as an image ({error}). Replace or remove it and run again.")
