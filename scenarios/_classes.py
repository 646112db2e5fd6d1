"""A dataset's classes: their order, how many each task gets, and how many samples of each are kept."""

from __future__ import annotations

from typing import Literal

import numpy as np

from clbench.data.dataset import Array, Dataset
from clbench.errors import UserError
from clbench.registry import Count

ClassOrder = Literal["fixed", "random", "coarse", "first-fixed"] | Count | list[int]


def class_order(data: Dataset, seed: int, kind: ClassOrder, first: int | None) -> Array:
    """Return the dataset's classes in the order in which tasks get them; the first task gets ``first``.

    A number is a seed of NumPy's old generator, whatever the run's: ``np.random.seed(1993)`` and
    ``np.random.permutation`` in the code of Rebuffi et al. 2017 (arXiv:1611.07725), whose order of CIFAR-100 papers
    share. Raises UserError for superclasses that the dataset does not have, for a list that is no order of classes, and
    for a first task in the dataset's order where no task has classes of its own (``first`` is None).
    """
    classes = len(data.classes)
    if isinstance(kind, int):
        return np.random.RandomState(kind).permutation(classes).astype(np.int64)
    if isinstance(kind, list):
        if sorted(kind) != list(range(classes)):
            raise UserError(
                f"scenario.class_order: a list must have each of the {classes} classes of '{data.name}' once, as "
                f"numbers from 0 to {classes - 1}; got {len(kind)} numbers, {len({*kind})} of them different. Correct "
                "it, or use fixed or random."
            )
        return np.array(kind, np.int64)
    if kind == "random":
        return np.random.default_rng([seed, 0]).permutation(classes)
    if kind == "first-fixed":
        if first is None:
            raise UserError(
                "scenario.class_order: first-fixed needs a first task with classes of its own. Use fixed or random."
            )
        return np.append(np.arange(first), np.random.default_rng([seed, 0]).permutation(np.arange(first, classes)))
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


def few_of_each(data: Dataset, seed: int, samples: Array, count: int) -> Array:
    """Return at most ``count`` of each class's training samples out of ``samples``, drawn by seed, in order."""
    random = np.random.default_rng([seed, 11])
    own = [samples[data.train_labels[samples] == label] for label in range(len(data.classes))]
    return np.sort(np.concatenate([random.permutation(one)[:count] for one in own]))


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
