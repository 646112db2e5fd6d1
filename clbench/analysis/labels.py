"""Short names: as many settings as tell things apart, and no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clbench.analysis.codes import marks
from clbench.analysis.runs import flat_setup, short

Flat = Mapping[str, Any]


def labels(setups: Sequence[str], sources: Sequence[str], created: Sequence[str] = ()) -> list[str]:
    """Names of strategies with the settings that tell them apart; ``created``: when the newest run of each was made.

    Other code of the same strategy or network is said behind the name ("shrink, other code"; "rwalk, version 1").
    Settings of the run (model, optimiser, …) count when they differ between any two; options of a strategy when two
    configurations of the same strategy differ in them; the folder when it has what another one has too.
    """
    configs = [flat_setup(setup) for setup in setups]
    names = [str(config["strategy.name"]) for config in configs]
    codes = marks(configs, created or [""] * len(setups))
    run_keys = _differing([_without(config, "strategy.", "scenario.", "code.") for config in configs])
    own_keys = {
        name: _differing([_strategy(c) for c, other in zip(configs, names, strict=True) if other == name])
        for name in set(names)
    }
    several = {setup for setup in setups if setups.count(setup) > 1} if len(set(sources)) > 1 else set()
    found = []
    for config, name, code, setup, source in zip(configs, names, codes, setups, sources, strict=True):
        own = _strategy(config)
        parts = [f"{key}={short(own[key])}" for key in own_keys[name] if key in own]
        parts += [f"{key}={short(config[key])}" for key in run_keys if key in config]
        label = f"{name}{code} ({', '.join(parts)})" if parts else f"{name}{code}"
        found.append(f"{label} [{source}]" if setup in several else label)
    return found


def differences(mine: Flat, all_of_them: Sequence[Flat]) -> str:
    """The keys in which groups differ, with this group's values."""
    return ", ".join(f"{key} {short(mine.get(key, '–'))}" for key in _differing(all_of_them))


def _differing(flats: Sequence[Flat]) -> list[str]:
    """The keys in which any two differ, in order."""
    missing = object()
    keys = sorted({key for flat in flats for key in flat})
    return [key for key in keys if any(flat.get(key, missing) != flats[0].get(key, missing) for flat in flats)]


def _strategy(config: Flat) -> Flat:
    return {key.removeprefix("strategy."): value for key, value in config.items() if key.startswith("strategy.")}


def _without(config: Flat, *prefixes: str) -> Flat:
    return {key: value for key, value in config.items() if not key.startswith(prefixes)}
