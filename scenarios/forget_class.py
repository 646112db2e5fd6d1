"""Requests to forget whole classes."""

from __future__ import annotations

import numpy as np

from clbench.data.dataset import Dataset
from clbench.data.streams import Stream
from clbench.errors import UserError
from clbench.registry import Count, scenario

from ._forget import RECIPES, request_stream, training_rows


@scenario("forget-class", version=1, recipes=RECIPES, kind="domain")
def forget_class(data: Dataset, seed: int, *, classes: Count = 1, images: Count | None = None) -> Stream:
    """Learn all classes; then every training image of a class must be forgotten on request.

    Golatkar et al. 2020 (arXiv:1911.04933): the network should be as if it had never seen the class, which one that is
    trained anew without it shows ('retrain'). R's columns: test images of the classes that stay, the removed training
    images, the kept training images, test images of the removed classes. Only strategies that answer requests run on
    it, and fine-tuning ('naive'), which here ignores them.
    classes: how many are to be forgotten, drawn by seed. images: how many training images there are, drawn by seed
    (default: all).
    """
    count = len(data.classes)
    if classes >= count:
        raise UserError(
            f"scenario.classes: '{data.name}' has {count} classes, and at least one must stay. Use at most {count - 1}."
        )
    rows = training_rows(data, seed, images)
    gone = np.zeros(count, bool)
    gone[np.random.default_rng([seed, 11]).permutation(count)[:classes]] = True
    return request_stream(data, rows, gone[data.train_labels[rows]], gone)
