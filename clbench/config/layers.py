"""Layers of a configuration: YAML files, --set assignments and flags, merged; nothing is validated here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from clbench.errors import UserError
from clbench.yaml_files import read_yaml

Section = dict[str, Any]
SECTIONS = ("strategy", "scenario", "model", "optimizer", "pretrain")
MAX_SEEDS = 10_000


def given(file: Path | None, flags: Mapping[str, Any], assignments: Iterable[str]) -> list[Section]:
    """Return what a command was told, what counts least first: a YAML file, flags (None: not given), ``--set``."""
    told = {key: value for key, value in flags.items() if value is not None}
    return [read_yaml(file) if file else {}, told, read_assignments(assignments)]


def read_assignments(assignments: Iterable[str]) -> Section:
    """Turn ``--set a.b=v`` into nested keys; values are read as YAML."""
    result: Section = {}
    for text in assignments:
        key, equals, value = text.partition("=")
        if not equals or not all(key.split(".")):
            raise UserError(f"--set {text}: expected key=value, for instance --set strategy.lam=100.")
        try:
            parsed = yaml.safe_load(value)
        except yaml.YAMLError:
            raise UserError(f"--set {text}: the value is not valid YAML. Quote it if it is a text.") from None
        *parents, last = key.strip().split(".")
        node = result
        for parent in parents:
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                raise UserError(f"--set {text}: '{parent}' is already set to a single value.")
        node[last] = parsed
    return result


def assigned(settings: Mapping[str, Any]) -> Section:
    """Settings such as ``{"strategy": "ewc", "strategy.lam": 10}`` as a layer; a section's name before its options."""
    layer: Section = {}
    for path, value in sorted(settings.items()):
        *parents, key = path.split(".")
        section = layer
        for parent in parents:
            if not isinstance(section.get(parent, {}), dict):
                section[parent] = {"name": section[parent]}
            section = section.setdefault(parent, {})
        section[key] = dict(value) if isinstance(value, dict) else value
    return layer


def merge(*layers: Mapping[str, Any]) -> Section:
    """Merge layers of sections; later ones win. A section that changes its name drops the older one's options."""
    merged: Section = {}
    for layer in layers:
        for key, value in layer.items():
            if key == "data":
                merged[key] = _deep(dict(merged.get(key) or {}), _data(value))
                continue
            if key not in SECTIONS:
                merged[key] = value
                continue
            if value is None and key == "pretrain":
                merged[key] = None
                continue
            section = _as_section(key, value)
            old = merged.get(key) or {}
            renamed = "name" in section and section["name"] != old.get("name", section["name"])
            merged[key] = section if renamed else _deep({**old}, section)
    return merged


def _deep(old: Section, new: Mapping[str, Any]) -> Section:
    for key, value in new.items():
        both = isinstance(value, dict) and isinstance(old.get(key), dict)
        old[key] = _deep(dict(old[key]), value) if both else value
    return old


def _data(value: Any) -> Section:
    """Options of ``data``; a text alone is the path."""
    if isinstance(value, str):
        return {"path": value}
    if value is None or (isinstance(value, dict) and all(isinstance(name, str) for name in value)):
        return dict(value or {})
    raise UserError(f"data: expected a path or keys such as {{label: …}}, got {value!r}.")


def _as_section(key: str, value: Any) -> Section:
    if isinstance(value, str):
        return {"name": value}
    if isinstance(value, dict) and all(isinstance(name, str) for name in value):
        return dict(value)
    raise UserError(f"{key}: expected a name or keys such as {{name: …}}, got {value!r}.")


def read_seeds(value: Any) -> list[int]:
    """Turn ``3`` into seeds 0, 1, 2, ``7,`` into seed 7 alone, and ``0,4,7`` or a list into itself."""
    try:
        if isinstance(value, str) and "," in value:
            value = [int(part) for part in value.removesuffix(",").split(",")]
        elif isinstance(value, str):
            value = int(value)
    except ValueError:
        value = None
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_SEEDS:
        return list(range(value))
    if isinstance(value, list) and value and all(type(s) is int and s >= 0 for s in value):
        if len(set(value)) == len(value):
            return value
        raise UserError(f"seeds: {value} names a seed twice. Each seed is one run.")
    raise UserError(
        "seeds: expected a number of seeds such as 3 (seeds 0, 1, 2), or a list such as 0,4,7 (7, for one)."
    )
