"""A dataset's classes: their order, how many each task gets, and how many samples of each are kept."""

from __future__ import annotations

from typing import Literal

import numpy as np

from clbench.data.dataset import Array, Dataset
from clbench.errors import UserError

ClassOrder = Literal["fixed", "random", "coarse"]


def class_order(data: Dataset, seed: int, kind: ClassOrder) -> Array:
    """Return the dataset's classes in the order in which tasks get them.

    Raises UserError for superclasses that the dataset does not have.
    """
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


def even(classes: int, tasks: int) -> list[int]:
    """Return how many classes each task gets: as even as possible, the larger tasks first."""
    size, larger = divmod(classes, tasks)
    return [size + (task < larger) for task in range(tasks)]


def division(classes: int, tasks: int | None, first: int | None, then: int | None) -> list[int]:
    """Return how many classes each task gets, at least one.

    then: each task has so many, the first ``first`` if that is given, and the last what remains. first alone: the
    others divide the rest as evenly as possible, the larger tasks first. Neither: all do.
    Raises UserError where there are too few classes, or the options contradict each other.
    """
    if first is not None and first > classes:
        raise UserError(f"scenario.first: {first} classes are more than the {classes} of the dataset. Use fewer.")
    if then is None:
        if tasks is None:
            missing = "scenario.tasks" if first is None else f"scenario.first: {first} says nothing of the other tasks"
            raise UserError(f"{missing}: say how many tasks there are (scenario.tasks) or give scenario.then.")
        if tasks > classes:
            raise UserError(
                f"scenario.tasks: {classes} classes cannot be divided over {tasks} tasks. Use at most {classes}."
            )
        if first is None:
            return even(classes, tasks)
        if not tasks - 1 <= classes - first or (tasks == 1 and first < classes):
            raise UserError(
                f"scenario.first: {first} of {classes} classes leave {classes - first} to {tasks - 1} other tasks. "
                "Change it or scenario.tasks."
            )
        return [first, *(even(classes - first, tasks - 1) if tasks > 1 else [])]
    begin = then if first is None else first
    starts = [0, *range(begin, classes, then)]
    sizes = [end - start for start, end in zip(starts, [*starts[1:], classes], strict=True)]
    if tasks is not None and tasks != len(sizes):
        told = f"scenario.then: {then}" if first is None else f"scenario.first: {first} and scenario.then: {then}"
        raise UserError(
            f"{told} make {len(sizes)} tasks of {classes} classes, and scenario.tasks says {tasks}. Leave one out."
        )
    return sizes


def long_tailed(data: Dataset, seed: int, imbalance: float) -> Array:
    """Return the training samples that a long tail leaves, in order: all of them where ``imbalance`` is 1.

    Of C classes, in an order that is drawn by seed, the class at place i = 0 … C−1 keeps n·ρ^(−i/(C−1)) of its own n
    training samples, rounded down, at least one, drawn by seed; ρ is ``imbalance``. This is Cui et al. 2019
    (arXiv:1901.05555), section 5.1, and Cao et al. 2019 (arXiv:1906.07413), section 4, where the order is that of the
    dataset's classes.
    """
    if imbalance == 1:
        return data.rows("train")
    random = np.random.default_rng([seed, 9])
    classes = len(data.classes)
    kept = []
    for place, label in enumerate(random.permutation(classes)):
        own = data.rows("train", np.arange(classes) == label)
        share = imbalance ** (-place / max(classes - 1, 1))
        count = max(int(len(own) * share + 1e-9), 1)  # 1/ρ is not exact: 500 · 100^(−1) must be 5
        kept.append(random.permutation(own)[:count])
    return np.sort(np.concatenate(kept))
