"""Domain-incremental split scenarios: the same question in every task, asked of other classes."""

from __future__ import annotations

from clbench.data.dataset import Dataset
from clbench.data.streams import Stream
from clbench.registry import Count, Ratio, scenario

from ._classes import ClassOrder
from .split import ONE_HEAD_RECIPES, split


@scenario("split-domain", version=1, recipes=ONE_HEAD_RECIPES, kind="domain")
def split_domain(
    data: Dataset,
    seed: int,
    *,
    tasks: Count | None = 5,
    first: Count | None = None,
    then: Count | None = None,
    class_order: ClassOrder = "random",
    imbalance: Ratio = 1.0,
) -> Stream:
    """Divide the classes over tasks; an image's label is its class's place in its task, with one head for all.

    Domain-incremental learning after van de Ven and Tolias 2019 (arXiv:1904.07734); odd against even on split MNIST,
    but with classes drawn by seed. As 'split' with incremental 'domain'.
    tasks, first, then, class_order, imbalance: as for 'split'.
    """
    return split(
        data,
        seed,
        tasks=tasks,
        first=first,
        then=then,
        incremental="domain",
        class_order=class_order,
        imbalance=imbalance,
    )
