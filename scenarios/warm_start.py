"""Warm-start scenarios: data arrive in chunks, and each stage trains on all of them so far."""

from __future__ import annotations

from typing import Any

import numpy as np

from clbench.data.dataset import Dataset
from clbench.data.streams import Stream, Task
from clbench.errors import UserError
from clbench.registry import Count, UnitInterval, scenario

_COMMON = {"epochs": None, "until_train_accuracy": 0.999}
_MLP = _COMMON | {
    "model": {"name": "mlp", "widths": [100, 100]},
    "optimizer": {"name": "sgd", "lr": 0.05, "reset": "never"},
    "batch_size": 32,
    "max_epochs": 200,
}
_CNN = _COMMON | {
    "model": {"name": "cnn6", "width": 16, "norm": "batch"},
    "optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9, "reset": "never"},
    "batch_size": 128,
    "max_epochs": 100,
}
_FEW = _MLP | {"scenario": {"tasks": 5}}
RECIPES = {
    "vectors": _MLP | {"scenario": {"chunk_size": 2000}},
    "digits": _FEW,
    "mnist": _MLP,
    "fashion-mnist": _MLP,
    "kmnist": _MLP,
    "iris": _FEW,
    "wine": _FEW,
    "breast-cancer": _FEW,
    "feature-model": _MLP | {"scenario": {"tasks": 50, "chunk_size": 1000}},
    "*": _CNN,
}


@scenario("warm-start", version=1, recipes=RECIPES, kind="growing")
def warm_start(
    data: Dataset,
    seed: int,
    *,
    tasks: Count = 10,
    chunk_size: Count | None = None,
    label_noise: UnitInterval = 0.0,
) -> Stream:
    """Deal the training images into chunks; stage t trains on chunks 1 to t until training accuracy is reached.

    Shin et al. 2024 (DASH, arXiv:2410.23495), section 5, after Ash and Adams 2020 (arXiv:1910.08475). The classes are
    those of the dataset, and one test set is evaluated after every stage: R has one column. The optimiser's state is
    kept from stage to stage.
    tasks: how many chunks. chunk_size: images in each, drawn by seed without repeats (default: all, evenly).
    label_noise: share of training images that get another class's label.
    """
    rows, test = data.rows("train"), data.rows("test")
    count = len(rows)
    size = chunk_size or count // tasks
    if size < 1 or size * tasks > count:
        raise UserError(
            f"scenario.chunk_size: {tasks} chunks of {max(size, 1):,} images are more than the {count:,} training "
            f"images of '{data.name}'. Use at most {count // tasks:,} images, or fewer chunks (scenario.tasks)."
        )
    order = np.random.default_rng([seed, 4]).permutation(count)
    labels = np.arange(len(data.classes))
    noisy = _noisy_labels(data, seed, label_noise) if label_noise else None
    chunks = [
        Task(
            train=rows[np.sort(order[index * size : (index + 1) * size])],
            test=test,
            labels=labels,
            train_labels=noisy,
        )
        for index in range(tasks)
    ]
    return Stream(chunks, outputs=len(labels), heads=1, incremental="domain", growing=True, common_test=True)


def _noisy_labels(data: Dataset, seed: int, share: float) -> np.ndarray[Any, Any]:
    """All training labels, a share of them replaced by another class, each of the others as likely."""
    random = np.random.default_rng([seed, 5])
    labels = np.array(data.train_labels)
    wrong = random.permutation(len(labels))[: round(share * len(labels))]
    labels[wrong] = (labels[wrong] + random.integers(1, len(data.classes), len(wrong))) % len(data.classes)
    return labels
