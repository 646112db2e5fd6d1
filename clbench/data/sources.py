"""The named datasets: where each is looked up and how its official release is recognised.

Looked up in this order: torchvision's own layout under the data root, a user's folder, table or arrays of that name
(``own``), a download by torchvision or scikit-learn (unless offline). Nothing here imports torch until a dataset is
really read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clbench.data import torchvision_sets
from clbench.data.dataset import Part, Raw
from clbench.data.known import SOURCES
from clbench.errors import UserError

if TYPE_CHECKING:
    import numpy as np


OPENML = "openml-"  # before the number or name of a dataset of openml.org


@dataclass(frozen=True)
class DataPlace:
    """Where to look for data and whether downloading is allowed."""

    root: Path
    cache: Path
    offline: bool = False

    @classmethod
    def default(cls, root: Path | None = None, offline: bool = False) -> DataPlace:
        """Return the place from the arguments, ``$CLBENCH_DATA``, ``$CLBENCH_CACHE`` or the user cache folder."""
        from platformdirs import user_cache_path

        base = user_cache_path("clbench", appauthor=False)
        chosen = root or Path(os.environ.get("CLBENCH_DATA") or base / "data")
        cache = Path(os.environ.get("CLBENCH_CACHE") or base / "decoded")
        return cls(chosen.expanduser(), cache.expanduser(), offline or bool(os.environ.get("CLBENCH_OFFLINE")))


@dataclass(frozen=True)
class Found:
    """A dataset as it lies on disk: how to decode it, and a stamp that changes when its files do.

    ``read`` is given a folder for what does not fit in memory; it is gone once the arrays are written.
    """

    layout: str
    stamp: str
    read: Callable[[Path], Raw]


def locate(name: str, place: DataPlace, image_size: int | None = None, said: Mapping[str, Any] | None = None) -> Found:
    """Find a dataset by name or by ``said['path']``, downloading it if that is allowed.

    Raises UserError, naming the ways out, if there is no such data.
    """
    found = find(name, place, image_size, said)
    if found is not None:
        return found
    if said and said.get("path"):
        raise UserError(f"data.path: there is nothing at {said['path']}. Give a table, arrays or an image folder.")
    source = SOURCES.get(name)
    if name.startswith(OPENML) or (source is not None and source.sklearn == "fetched"):
        return _sklearn(name, said or {}, place.offline)
    if source is None:
        raise UserError(
            f"Unknown dataset '{name}'.{_meant(name)} Use one of {', '.join(SOURCES)}; or your own, anywhere with "
            f"--data PATH, or under {place.root}: a table {name}.csv, arrays {name}.npz, or an image folder "
            f"{name}/{{train,test}}/<class>/."
        )
    if source.is_vectors:
        raise UserError(
            f"The table '{name}' is not under {place.root}. Put {name}.csv there, or name another folder with "
            "--data-root or $CLBENCH_DATA."
        )
    ways_out = (
        f"Ways out: put torchvision's files or an image folder {name}/{{train,test}}/<class>/ under "
        f"{place.root} (or name another folder with --data-root or $CLBENCH_DATA); "
        f"run 'clbench data fetch {name}' on a machine with a network; or use a 'digits' scenario, "
        "which needs no download."
    )
    if place.offline:
        raise UserError(f"The dataset '{name}' is not under {place.root}, and downloads are off. {ways_out}")
    try:
        torchvision_sets.opened(source, place.root, download=True)
    except Exception as error:  # urllib, ssl, zip and integrity errors alike: the way out is the same
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"Downloading '{name}' to {place.root} failed: {reason}. {ways_out}") from None
    found = find(name, place, image_size)
    assert found is not None
    return found


def find(
    name: str, place: DataPlace, image_size: int | None = None, said: Mapping[str, Any] | None = None
) -> Found | None:
    """Find a dataset that is already on disk, without downloading; None if it is not there."""
    from clbench.data import own

    said = said or {}
    source = SOURCES.get(name)
    if "path" in said:
        given = own.at(Path(said["path"]).expanduser())
        return None if given is None else given.found(said, image_size)
    if name == "digits":
        return Found("bundled", "scikit-learn", _read_digits)
    if name == "feature-model":
        return Found("generated", "seed 0", _read_feature_model)
    if source is not None:
        files = torchvision_sets.files_of(source, place.root)
        if files:
            stamp = ";".join(f"{f.name}:{f.stat().st_size}:{f.stat().st_mtime_ns}" for f in files)
            return Found("torchvision", stamp, lambda room: torchvision_sets.read(source, place.root))
    mine = own.under(name, place)
    if mine is not None:
        return mine.found(said, image_size, source.said if source else None)
    return _sklearn(name, said, place.offline) if _is_bundled(name) else None


def _is_bundled(name: str) -> bool:
    return name in SOURCES and SOURCES[name].sklearn == "bundled"


def _sklearn(name: str, said: Mapping[str, Any], offline: bool) -> Found:
    """A set that scikit-learn has or fetches; it is asked only where there is no decoded copy."""
    said = {**(SOURCES[name].said if name in SOURCES else {}), **said}

    def read(room: Path) -> Raw:
        from clbench.data.bundled import read_bundled

        return read_bundled(name, said, room, offline)

    return Found("scikit-learn", f"{name}:{sorted(said.items())}", read)


def is_vectors(name: str, place: DataPlace, said: Mapping[str, Any]) -> bool:
    """Say whether a dataset is rows of numbers, as far as its name and a look at the files tell."""
    from clbench.data import memory, own

    lent = memory.held(said)
    if lent is not None:
        return not lent.data.is_images
    if "path" not in said and name in SOURCES:
        return SOURCES[name].is_vectors
    given = own.at(Path(said["path"]).expanduser()) if "path" in said else own.under(name, place)
    if given is None and memory.FINGERPRINT in said:
        raise UserError(
            f"data.fingerprint: the run was of '{name}', arrays in a program's memory. Make the stream again with "
            "clbench.stream, and give it to clbench.run."
        )
    return name.startswith(OPENML) if given is None else not given.has_images(said)


def given(words: str, said: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Return the name of a dataset that is given as a name or as a path, and what is then said of it."""
    if "path" not in said and words not in SOURCES and (Path(words).expanduser().exists() or set("/\\.") & set(words)):
        said = {**said, "path": words}
    return (name_of(said["path"]) if "path" in said else words), said


