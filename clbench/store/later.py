"""Keys that came after the first Results, with what they were before they came: a run keeps its id, old Results fit.

Section → unit ('*': every unit of the section) → key → value. The section '' holds the keys at the top.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from clbench.store.schema import parts

Config = dict[str, Any]
Later = Mapping[str, Any]
Change = Callable[[Config, Later], Config]

_SCOPE = {"balanced": False, "include_norm": True, "parity": False}
_PENALTY = _SCOPE | {"clamp": False}
_DIVISION = {"first": None, "then": None, "imbalance": 1.0}
_FISHER = {"fisher": "exact", "fisher_samples": 5000}
LATER: Mapping[str, Mapping[str, Later]] = {
    "": {
        "*": {
            "until_train_accuracy": None,
            "max_epochs": None,
            "evaluate_all_every": 1,
            "evaluate_steps": None,
            "updates": 1,
            "pretrain": None,
            "data": None,
        }
    },
    "model": {name: {"activation": "relu"} for name in ("mlp", "cnn6", "lenet")}
    | {name: {"attention": "none"} for name in ("resnet18", "slim-resnet18")},
    "optimizer": {name: {"agc": None} for name in ("sgd", "adam", "adamw", "sam")},
    "scenario": {"*": {"skip": 0, "keep": None}}
    | dict.fromkeys(("split", "split-class"), _DIVISION | {"shots": None})
    | dict.fromkeys(("split-domain", "class-drip"), _DIVISION),
    "strategy": {
        "ewc": _PENALTY | {"form": "batch", "rate": 0.8},
        "ewc-online": {"clamp": False, "balanced": False, "include_norm": True},
        "ewc-fixed": _SCOPE | _FISHER | {"form": "online"},
        "mas": _PENALTY | {"form": "batch", "rate": 0.8},
        "mas-fixed": _SCOPE | {"form": "online", "samples": None},
        "si": _PENALTY | {"signed": False},
        "si-fixed": _SCOPE,
        "rwalk": _PENALTY | {"scaled": False},
        "rwalk-fixed": _SCOPE | {"scaled": False},
        "l2": _PENALTY,
        "l2-fixed": _SCOPE,
        "random": _PENALTY,
        "random-fixed": _SCOPE,
        "upgd": {"maximum": "corrected"},
        "parseval": {"s": 1.0},
        "orthogonal": {"form": "frobenius"},
        "fire": {"include_head": False},
        "hare-tortoise": {"epochs": 10},
        "er": {"selection": "reservoir", "per_class": None},
        "friendly-training": {"by": "gradient", "eta": 0.01, "width": 32, "rate": 0.001},
    },
}


def completed(config: Config, keys: Collection[str] | None = None) -> Config:
    """Return an older config with every later key that its units have; ``keys``: with these alone."""
    return _each_unit(
        config,
        lambda found, later: {key: value for key, value in later.items() if keys is None or key in keys} | found,
    )


def shortened(config: Config) -> Config:
    """Return a config without later keys that say what they were before they came."""
    absent = object()
    return _each_unit(
        config, lambda found, later: {key: value for key, value in found.items() if later.get(key, absent) != value}
    )


def _each_unit(config: Config, change: Change) -> Config:
    changed = change(config, LATER[""]["*"])
    for section in ("model", "optimizer", "strategy"):
        if section in changed:
            changed[section] = _unit(changed[section], LATER[section], change)
    if "scenario" in changed:
        changed["scenario"] = change(changed["scenario"], _of_scenario(str(changed["scenario"].get("name"))))
    return changed


def _of_scenario(name: str) -> Later:
    """Later keys of every scenario, and those of its family: the longest that a name like 'split-class-mnist' fits."""
    units = LATER["scenario"]
    family = max((unit for unit in units if name.startswith(f"{unit}-")), key=len, default="*")
    return {**units["*"], **units[family]}


def _unit(section: Config, units: Mapping[str, Later], change: Change) -> Config:
    """A section's options; those of each part, where the section is a composition."""
    name = str(section.get("name"))
    members = parts(name)
    if len(members) > 1:
        return section | {part: change(section[part], units[part]) for part in members if part in units}
    return change(section, units[name]) if name in units else section
