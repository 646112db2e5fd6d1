"""Rotated scenarios: one dataset, turned by a larger angle for each task."""

from __future__ import annotations

from typing import Literal

import numpy as np

from clbench.data.dataset import Dataset
from clbench.data.streams import Incremental, Rotation, Stream, same_classes_stream
from clbench.registry import Count, Positive, scenario

Angles = Literal["random", "even"]

_MLP = {
    "model": {"name": "mlp", "widths": [256, 256]},
    "optimizer": {"name": "sgd", "lr": 0.05},
    "epochs": 1,
    "batch_size": 128,
}
_CNN = _MLP | {"model": {"name": "lenet"}, "batch_size": 32}
RECIPES = {
    "digits": {
        "model": {"name": "mlp", "widths": [100, 100]},
        "optimizer": {"name": "sgd", "lr": 0.05},
        "epochs": 10,
        "batch_size": 16,
    },
    "mnist": _MLP,
    "fashion-mnist": _MLP,
    "kmnist": _MLP,
    "*": _CNN,
}


@scenario("rotated", version=2, recipes=RECIPES, data="images")
def rotated(
    data: Dataset,
    seed: int,
    *,
    tasks: Count = 5,
    degrees: Positive = 180.0,
    angles: Angles = "random",
    incremental: Incremental = "domain",
) -> Stream:
    """Turn all images by one angle a task, larger from task to task, from 0 up to ``degrees`` (rotated MNIST).

    Lopez-Paz and Ranzato 2017 (arXiv:1706.08840), section 5.1; as in the authors' code, task t = 0, 1, … draws its
    angle between t/tasks and (t+1)/tasks of ``degrees``.
    tasks: how many. degrees: the largest angle.
    incremental: 'domain' (same labels), 'task' (a head for each task), 'class' (new labels for each task).
    angles: 'random' (by seed), 'even' (t/tasks of ``degrees``, whatever the seed).
    """

    data.require_images("rotated")

    def turned(task: int) -> Rotation:
        within = 0.0 if angles == "even" else np.random.default_rng([seed, task, 8]).random()
        return Rotation(degrees * (task + within) / tasks)

    return same_classes_stream(data, tasks, turned, incremental)
