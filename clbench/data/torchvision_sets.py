"""Datasets in torchvision's own layout: found, downloaded and decoded by torchvision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from clbench.data.dataset import Part, Raw
from clbench.data.known import Source
from clbench.errors import UserError

if TYPE_CHECKING:
    import numpy as np


def files_of(source: Source, root: Path) -> list[Path]:
    """Return the files of torchvision's layout, if all that are needed are there; else none."""
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


def opened(source: Source, root: Path, *, download: bool) -> tuple[Any, Any]:
    """Return torchvision's own training and test sets; raises what torchvision does."""
    from torchvision import datasets

    kind = getattr(datasets, str(source.torchvision_class))
    return kind(str(root), train=True, download=download), kind(str(root), train=False, download=download)


def read(source: Source, root: Path) -> Raw:
    """Decode a dataset; UserError if its files are damaged."""
    import numpy as np

    try:
        train, test = opened(source, root, download=False)
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
