"""Older Results, brought up to date one schema version at a time; their checksums have been verified before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clbench.roles import Role, of_composition
from clbench.store.later import completed
from clbench.store.schema import parts

Content = dict[str, Any]


def migrate(content: Content) -> Content:
    """Return a Result's content in the newest schema version, its config with keys that came since that version did."""
    while content["schema_version"] in STEPS:
        content = STEPS[content["schema_version"]](content)
    own = [key for unit in parts(content["config"]["strategy"]["name"]) for key in OF_UNIT.get(unit, ())]
    return content | {"config": completed(content["config"], [*SINCE_7, *own])}


def _to_2(content: Content) -> Content:
    """Version 1 began without the time that a stage's tensors take; unknown is not 0."""
    cost = [{"prepare_seconds": None} | stage for stage in content["cost"]]
    return content | {"schema_version": 2, "cost": cost}


def _to_3(content: Content) -> Content:
    """Version 2 had no steps and no online accuracy."""
    cost = [{"steps": None, "epochs": None, "reached": None} | stage for stage in content["cost"]]
    return content | {"schema_version": 3, "cost": cost, "online_accuracy": None}


def _to_4(content: Content) -> Content:
    """Version 3 knew neither pretrained networks nor tuned settings, and its configs lack the keys that came later."""
    model = {"pretrained": None} | content["model"]
    return content | {"schema_version": 4, "model": model, "config": completed(content["config"]), "tuned": None}


def _to_5(content: Content) -> Content:
    """Version 4 warned of nothing and knew no versions of strategies: each was its first. Keys have come since."""
    names = parts(str(content["config"]["strategy"]["name"]))
    code = {f"strategy {name}": {"version": 1} for name in names}
    return content | {"schema_version": 5, "config": completed(content["config"]), "warnings": [], "code": code}


def _to_6(content: Content) -> Content:
    """Version 5 said of no strategy what it is, and counted neither samples nor bytes."""
    unknown = {"samples": None, "memory_bytes": None, "state_bytes": None}
    names = parts(str(content["config"]["strategy"]["name"]))
    role = of_composition(ROLES.get(name, "method") for name in names)
    return content | {"schema_version": 6, "role": role, "cost": [stage | unknown for stage in content["cost"]]}


def _to_7(content: Content) -> Content:
    """Version 6 had no confusion matrices and did not say how unequal classes are. Keys have come since."""
    data = {"imbalance": None, "columns": None} | content["data"]
    config = completed(content["config"], SINCE_6)
    return content | {"schema_version": 7, "config": config, "data": data, "confusion": None}


SINCE_6 = ("data", "first", "then", "imbalance")
SINCE_7 = ("shots", "updates")
OF_UNIT = {"friendly-training": ("by", "eta", "width", "rate")}  # names that other strategies have for something else
# What clbench's own strategies were when the role came; all others were methods.
ROLES: dict[str, Role] = {
    **dict.fromkeys(("joint", "cumulative", "cold"), "bound"),
    **dict.fromkeys(("naive", "warm", "warm-reset-optimizer", "frozen-backbone", "random", "random-fixed"), "control"),
}
STEPS: dict[int, Callable[[Content], Content]] = {1: _to_2, 2: _to_3, 3: _to_4, 4: _to_5, 5: _to_6, 6: _to_7}
