"""Blurry scenarios: new classes task by task, of which some are seen a little in every other task too."""

from __future__ import annotations

import numpy as np

from clbench.data.dataset import Array, Dataset
from clbench.data.streams import Stream, Task
from clbench.errors import UserError
from clbench.registry import Count, UnitInterval, scenario

from ._classes import ClassOrder, even
from ._classes import class_order as ordered
from .split import VECTORS

_ONLINE = {"epochs": 1, "batch_size": 16}
_MLP = _ONLINE | {
    "model": {"name": "mlp", "widths": [256, 256]},
    "optimizer": {"name": "sgd", "lr": 0.05, "reset": "never"},
    "evaluate_steps": 100,
}
_CNN = _MLP | {
    "model": {"name": "cnn6", "width": 16, "norm": "batch"},
    "optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9, "reset": "never"},
}
RECIPES = {
    "vectors": VECTORS | {"epochs": 1, "batch_size": 32, "evaluate_steps": 100},
    "digits": _MLP | {"model": {"name": "mlp", "widths": [100, 100]}, "batch_size": 4, "evaluate_steps": 10},
    "mnist": _MLP,
    "fashion-mnist": _MLP,
    "kmnist": _MLP,
    "*": _CNN,
}


@scenario("blurry", version=1, recipes=RECIPES, kind="class")
def blurry(
    data: Dataset,
    seed: int,
    *,
    tasks: Count = 5,
    disjoint: UnitInterval = 0.5,
    blur: UnitInterval = 0.1,
    stochastic: bool = False,
    class_order: ClassOrder = "random",
) -> Stream:
    """Bring new classes task by task, some of them blurred over all tasks; one head, one pass, asked at any time.

    i-Blurry-N-M of Koh et al. 2022 (arXiv:2110.10031), read off the splits that its authors published. A share N of the
    classes is disjoint: all their samples come in one task. Of each task's other samples a share M is taken out, put
    together with those of the other tasks, shuffled, and dealt out evenly over all tasks: a few come back to their own.
    Each task is tested on the classes that are its own; ``anytime_accuracy`` asks for all classes seen so far every
    ``evaluate_steps`` steps. Nobody is told which task a sample is of.
    tasks: how many; each has as many classes of its own as any other, or one more.
    disjoint: the share N of classes; 1 is 'split-class', 0 blurs all. blur: the share M of samples.
    stochastic: Si-Blurry of Moon et al. 2023 (arXiv:2308.09303): the disjoint classes, and the samples that are taken
    out of tasks, are cut at random places, not evenly, and a task gets as many samples as it gave.
    class_order: as for 'split'.
    """
    random = np.random.default_rng([seed, 10])
    own, sharp = _own_classes(ordered(data, seed, class_order, None), tasks, disjoint, random if stochastic else None)
    label = np.empty(len(data.classes), np.int64)
    label[np.concatenate(own)] = np.arange(len(label))
    alone = np.isin(np.arange(len(label)), sharp)
    tested = [np.isin(np.arange(len(label)), mine) for mine in own]
    stays = [data.rows("train", mine & alone) for mine in tested]
    moves = [data.rows("train", mine & ~alone) for mine in tested]
    stream = []
    for mine, *parts in zip(tested, stays, _blurred(moves, blur, random, even_shares=not stochastic), strict=True):
        train = np.sort(np.concatenate(parts))
        there = mine | np.isin(np.arange(len(label)), data.train_labels[train])
        stream.append(Task(train=train, test=data.rows("test", mine), labels=np.where(there, label, -1)))
    return Stream(stream, outputs=len(label), heads=1, incremental="class")


def _own_classes(
    order: Array, tasks: int, disjoint: float, cuts: np.random.Generator | None
) -> tuple[list[Array], Array]:
    """Each task's own classes, and which of all are disjoint; ``cuts`` draws how many disjoint ones a task has."""
    sharp = round(disjoint * len(order))
    blurry = len(order) - sharp
    if tasks > len(order):
        raise UserError(
            f"scenario.tasks: {len(order)} classes cannot be divided over {tasks} tasks. Use at most {len(order)}."
        )
    if cuts is not None and blurry < tasks:
        raise UserError(
            f"scenario.stochastic: {tasks} tasks need a blurred class each, and scenario.disjoint: {disjoint} leaves "
            f"{blurry} of {len(order)} classes. Lower it, or take fewer tasks."
        )
    alone = even(sharp, tasks) if cuts is None else _cut(sharp, tasks, cuts)
    beside = even(blurry, tasks)[::-1]  # the larger ones where there are fewer of the others
    own = [
        np.concatenate(pair)
        for pair in zip(_divided(order[:sharp], alone), _divided(order[sharp:], beside), strict=True)
    ]
    return own, order[:sharp]


def _blurred(moves: list[Array], blur: float, random: np.random.Generator, *, even_shares: bool) -> list[Array]:
    """Take samples out of each task's, put them together, shuffle them and deal them out."""
    tasks = len(moves)
    sizes = [len(samples) for samples in moves]
    gives = [round(blur * size) for size in sizes]
    if not even_shares:
        drawn = _cut(round(blur * sum(sizes)), tasks, random)
        gives = [min(pair) for pair in zip(drawn, sizes, strict=True)]
    shuffled = [random.permutation(samples) for samples in moves]
    pool = random.permutation(np.concatenate([own[:count] for own, count in zip(shuffled, gives, strict=True)]))
    gets = even(len(pool), tasks) if even_shares else gives
    kept = [own[count:] for own, count in zip(shuffled, gives, strict=True)]
    return [np.concatenate(pair) for pair in zip(kept, _divided(pool, gets), strict=True)]


def _cut(count: int, parts: int, random: np.random.Generator) -> list[int]:
    """Sizes of so many parts of ``count`` things in a row that are cut at random places."""
    places = np.sort(random.integers(0, count + 1, parts - 1))
    return [int(size) for size in np.diff([0, *places, count])]


def _divided(things: Array, sizes: list[int]) -> list[Array]:
    """Things in a row, so many to each."""
    return np.split(things, np.cumsum(sizes)[:-1])
