"""Continual scenarios: the images change abruptly, the network and its one head go on."""

from __future__ import annotations

import numpy as np

from clbench.data.dataset import Dataset
from clbench.data.streams import Stream, Task, Tasks
from clbench.errors import UserError
from clbench.registry import Count, scenario

_MLP = {
    "model": {"name": "mlp", "widths": [100, 100]},
    "optimizer": {"name": "sgd", "lr": 0.05, "reset": "never"},
    "epochs": 1,
    "batch_size": 32,
    "evaluate_all_every": 10,
}
_CNN = _MLP | {
    "model": {"name": "lenet"},
    "optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9, "reset": "never"},
}
RECIPES = {
    "vectors": _MLP,
    "digits": _MLP | {"epochs": 10, "batch_size": 16},
    "mnist": _MLP,
    "fashion-mnist": _MLP,
    "kmnist": _MLP,
    "*": _CNN,
}


@scenario("continual", version=1, recipes=RECIPES, kind="domain")
def continual(data: Dataset, seed: int, *, tasks: Count = 50, classes: Count = 2) -> Stream:
    """Tell apart two classes drawn anew for each task, always with the same two outputs (continual ImageNet).

    Dohare et al. 2024 (arXiv:2306.13812). Classes are dealt like cards: within a round through the dataset none comes
    twice, and each round is shuffled anew by seed; those that do not fill a task are left out.
    tasks: how many. classes: how many classes each task tells apart.
    """
    known = len(data.classes)
    if classes > known:
        raise UserError(f"scenario.classes: '{data.name}' has {known} classes, fewer than {classes}. Use fewer.")
    per_round = known // classes

    def make(index: int) -> Task:
        round_, place = divmod(index, per_round)
        dealt = np.random.default_rng([seed, round_, 3]).permutation(known)
        labels = np.full(known, -1)
        labels[dealt[place * classes : (place + 1) * classes]] = np.arange(classes)
        return Task(
            train=data.rows("train", labels >= 0),
            test=data.rows("test", labels >= 0),
            labels=labels,
        )

    return Stream(Tasks(tasks, make), outputs=classes, heads=1, incremental="domain")
