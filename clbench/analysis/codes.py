"""Runs of the same settings and other code: told apart in labels; of another version, not comparable for the gate."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from clbench.analysis.runs import Run, flat_setup

CODE = {
    "strategy": "code.strategy",
    "model": "code.model",
    "optimizer": "code.optimizer",
}  # section → its code, as keys of a setup


def marks(setups: Sequence[Mapping[str, Any]], created: Sequence[str]) -> list[str]:
    """Return what to add to the names of setups so that other code of the same strategy or network is told apart.

    ``created``: when the newest run of each was made. The newest code says nothing, and so does the only one.
    """
    found = [""] * len(setups)
    for section, key in CODE.items():
        users: dict[Any, list[int]] = defaultdict(list)
        for place, setup in enumerate(setups):
            if key in setup:
                users[setup.get(f"{section}.name")].append(place)
        for name, places in users.items():
            codes = {place: str(setups[place].get(key)) for place in places}
            newest = max(places, key=lambda place: _age(codes[place], created[place]))
            several = set(codes.values())
            for place in places:
                if codes[place] != codes[newest]:
                    found[place] += f", {_mark(codes[place], several)}{'' if section == 'strategy' else f' of {name}'}"
    return found


def _age(code: str, created: str) -> tuple[list[int], str]:
    """What is greater is newer: the version, then the time."""
    return [int(version) for version in re.findall(r"version (\d+)", code)] or [1], created


def _mark(code: str, several: set[str]) -> str:
    if not any("code " in one for one in several):
        return code
    if "code " not in code:
        return "code not recorded"
    return "other code" if len(several) == 2 else code


def latest(runs: Iterable[Run]) -> list[Run]:
    """Return the runs of the newest code and scenario version, where runs that are one thing are wanted."""
    runs = list(runs)
    if not runs:
        return runs
    newest = max(runs, key=lambda run: _age(str(flat_setup(run.setup).get(CODE["strategy"])), run.created))
    return [run for run in runs if run.kind == newest.kind and _codes(run) == _codes(newest)]


def _codes(run: Run) -> list[Any]:
    return [flat_setup(run.setup).get(key) for key in CODE.values()]


def other_version(baseline: Iterable[Run], candidate: Iterable[Run]) -> str | None:
    """Say which unit of a candidate is of another version than its baseline's, and what to do; None if none is.

    Another version is meant to give other numbers. Other code of the same version – a plugin that was edited – is what
    the gate is asked about.
    """
    sides = [sorted({run.setup for run in runs}) for runs in (baseline, candidate)]
    for section, key in CODE.items():
        flats = [[flat_setup(setup) for setup in setups] for setups in sides]
        old, new = ({_version(str(flat[key])) for flat in side if key in flat} for side in flats)
        if old and new and old != new:
            name = flat_setup(sides[0][0]).get(f"{section}.name")
            was, now = (" and ".join(sorted(versions)) for versions in (old, new))
            return (
                f"baseline: {was} of {name}; candidate: {now}. Make the baseline anew with the candidate's code "
                "(--update takes the candidate's own runs), or name one that was"
            )
    return None


def _version(code: str) -> str:
    """What a unit's code says without its hash: 'version 1' where nothing is left."""
    return re.sub(r"(, )?\bcode \w+", "", code) or "version 1"


def _told(code: str, several: set[str]) -> str:
    return "code that was not recorded" if _mark(code, several) == "code not recorded" else code


def remark(runs: Iterable[Run]) -> str | None:
    """Say that older code of strategies stands beside newer in one folder, and what to do; None if none does."""
    newest: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for run in runs:
        code = str(flat_setup(run.setup).get(CODE["strategy"]))
        known = newest[run.source, run.strategy]
        known[code] = max(known.get(code, ""), run.created)
    older = []
    for (_, strategy), codes in sorted(newest.items()):
        ordered = sorted(codes, key=lambda code: _age(code, codes[code]))
        older += [(strategy, code, ordered[-1]) for code in ordered[:-1]]
    if not older:
        return None
    named = "; ".join(f"{strategy}, {_told(code, {code, last})} (newest: {last})" for strategy, code, last in older[:5])
    more = f"; and {len(older) - 5} more" if len(older) > 5 else ""
    strategy, code, _ = older[0]
    return (
        f"Older code stands beside newer, in rows of its own: {named}{more}. Run anew what should count, and remove the"
        f" old with, for instance: clbench results rm --strategy '{strategy}' --where 'code.strategy={code}'"
    )
