"""Class-drip scenarios: new classes a few at a time, none of the old data taken away."""

from __future__ import annotations

from dataclasses import replace

from clbench.data.dataset import Dataset
from clbench.data.streams import Stream
from clbench.registry import Count, Ratio, scenario

from ._classes import ClassOrder
from .split import VECTORS, split

_MLP = {
    "model": {"name": "mlp", "widths": [100, 100]},
    "optimizer": {"name": "sgd", "lr": 0.05, "reset": "never"},
    "epochs": 5,
    "batch_size": 32,
}
_CNN = {
    "model": {"name": "cnn6", "width": 16, "norm": "batch"},
    "optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9, "reset": "never"},
    "epochs": 5,
    "batch_size": 128,
}
RECIPES = {
    "vectors": VECTORS | {"optimizer": {"name": "adam", "lr": 0.001, "reset": "never"}},
    "digits": _MLP | {"epochs": 20, "batch_size": 16},
    "mnist": _MLP,
    "fashion-mnist": _MLP,
    "kmnist": _MLP,
    "cifar100": _CNN | {"scenario": {"tasks": 20}},
    "*": _CNN,
}


@scenario("class-drip", version=1, recipes=RECIPES, kind="class, growing")
def class_drip(
    data: Dataset,
    seed: int,
    *,
    tasks: Count | None = 5,
    first: Count | None = None,
    then: Count | None = None,
    class_order: ClassOrder = "random",
    imbalance: Ratio = 1.0,
) -> Stream:
    """Add a few classes at each stage and train on all classes so far, with one head for all.

    Dohare et al. 2024 (arXiv:2306.13812), class-incremental CIFAR-100. Nothing has to be forgotten, so what falls
    behind a fresh network is plasticity. The optimiser's state is kept from stage to stage.
    tasks: how many stages the classes are divided over. first, then, class_order, imbalance: as for
    'split'.
    """
    stream = split(
        data,
        seed,
        tasks=tasks,
        first=first,
        then=then,
        incremental="class",
        class_order=class_order,
        imbalance=imbalance,
    )
    return replace(stream, growing=True)
