"""Rotated scenarios: one dataset, turned by a larger angle for each task."""

from __future__ import annotations

from clbench.data.cache import Dataset
from clbench.data.streams import Incremental, Rotation, Stream, same_classes_stream
from clbench.registry import Count, Positive, scenario

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


@scenario("rotated", version=1, recipes=RECIPES)
def rotated(
    data: Dataset,
    seed: int,
    *,
    tasks: Count = 5,
    degrees: Positive = 180.0,
    incremental: Incremental = "domain",
) -> Stream:
    """Turn all images by t/tasks of ``degrees`` for task t = 0, 1, … (rotated MNIST).

    Lopez-Paz and Ranzato 2017 (arXiv:1706.08840), section 5.1, with evenly spaced instead of random angles.
    incremental: 'domain' (same labels), 'task' (a head for each task), 'class' (new labels for each task).
    """
    return same_classes_stream(data, tasks, lambda task: Rotation(degrees * task / tasks), incremental)
