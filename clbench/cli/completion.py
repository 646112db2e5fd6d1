"""What a shell offers after Tab: names of units, metrics and keys, all from source text; nothing slow is imported."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import typer

SECTIONS = ("strategy", "scenario", "model")


def strategies(incomplete: str) -> list[str]:
    """Names of strategies; of the part that is being written, in a composition such as 'lwf+e'."""
    from clbench import registry, store

    known = registry.strategy.listed
    before, plus, _ = incomplete.rpartition("+")
    composed = bool(plus) and all(part in known for part in store.parts(before))
    return _beginning(incomplete, [*known, *(f"{before}+{name}" for name in known if composed)])


def scenarios(incomplete: str) -> list[str]:
    """Names of scenarios."""
    return _beginning(incomplete, _names("scenario"))


def models(incomplete: str) -> list[str]:
    """Names of networks."""
    return _beginning(incomplete, _names("model"))


def columns(incomplete: str) -> list[str]:
    """Names of metrics, and seconds."""
    from clbench.analysis.columns import known

    return _beginning(incomplete, known())


def units(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of the kind of unit that stands before: 'describe KIND NAME'."""
    kind = ctx.params.get("kind")
    return _beginning(incomplete, _names(str(getattr(kind, "value", kind))))


def assigned_keys(ctx: typer.Context, incomplete: str) -> list[str]:
    """Keys that a run of the chosen units may set, each with '='."""
    chosen = {section: ctx.params.get(section) for section in SECTIONS}
    return _beginning(incomplete, (f"{key}=" for key in _keys(chosen)))


def filtered_keys(incomplete: str) -> list[str]:
    """Keys that the config of any run may have, each with '='."""
    return _beginning(incomplete, (f"{key}=" for key in _keys({})))


def split_keys(incomplete: str) -> list[str]:
    """Likewise, without '='."""
    return _beginning(incomplete, _keys({}))


def _keys(chosen: dict[str, Any]) -> list[str]:
    from clbench.config import keys

    return keys.keys({section: name if isinstance(name, str) else None for section, name in chosen.items()})


def _names(kind: str) -> list[str]:
    from clbench import registry

    match kind:
        case "metric":
            return columns("")
        case "scenario":
            from clbench.config.names import every_scenario

            return every_scenario()
        case "strategy" | "model":
            return list(registry.REGISTRIES[kind].listed)
    return []


def _beginning(incomplete: str, words: Iterable[str]) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]