def name_of(path: str) -> str:
    """Return the name of a dataset that is given by its path: 'data/Sales 2024.csv' is 'sales-2024'."""
    return slug(Path(path).expanduser().resolve().name.split(".")[0]) or "data"


def slug(words: str) -> str:
    """Return words as they stand in the name of a scenario: 'Sales 2024' is 'sales-2024'."""
    return re.sub(r"[^\w]+", "-", words.lower()).strip("-_")


def _read_digits(room: Path) -> Raw:
    """scikit-learn's digits; within each class every fifth image, in the file's order, is a test image."""
    import numpy as np
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[:, None]
    labels = bunch.target.astype(np.int64)
    test = np.zeros(len(labels), dtype=bool)
    for label in range(10):
        test[np.flatnonzero(labels == label)[4::5]] = True
    train, held_out = (Part(images[chosen], labels[chosen]) for chosen in (~test, test))
    return Raw(train, held_out, [str(digit) for digit in range(10)], official=None)


def _read_feature_model(room: Path) -> Raw:
    """A pixel for each feature of each class, at 255 where a point has it, and as many pixels of noise of its own."""
    import numpy as np

    from clbench.data.feature_model import FeatureModel

    model = FeatureModel()
    random = np.random.default_rng(0)

    def points(count: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        has, labels = model.draw(count, random)
        pixels = np.zeros((count, model.classes, model.features), np.uint8)
        pixels[np.arange(count), labels] = 255 * has
        noise = random.integers(0, 256, (count, model.classes * model.features), dtype=np.uint8)
        return np.concatenate([pixels.reshape(count, -1), noise], axis=1)[:, None, None], labels

    train, test = points(50_000), points(10_000)
    return Raw(Part(*train), Part(*test), classes=["a", "b"], official=None)


def _meant(name: str) -> str:
    """The nearest dataset, and how it stands in the name of a scenario; or nothing."""
    near = get_close_matches(name.lower().replace("_", "-"), SOURCES, n=1, cutoff=0.5)
    return f" Did you mean '{near[0]}', as in 'split-{near[0]}'?" if near else ""
