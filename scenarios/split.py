"""Split scenarios: a dataset's classes, divided over tasks."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from clbench.data.dataset import Dataset
from clbench.data.streams import Incremental, Stream, Task
from clbench.errors import UserError
from clbench.registry import Count, scenario

ClassOrder = Literal["fixed", "random", "coarse"]

_SMALL_CNN = {
    "model": {"name": "lenet"},
    "optimizer": {"name": "sgd", "lr": 0.05},
    "epochs": 1,
    "batch_size": 32,
}
_MLP = {
    "model": {"name": "mlp", "widths": [256, 256]},
    "optimizer": {"name": "sgd", "lr": 0.05},
    "epochs": 1,
    "batch_size": 64,
}
_CNN6 = {
    "model": {"name": "cnn6"},
    "optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9},
    "epochs": 1,
    "batch_size": 32,
}
VECTORS: dict[str, Any] = {
    "model": {"name": "mlp", "widths": [128, 128], "norm": "layer"},
    "optimizer": {"name": "adam", "lr": 0.001},
    "epochs": 3,
    "batch_size": 256,
}
RECIPES = {
    "vectors": VECTORS | {"scenario": {"samples_per_task": 20_000}},
    "digits": {
        "model": {"name": "mlp", "widths": [100, 100]},
        "optimizer": {"name": "sgd", "lr": 0.05},
        "epochs": 20,
        "batch_size": 16,
    },
    "mnist": _MLP,
    "fashion-mnist": _MLP,
    "kmnist": _MLP,
    "cifar10": _CNN6,
    "cifar100": _CNN6 | {"scenario": {"tasks": 10}},
    "*": _SMALL_CNN,
}
# With one head the features of five tasks must go on being told apart: normalised and longer, and narrow to be quick.
_NORMALISED_CNN = {
    "model": {"name": "cnn6", "width": 16, "norm": "batch"},
    "optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9},
    "epochs": 5,
    "batch_size": 32,
}
ONE_HEAD_RECIPES = RECIPES | {
    "cifar10": _NORMALISED_CNN,
    "cifar100": _NORMALISED_CNN | {"scenario": {"tasks": 10}},
}


@scenario("split", version=2, concerns=(), recipes=RECIPES)
def split(
    data: Dataset,
    seed: int,
    *,
    tasks: Count = 5,
    incremental: Incremental = "task",
    class_order: ClassOrder = "random",
) -> Stream:
    """Divide the classes evenly over tasks, each learnt in turn (split MNIST, split CIFAR).

    Zenke et al. 2017 (arXiv:1703.04200); the three kinds after van de Ven and Tolias 2019 (arXiv:1904.07734).
    tasks: over how many the classes are divided.
    incremental: 'task' (each task has its own head and its identity is given), 'class' (all classes must be told
    apart), 'domain' (one head; a class's label is its place within its task).
    class_order: 'random' (by seed: which classes meet in a task decides much, so seeds must differ in it), 'fixed' (the
    dataset's), 'coarse' (superclass by superclass, CIFAR-100).
    """
    classes = len(data.classes)
    if classes % tasks:
        fits = [n for n in range(1, classes + 1) if classes % n == 0]
        raise UserError(
            f"scenario.tasks: {classes} classes cannot be divided evenly over {tasks} tasks. "
            f"Use one of {', '.join(map(str, fits))}."
        )
    size = classes // tasks
    order = _class_order(data, seed, class_order)
    stream = []
    for index in range(tasks):
        members = order[index * size : (index + 1) * size]
        labels = np.full(classes, -1)
        labels[members] = np.arange(size) + (index * size if incremental == "class" else 0)
        stream.append(
            Task(
                train=data.rows("train", labels >= 0),
                test=data.rows("test", labels >= 0),
                labels=labels,
                head=index if incremental == "task" else 0,
            )
        )
    return Stream(
        stream,
        outputs=classes if incremental == "class" else size,
        heads=tasks if incremental == "task" else 1,
        incremental=incremental,
    )


def _class_order(data: Dataset, seed: int, kind: str) -> np.ndarray[Any, Any]:
    classes = len(data.classes)
    if kind == "random":
        return np.random.default_rng([seed, 0]).permutation(classes)
    if kind == "coarse":
        if data.coarse is None:
            raise UserError(
                f"scenario.class_order: '{data.name}' has no superclasses; 'coarse' is for cifar100 in torchvision's "
                "layout. Use fixed or random."
            )
        return np.argsort(np.asarray(data.coarse), kind="stable")
    return np.arange(classes)
