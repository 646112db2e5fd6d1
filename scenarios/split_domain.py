"""Domain-incremental split scenarios: the same question in every task, asked of other classes."""

from __future__ import annotations

from clbench.data.dataset import Dataset
from clbench.data.streams import Stream
from clbench.registry import Count, scenario

from .split import ONE_HEAD_RECIPES, ClassOrder, split


@scenario("split-domain", version=1, recipes=ONE_HEAD_RECIPES, kind="domain")
def split_domain(data: Dataset, seed: int, *, tasks: Count = 5, class_order: ClassOrder = "random") -> Stream:
    """Divide the classes evenly over tasks; an image's label is its class's place in its task, with one head for all.

    Domain-incremental learning after van de Ven and Tolias 2019 (arXiv:1904.07734); odd against even on split MNIST,
    but with classes drawn by seed. As 'split' with incremental 'domain'.
    tasks: over how many the classes are divided. class_order: 'random' (by seed), 'fixed' (the dataset's), 'coarse'
    (superclass by superclass, CIFAR-100).
    """
    return split(data, seed, tasks=tasks, incremental="domain", class_order=class_order)
