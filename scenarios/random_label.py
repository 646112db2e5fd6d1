"""Random-label scenarios: the same images, labelled anew at random for each task."""

from __future__ import annotations

from typing import Literal

import numpy as np

from clbench.data.dataset import Dataset
from clbench.data.streams import Stream, Task, Tasks
from clbench.errors import UserError
from clbench.registry import Count, scenario

LastTask = Literal["random", "true"]

_MLP = {
    "model": {"name": "mlp", "widths": [100, 100]},
    "optimizer": {"name": "adam", "lr": 0.001, "reset": "never"},
    "epochs": 20,
    "batch_size": 16,
    "evaluate_all_every": 50,
}
_CNN = _MLP | {"model": {"name": "lenet"}}
RECIPES = {
    "vectors": _MLP,
    "digits": _MLP | {"scenario": {"images": 400, "tasks": 20}},
    "mnist": _MLP,
    "fashion-mnist": _MLP,
    "kmnist": _MLP,
    "*": _CNN,
}


@scenario("random-label", version=1, recipes=RECIPES, kind="domain")
def random_label(
    data: Dataset, seed: int, *, tasks: Count = 50, images: Count = 1200, last_task: LastTask = "random"
) -> Stream:
    """Memorise the same images under labels drawn at random, anew for each task (random-label MNIST).

    Lyle et al. 2023 (arXiv:2303.01486); 1,200 images as in Kumar et al. 2023 (arXiv:2308.11958). A network that keeps
    its plasticity memorises the last labels as fast as the first. Tasks are tested on their own training images.
    tasks: how many. images: how many, drawn by seed. last_task: 'true' gives the last task the true labels and the real
    test images, to see what random labels have spoilt.
    """
    rows, classes = data.rows("train"), len(data.classes)
    count = len(rows)
    if images > count:
        raise UserError(
            f"scenario.images: '{data.name}' has {count:,} training images, fewer than {images:,}. Use fewer."
        )
    chosen = rows[np.sort(np.random.default_rng([seed, 6]).permutation(count)[:images])]
    everything = data.rows("test")

    def make(index: int) -> Task:
        if last_task == "true" and index == tasks - 1:
            return Task(train=chosen, test=everything, labels=np.arange(classes))
        drawn = np.random.default_rng([seed, index, 7]).integers(0, classes, len(data.train_labels))
        return Task(train=chosen, test=chosen, labels=np.arange(classes), train_labels=drawn, memorised=True)

    return Stream(Tasks(tasks, make), outputs=classes, heads=1, incremental="domain")
