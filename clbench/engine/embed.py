"""Images → vectors: a network runs over a dataset once, and its features are kept as a dataset of their own."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clbench import __version__
from clbench.data.dataset import PARTS, Array, Dataset
from clbench.engine.embedder import Embedder, Wanted, embedder
from clbench.engine.precision import choose_device
from clbench.errors import UserError

BATCH = 64


@dataclass(frozen=True)
class Embedded:
    """Features float32 [n, d] and labels int64 [n] of training and test images; ``about``: where they come from."""

    x: Array
    y: Array
    x_test: Array
    y_test: Array
    classes: list[str]
    about: dict[str, Any]


def embedded(
    data: Dataset, wanted: Wanted, device: str = "auto", tell: Callable[[int, int], None] = lambda done, total: None
) -> Embedded:
    """Return a network's features of all images of a dataset; on one machine the same each time.

    tell: called with how many images are done, of how many. Raises UserError if the dataset has no images, the network
    cannot be used, or its features are not finite.
    """
    if not data.is_images:
        raise UserError(f"'{data.name}' has no images: it is vectors already. Use it as it is.")
    where = choose_device(device)
    make = embedder(data, wanted, where)
    rows = {part: data.rows(part) for part in PARTS}  # of an undivided set both parts hold all
    total = sum(map(len, rows.values()))
    parts, done = [], 0
    for part in PARTS:
        images, chunks = data.part(part).samples, []
        for start in range(0, len(rows[part]), BATCH):
            chunks.append(_features(make, images[rows[part][start : start + BATCH]], where))
            done += len(chunks[-1])
            tell(done, total)
        parts.append(np.concatenate(chunks))
    if not all(np.isfinite(part).all() for part in parts):
        raise UserError(
            f"model: features of '{wanted.model['name']}' are not all finite. Check its weights and normalisation."
        )
    about = {"clbench": __version__, "dataset": data.name, "fingerprint": data.fingerprint} | make.about
    about["features"] = parts[0].shape[1]
    labels = [np.asarray(data.part(part).labels[rows[part]], np.int64) for part in PARTS]
    return Embedded(parts[0], labels[0], parts[1], labels[1], data.classes, about)


def _features(make: Embedder, images: Array, device: torch.device) -> Array:
    found: Array = make(torch.from_numpy(np.array(images)).to(device)).cpu().numpy()
    return found


def write(file: Path, found: Embedded) -> None:
    """Write features as .npz, whole or not at all; ``about`` is JSON. The same features make the same bytes.

    Raises UserError if the file cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent, prefix=".embed-") as folder:
            scratch = Path(folder) / "features.npz"
            np.savez(
                scratch,
                x=found.x,
                y=found.y,
                x_test=found.x_test,
                y_test=found.y_test,
                classes=np.array(found.classes),
                about=np.array(json.dumps(found.about, ensure_ascii=False)),
            )
            os.replace(scratch, file)
    except OSError as error:
        raise UserError(f"-o {file} cannot be written ({error.strerror}). Name another file.") from None
