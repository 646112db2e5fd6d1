"""Split scenarios: a dataset's classes, divided over tasks."""

from __future__ import annotations

from typing import Any

import numpy as np

from clbench.data.dataset import Dataset
from clbench.data.streams import Incremental, Stream, Task
from clbench.registry import Count, Ratio, scenario

from ._classes import ClassOrder, division, few_of_each, long_tailed
from ._classes import class_order as ordered

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
# For vectors: where stages have thousands of rows, and where they have hundreds, so that there are enough steps.
VECTORS: dict[str, Any] = {
    "model": {"name": "mlp", "widths": [128, 128], "norm": "layer"},
    "optimizer": {"name": "adam", "lr": 0.001},
    "epochs": 3,
    "batch_size": 256,
}
FEW_ROWS: dict[str, Any] = {"epochs": 10, "batch_size": 32}
_MANY_ROWS = {"scenario": {"samples_per_task": 20_000}}
RECIPES = {
    "vectors": VECTORS | _MANY_ROWS | FEW_ROWS,
    # chosen on held-out rows: results/baseline/recipes.md
    "covertype": VECTORS | _MANY_ROWS | {"optimizer": {"name": "adam", "lr": 0.0001}, "epochs": 1},
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
    "covertype": VECTORS | _MANY_ROWS,
    "cifar10": _NORMALISED_CNN,
    "cifar100": _NORMALISED_CNN | {"scenario": {"tasks": 10}},
}


@scenario("split", version=2, concerns=(), recipes=RECIPES)
def split(
    data: Dataset,
    seed: int,
    *,
    tasks: Count | None = 5,
    first: Count | None = None,
    then: Count | None = None,
    incremental: Incremental = "task",
    class_order: ClassOrder = "random",
    imbalance: Ratio = 1.0,
    shots: Count | None = None,
) -> Stream:
    """Divide the classes over tasks, each learnt in turn (split MNIST, split CIFAR).

    Zenke et al. 2017 (arXiv:1703.04200); the three kinds after van de Ven and Tolias 2019 (arXiv:1904.07734).
    tasks: over how many the classes are divided; where they do not divide evenly the first tasks have one more.
    first, then: how many classes the first task has, and how many each other, in place of ``tasks``; the last task has
    what remains (50 and 10 make the 'B50-Inc10' of CIFAR-100).
    incremental: 'task' (each task has its own head and its identity is given), 'class' (all classes must be told
    apart), 'domain' (one head; a class's label is its place within its task).
    class_order: 'random' (by seed: which classes meet in a task decides much, so seeds must differ in it), 'fixed' (the
    dataset's), 'coarse' (superclass by superclass, CIFAR-100), a number (1993 is the order of CIFAR-100 that most
    papers share, drawn with that seed of NumPy's whatever the run's), a list of the dataset's classes as numbers, or
    'first-fixed' (the first task in the dataset's order, the others by seed: skip what pretraining has learnt).
    imbalance: how many times as many training samples the most frequent class keeps as the rarest, a long tail (Cui et
    al. 2019, arXiv:1901.05555) over classes in an order drawn by seed; test samples stay as they are.
    shots: how many training samples of each class every task but the first keeps, drawn by seed: few-shot sessions
    behind a large first task (Tao et al. 2020, arXiv:2004.10956). null: all.
    """
    classes = len(data.classes)
    sizes = division(classes, tasks, first, then)
    order = ordered(data, seed, class_order, sizes[0])
    kept = long_tailed(data, seed, imbalance)
    few = kept if shots is None else few_of_each(data, seed, kept, shots)
    stream, start = [], 0
    for index, size in enumerate(sizes):
        labels = np.full(classes, -1)
        labels[order[start : start + size]] = np.arange(size) + (start if incremental == "class" else 0)
        start += size
        chosen = few if index else kept
        stream.append(
            Task(
                train=chosen[labels[data.train_labels[chosen]] >= 0],
                test=data.rows("test", labels >= 0),
                labels=labels,
                head=index if incremental == "task" else 0,
            )
        )
    return Stream(
        stream,
        outputs=classes if incremental == "class" else max(sizes),
        heads=len(sizes) if incremental == "task" else 1,
        incremental=incremental,
    )
