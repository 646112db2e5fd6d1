"""Class-incremental split scenarios: one head for all classes, and nobody says which task an image is of."""

from __future__ import annotations

from clbench.data.dataset import Dataset
from clbench.data.streams import Stream
from clbench.registry import Count, Ratio, scenario

from ._classes import ClassOrder
from .split import ONE_HEAD_RECIPES, split


@scenario("split-class", version=1, recipes=ONE_HEAD_RECIPES, kind="class")
def split_class(
    data: Dataset,
    seed: int,
    *,
    tasks: Count | None = 5,
    first: Count | None = None,
    then: Count | None = None,
    class_order: ClassOrder = "random",
    imbalance: Ratio = 1.0,
    shots: Count | None = None,
) -> Stream:
    """Divide the classes over tasks; all classes so far must be told apart, with one head for all.

    Class-incremental learning after van de Ven and Tolias 2019 (arXiv:1904.07734). Fine-tuning keeps the last task
    alone; penalties on weights rarely do better, and memories do. As 'split' with incremental 'class'.
    tasks, first, then, class_order, imbalance, shots: as for 'split'.
    """
    return split(
        data,
        seed,
        tasks=tasks,
        first=first,
        then=then,
        incremental="class",
        class_order=class_order,
        imbalance=imbalance,
        shots=shots,
    )
