"""The keys of a configuration by dotted path, as far as source text says them, and what a wrong one may have meant.

Nothing here imports a unit or torch, so that completion and errors come at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from clbench import registry, store
from clbench.config.layers import SECTIONS, Section
from clbench.config.standard import stream_name
from clbench.registry.catalogue import Listed, Option, common_options, functions_with, options_of_function

HERE = Path(__file__).parents[1]
# What other tools and papers call an option that has another name here.
SYNONYMS = {
    "lambda": "lam",
    "learning_rate": "lr",
    "wd": "weight_decay",
    "batch": "batch_size",
    "num_epochs": "epochs",
    "n_epochs": "epochs",
    "num_tasks": "tasks",
    "n_tasks": "tasks",
    "buffer": "memory",
    "buffer_size": "memory",
    "mem_size": "memory",
    "memory_size": "memory",
    "optim": "optimizer",
    "optimiser": "optimizer",
}


def optimizer_options() -> dict[str, list[Option]]:
    """Options of each optimiser, by its name."""
    return functions_with("lr", HERE / "optimizers" / "__init__.py")


def keys(chosen: Mapping[str, str | None]) -> list[str]:
    """Every key that a run may set, given names of its units by section; where none is chosen, those of all units."""
    from clbench.config import RunConfig

    found = [key for key in RunConfig.model_fields if key not in ("seed", "code", "tuned")] + ["seeds"]
    for section, options in _options(chosen).items():
        found += [f"{section}.{option}" for option in dict.fromkeys(options)]
    return found


def _options(chosen: Mapping[str, str | None]) -> dict[str, list[str]]:
    """Names of options, section by section."""
    optimizers = optimizer_options()
    optimizer = chosen.get("optimizer")
    wanted = [optimizers[optimizer]] if optimizer in optimizers else list(optimizers.values())
    return {
        "strategy": _of_composition(store.parts(chosen.get("strategy") or "")),
        "scenario": [*_of(registry.scenario.listed, _families(chosen)), *(option.name for option in common_options())],
        "model": [*_of(registry.model.listed, [chosen.get("model") or ""]), "classifier"],
        "optimizer": ["name", *(option.name for options in wanted for option in options)],
        "data": [option.name for option in options_of_function(HERE / "data" / "description.py", "data_options")],
        "pretrain": [option.name for option in options_of_function(HERE / "config" / "__init__.py", "pretraining")],
    }


def _families(chosen: Mapping[str, str | None]) -> list[str]:
    """The family of the scenario: the longest that its name begins with."""
    name = stream_name(chosen.get("scenario") or "")
    return sorted((one for one in registry.scenario.listed if name.startswith(f"{one}-")), key=len)[-1:]


def _of(units: Mapping[str, Listed], names: Iterable[str]) -> list[str]:
    """Options of the named units; of all, if none of the names is known."""
    named = [units[name] for name in names if name in units] or list(units.values())
    return [option.name for unit in named for option in unit.options]


def _of_composition(names: list[str]) -> list[str]:
    """Options of the parts of a strategy; one that several parts have is told apart by the part's name."""
    parts = {name: _of(registry.strategy.listed, [name]) for name in names if name in registry.strategy.listed}
    if len(parts) < 2:
        return _of(registry.strategy.listed, parts)
    every = [option for options in parts.values() for option in options]
    return [
        option if every.count(option) == 1 else f"{name}.{option}"
        for name, options in parts.items()
        for option in options
    ]


def plain(word: str) -> str:
    """A key as its own name is written: 'Batch-Size' is 'batch_size', 'learning-rate' is 'lr'."""
    word = word.strip().lower().replace("-", "_")
    return SYNONYMS.get(word, word)


def named(word: str, known: Iterable[str]) -> list[str]:
    """The known keys that a word names in whole, else those that it names by their last part."""
    known = list(dict.fromkeys(known))
    whole, last = plain(word), plain(plain(word).rpartition(".")[2])
    return [key for key in known if key == whole] or [key for key in known if key.rpartition(".")[2] == last]


def meant(word: str, known: Iterable[str]) -> list[str]:
    """The known keys that a word names; else the nearest by spelling, if one is near.

    >>> meant("lr", ["epochs", "optimizer.lr", "pretrain.lr"])
    ['optimizer.lr', 'pretrain.lr']
    >>> meant("strategy.lamda", ["strategy.lam", "strategy.alpha"])
    ['strategy.lam']
    """
    known = list(dict.fromkeys(known))
    ends = {key.rpartition(".")[2]: key for key in reversed(known)}
    near = get_close_matches(plain(word), known, n=1, cutoff=0.6)
    near = near or [ends[end] for end in get_close_matches(word.rpartition(".")[2], ends, n=1, cutoff=0.6)]
    return named(word, known) or near


def either(words: Iterable[str]) -> str:
    """'a', 'a or b', 'a, b or c'."""
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def assignment(key: str, value: Any) -> str:
    """How the command line sets a key."""
    return f"--set {key}={written(value)}"


def unknown(key: str, value: Any, given: Section, setting: Callable[[str, Any], str] = assignment) -> str:
    """What to say of a key that no configuration has: the keys it may have meant, and how one is set to the value."""
    while isinstance(value, dict) and len(value) == 1:
        ((last, value),) = value.items()
        key = f"{key}.{last}"
    head = f"Unknown key '{key}'."
    known = keys({section: _name(given.get(section)) for section in SECTIONS})
    if given.get("pretrain") is None:
        known = [one for one in known if not one.startswith("pretrain.")]
    found = meant(key, known)
    if found:
        example = "" if isinstance(value, dict) else f", as in {setting(found[0], value)}"
        return f"{head} Did you mean {either(map(repr, found))}{example}?"
    return f"{head} Keys are {', '.join(one for one in known if '.' not in one)}."


def _name(section: Any) -> str | None:
    name = section.get("name") if isinstance(section, dict) else section
    return None if name is None else str(name)


def written(value: Any) -> str:
    """A value as it is given to --set."""
    return value if isinstance(value, str) else store.canonical(value)
