"""Domain scenarios: the same question at one place after another."""

from __future__ import annotations

from typing import Literal

import numpy as np

from clbench.data.dataset import PARTS, Array, Dataset
from clbench.data.streams import Stream, Task
from clbench.errors import UserError
from clbench.registry import Count, scenario

from .split import FEW_ROWS, VECTORS

GroupOrder = Literal["random", "fixed", "size"]

RECIPES = {
    "vectors": VECTORS | FEW_ROWS,
    "covertype": VECTORS
    | {
        "scenario": {"samples_per_task": 20_000},
        "data": {"group": [f"Wilderness_Area{area}" for area in range(1, 5)]},
        "optimizer": {"name": "adam", "lr": 0.01},  # chosen on held-out rows: results/baseline/recipes.md
        "epochs": 10,
    },
    "flights-2013": VECTORS | {"scenario": {"samples_per_task": 50_000}, "data": {"group": "origin"}},
}


@scenario("domain", version=1, recipes=RECIPES, data="tables", kind="domain")
def domain(data: Dataset, seed: int, *, order: GroupOrder = "random", largest: Count | None = None) -> Stream:
    """Learn from one group of rows after another – sites, devices, airports – always with the same classes.

    Domain-incremental learning (van de Ven and Tolias 2019, arXiv:1904.07734) where the domains are the data's own.
    The column that says the group is no input.
    order: 'random' (by seed), 'fixed' (by name), 'size' (the largest first). largest: only so many of the largest.
    """
    names = data.groups
    if names is None:
        raise UserError(
            f"scenario: 'domain' needs to know where each row of '{data.name}' belongs. Name the column with --set "
            "data.group=…."
        )
    groups = {part: np.asarray(data.part(part).groups) for part in PARTS}
    sizes = np.bincount(groups["train"], minlength=len(names))
    by_size = np.argsort(-sizes, kind="stable")[:largest]
    places: Array = {
        "random": np.random.default_rng([seed, 9]).permutation(by_size),
        "fixed": np.array(sorted(by_size, key=lambda place: names[place])),
        "size": by_size,
    }[order]
    labels = np.arange(len(data.classes))
    tasks = []
    for place in places:
        train, test = (rows[groups[part][rows] == place] for part in PARTS for rows in [data.rows(part)])
        if not len(train) or not len(test):
            raise UserError(
                f"scenario: group '{names[place]}' of '{data.name}' has {len(train)} training and {len(test)} "
                "test rows. Keep the larger groups with scenario.largest."
            )
        tasks.append(Task(train, test, labels))
    return Stream(tasks, outputs=len(labels), heads=1, incremental="domain")
