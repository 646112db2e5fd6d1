"""What clbench ships beside the scenarios: standard settings, and those that 'clbench tune' chose for a strategy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from clbench import registry
from clbench.config.layers import Section
from clbench.errors import UserError
from clbench.yaml_files import read_yaml


def shipped(kind: str, pattern: str = "*") -> list[Path]:
    """Return the YAML files of a kind, 'standard' or 'tuned', in order; ``pattern``: below their folder."""
    return sorted((registry.scenario.folder / kind).glob(f"{pattern}.yaml"))


def shipped_recipes() -> Mapping[str, Sequence[str]]:
    """Return the scenarios for which settings of a strategy are shipped, by its name."""
    found: dict[str, list[str]] = {}
    for file in shipped("tuned", "*/*"):
        found.setdefault(file.stem, []).append(file.parent.name)
    return found


def shipped_recipe(strategy: str | None, scenario: str) -> Section:
    """Return settings that 'clbench tune' chose and clbench ships; UserError if there are none for these two."""
    files = {(file.stem, file.parent.name): file for file in shipped("tuned", "*/*")}
    file = files.get((strategy or "", scenario))
    if file is None:
        known = ", ".join(sorted(f"{name} on {where}" for name, where in files))
        raise UserError(
            f"--tuned: no settings are shipped for '{strategy}' on '{scenario}'. There are: {known}. Choose some with "
            "'clbench tune'."
        )
    return read_yaml(file)
