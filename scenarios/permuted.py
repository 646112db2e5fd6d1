"""Permuted scenarios: one dataset, its pixels in a new order for each task."""

from __future__ import annotations

import math

import numpy as np

from clbench.data.dataset import Dataset
from clbench.data.streams import Incremental, Permutation, Stream, same_classes_stream
from clbench.registry import Count, scenario

_MLP = {
    "model": {"name": "mlp", "widths": [256, 256]},
    "optimizer": {"name": "sgd", "lr": 0.05},
    "epochs": 1,
    "batch_size": 128,
}
RECIPES = {
    "digits": {
        "scenario": {"tasks": 5},
        "model": {"name": "mlp", "widths": [100, 100]},
        "optimizer": {"name": "sgd", "lr": 0.05},
        "epochs": 10,
        "batch_size": 16,
    },
    "*": _MLP,
}


@scenario("permuted", version=1, recipes=RECIPES, data="images")
def permuted(data: Dataset, seed: int, *, tasks: Count = 10, incremental: Incremental = "domain") -> Stream:
    """Shuffle the pixels of all images in a fixed way, a new one for each task and seed (permuted MNIST).

    Goodfellow et al. 2013 (arXiv:1312.6211). The first task is shuffled too; channels move together.
    tasks: how many.
    incremental: 'domain' (same labels), 'task' (a head for each task), 'class' (new labels for each task).
    """
    data.require_images("permuted")
    pixels = math.prod(data.shape[1:])

    def order(task: int) -> Permutation:
        return Permutation(np.random.default_rng([seed, task, 2]).permutation(pixels))

    return same_classes_stream(data, tasks, order, incremental)
