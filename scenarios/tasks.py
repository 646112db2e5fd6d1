"""Tasks that the data bring along, in the order in which they come."""

from __future__ import annotations

from typing import Any

import numpy as np

from clbench.data.dataset import PARTS, Array, Dataset
from clbench.data.streams import Incremental, Stream, Task
from clbench.errors import UserError
from clbench.registry import scenario

from .split import VECTORS

RECIPES: dict[str, dict[str, Any]] = {
    "vectors": VECTORS,
    "*": {
        "model": {"name": "lenet"},
        "optimizer": {"name": "sgd", "lr": 0.05},
        "epochs": 1,
        "batch_size": 32,
    },
}


@scenario("tasks", version=1, recipes=RECIPES, data="grouped")
def tasks(data: Dataset, seed: int, *, incremental: Incremental = "domain") -> Stream:
    """Learn the data's own tasks, one group of rows after another in the order in which the groups first come.

    The three kinds after van de Ven and Tolias 2019 (arXiv:1904.07734). Every seed has the same order: what it draws is
    the network and the batches alone.
    incremental: 'domain' (one head, which tells all classes apart in every task), 'class' (likewise, each task with
    those classes that it has), 'task' (each task has a head for its own classes, and its identity is given).
    """
    if data.groups is None:
        raise UserError(
            f"scenario: 'tasks' needs to know which task each row of '{data.name}' belongs to. Name the column with "
            "--set data.group=…; from Python give a list of tasks, cl.stream([(x, y, x_test, y_test), …])."
        )
    groups = {part: np.asarray(data.part(part).groups) for part in PARTS}
    found = []
    for place, name in enumerate(data.groups):
        train, test = (rows[groups[part][rows] == place] for part in PARTS for rows in [data.rows(part)])
        if not len(train) or not len(test):
            raise UserError(
                f"scenario: task '{name}' of '{data.name}' has {len(train)} training and {len(test)} test rows. It "
                "needs some of both."
            )
        present = np.union1d(data.train_labels[train], data.test_labels[test])
        labels = _labels(present, len(data.classes), incremental)
        found.append(Task(train, test, labels, head=place if incremental == "task" else 0))
    return Stream(
        found,
        outputs=max(int(task.labels.max()) + 1 for task in found) if incremental == "task" else len(data.classes),
        heads=len(found) if incremental == "task" else 1,
        incremental=incremental,
    )


def _labels(present: Array, classes: int, incremental: Incremental) -> Array:
    """The label of each of the dataset's classes in a task that has those ``present``."""
    if incremental == "domain":
        return np.arange(classes)
    labels = np.full(classes, -1)
    labels[present] = np.arange(len(present)) if incremental == "task" else present
    return labels
