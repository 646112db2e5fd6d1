"""Streams of two stages, of which the second asks that some of the first one's training samples be forgotten."""

from __future__ import annotations

from typing import Any

import numpy as np

from clbench.data.dataset import Array, Dataset
from clbench.data.streams import Request, Stream, Task
from clbench.errors import UserError

# Long enough to know single training images, or there would be nothing to forget.
_MLP: dict[str, Any] = {
    "model": {"name": "mlp", "widths": [256, 256]},
    "optimizer": {"name": "sgd", "lr": 0.05},
    "epochs": 20,
    "batch_size": 64,
}
RECIPES: dict[str, Any] = {
    "vectors": _MLP,
    "digits": _MLP | {"model": {"name": "mlp", "widths": [100, 100]}, "epochs": 40, "batch_size": 16},
    "mnist": _MLP | {"scenario": {"images": 10_000}},
    "fashion-mnist": _MLP | {"scenario": {"images": 10_000}},
    "kmnist": _MLP | {"scenario": {"images": 10_000}},
    "*": _MLP
    | {
        "model": {"name": "cnn6", "width": 16, "norm": "batch"},
        "optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9},
    },
}


def training_rows(data: Dataset, seed: int, images: int | None) -> Array:
    """Return the training samples of a stream, in order: all of them, or so many that are drawn by seed.

    Raises UserError if the dataset has fewer.
    """
    rows = data.rows("train")
    if images is None:
        return rows
    if images > len(rows):
        raise UserError(
            f"scenario.images: '{data.name}' has {len(rows):,} training images, fewer than {images:,}. Use fewer."
        )
    return rows[np.sort(np.random.default_rng([seed, 10]).permutation(len(rows))[:images])]


def request_stream(data: Dataset, rows: Array, removed: Array, gone: Array | None) -> Stream:
    """Train on ``rows``, then ask that those where ``removed`` [rows] is true be forgotten.

    R's columns: test samples of what stays, removed training samples, kept training samples and, where whole classes
    go (``gone`` [classes] true), their test samples.
    """
    classes = np.arange(len(data.classes))
    leave = np.zeros(len(classes), bool) if gone is None else gone
    stay, go = (np.where(mask, classes, -1) for mask in (~leave, leave if gone is not None else ~leave))
    test = data.rows("test", ~leave)
    tasks = [
        Task(train=rows[~removed], test=test, labels=stay),
        Task(train=rows[removed], test=test, labels=go, memorised=True),
        Task(train=rows[~removed], test=test, labels=stay, memorised=True),
    ]
    if gone is not None:
        tasks.append(Task(train=rows[removed], test=data.rows("test", gone), labels=go))
    request = Request(kept=0, removed=1, known=2, unseen=0 if gone is None else 3)
    return Stream(tasks, outputs=len(classes), heads=1, incremental="domain", request=request)
