"""Keywords of a call as a layer of a configuration: the keys of YAML files and of ``--set``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from clbench import registry, store
from clbench.config import keys
from clbench.config.layers import SECTIONS, Section, assigned, merge
from clbench.errors import UserError
from clbench.yaml_files import read_yaml

Given = str | Mapping[str, Any]
Seeds = int | str | Iterable[int]


def layers_of(
    config: str | Path | Mapping[str, Any] | None,
    units: Mapping[str, Any],
    settings: Mapping[str, Any],
    made: bool = False,
) -> list[Section]:
    """Return the layers that a call has: a config or its file, the units by name or as sections, and other keywords.

    ``units``: strategy, scenario, model, seeds, …; None where they were not given. Of the other keywords one that is a
    key of a config is that, a mapping gives a section's options, a dotted name one of them, and any other name is an
    option of the strategy, unless that is ``made``, an object with its options. Raises UserError for one that is
    nothing, with what it may have meant.
    """
    base = plain(config) if isinstance(config, Mapping) else read_yaml(Path(config)) if config is not None else {}
    chosen = {
        key: seeds_of(value) if key == "seeds" else plain(value) for key, value in units.items() if value is not None
    }
    for section in SECTIONS:
        if section in chosen and not isinstance(chosen[section], str | dict):
            got = type(chosen[section]).__name__
            raise UserError(
                f"{section}: expected a name, or a mapping such as {{'name': …}}, got an object of type {got}."
            )
    told = merge(base, chosen)
    given = _keywords(plain(settings), told)
    if made and "strategy" in given:
        raise UserError(
            f"{next(iter(given['strategy']))}: the strategy is an object that has its options already. Give them to "
            "its constructor."
        )
    return [base, chosen, given]


def _keywords(settings: Section, told: Section) -> Section:
    """Settings by keyword as a layer; what is ``told`` elsewhere says which options there are."""
    top = {key for key in keys.keys({}) if "." not in key}
    name = str((told.get("strategy") or {}).get("name") or "")
    found: Section = {}
    for key, value in settings.items():
        if "." in key or key in top:
            found[key] = value
        elif key in _options(name) or any("." in part for part in store.parts(name)):
            found[f"strategy.{key}"] = value
        else:
            raise UserError(keys.unknown(key, value, merge(told, {"strategy": name}), as_keyword))
    return assigned(found)


def _options(strategy: str) -> set[str]:
    """The options of a strategy's parts, as their source text declares them; those of an import path are not known."""
    listed = registry.strategy.listed
    return {option.name for part in store.parts(strategy) if part in listed for option in listed[part].options}


def as_keyword(key: str, value: Any) -> str:
    """How a call sets a key.

    >>> as_keyword("strategy.lam", 5), as_keyword("optimizer.lr", 0.1), as_keyword("epochs", 2)
    ('lam=5', "optimizer={'lr': 0.1}", 'epochs=2')
    """
    section, _, option = key.partition(".")
    if not option:
        return f"{key}={value!r}"
    if section == "strategy" and "." not in option:
        return f"{option}={value!r}"
    return f"**{{{key!r}: {value!r}}}" if "." in option else f"{section}={{{option!r}: {value!r}}}"


def seeds_of(value: Seeds) -> Any:
    """A number, a text such as '0,4,7', or any collection of seeds as a list."""
    return plain(value) if isinstance(value, str) or not isinstance(value, Iterable) else [plain(one) for one in value]


def plain(value: Any) -> Any:
    """A value as YAML would have it: NumPy's numbers are numbers, tuples lists, paths texts."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, Path):
        return str(value)
    if type(value).__module__ == "numpy" and hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return value.item()
    return value
