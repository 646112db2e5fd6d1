"""Filters by keys of a configuration: a key or value that no run has is an error, never an empty answer."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence

from clbench.analysis.runs import Run, flat_setup, setting
from clbench.errors import UserError, did_you_mean

SHOWN_VALUES = 20


def chosen(
    runs: Sequence[Run], scenarios: Sequence[str] = (), strategies: Sequence[str] = (), where: Sequence[str] = ()
) -> list[Run]:
    """Return the runs whose scenario and strategy match a pattern each, and whose config matches all of ``where``."""
    found = [run for run in runs if _named(run.scenario, scenarios) and _named(run.strategy, strategies)]
    return matching(found, where, runs)


def _named(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def matching(runs: Sequence[Run], where: Sequence[str], every: Sequence[Run]) -> list[Run]:
    """Return the runs whose config matches all of ``where``, texts such as ``optimizer.lr=0.05`` or ``model=cnn*``.

    ``every``: the runs before any filter, whose configs say which keys there are. Raises UserError for a text without
    '=', a key that no run has, and a value that none of the runs has.
    """
    for text in where:
        key, equals, pattern = (part.strip() for part in text.partition("="))
        if not equals:
            raise UserError(f"--where {text}: expected KEY=VALUE, for instance --where optimizer.lr=0.05.")
        check_key("--where", key, every)
        found = [run for run in runs if _fits(setting(run.setup, key), pattern)]
        if runs and not found:
            values = sorted({setting(run.setup, key) for run in runs})
            more = f" and {len(values) - SHOWN_VALUES} more" if len(values) > SHOWN_VALUES else ""
            raise UserError(
                f"--where {text}: no run has this value. Values of {key} are {', '.join(values[:SHOWN_VALUES])}{more}."
            )
        runs = found
    return list(runs)


def check_key(option: str, key: str, runs: Iterable[Run]) -> None:
    """Raise UserError, with the nearest keys, if no run has a key. Without runs there is nothing to say."""
    known = {name for setup in {run.setup for run in runs} for name in flat_setup(setup)}
    if not known or key in known or f"{key}.name" in known:
        return
    last = key.rpartition(".")[2]
    ends = [name for name in sorted(known) if name.rpartition(".")[2] == last]
    hint = f" Did you mean {' or '.join(map(repr, ends))}?" if ends else did_you_mean(key, sorted(known))
    raise UserError(
        f"{option} {key}: no run has this key in its config.{hint} 'clbench results show' lists a run's keys."
    )


def _fits(value: str, pattern: str) -> bool:
    """Whether a value matches a pattern, or is the same number."""
    if fnmatch.fnmatchcase(value, pattern):
        return True
    try:
        return float(value) == float(pattern)
    except ValueError:
        return False
