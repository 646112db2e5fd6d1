"""Which cell of a candidate belongs to which cell of a baseline. A cell is one configuration over its seeds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from clbench.analysis.labels import labels
from clbench.analysis.runs import Run, flat_setup, short
from clbench.store import canonical


@dataclass(frozen=True)
class Pair:
    """A baseline's cell and the candidate's that belongs to it; either may be absent."""

    scenario: str
    label: str
    baseline: list[Run]
    candidate: list[Run]
    changed: str = ""  # settings that differ, where no candidate has the baseline's
    recoded: str = ""  # code that differs, likewise

    @property
    def shared(self) -> list[tuple[Run, Run]]:
        """The baseline's run and the candidate's, of each seed that both have."""
        mine = {run.seed: run for run in self.candidate}
        return [(run, mine[run.seed]) for run in self.baseline if run.seed in mine]

    @property
    def ended(self) -> list[tuple[Run, Run]]:
        """Those of ``shared`` that diverged on neither side."""
        return [(old, new) for old, new in self.shared if "diverged" not in (old.status, new.status)]


def pairs(baseline: Iterable[Run], candidate: Iterable[Run]) -> list[Pair]:
    """Match cells by configuration; else by scenario and strategy, where only one on each side is left.

    Cells whose code or number format alone differs belong together: both are what a gate is asked about.
    """
    mine, theirs = _by_setup(candidate), _by_setup(baseline)
    matches = {setup: setup for setup in theirs if setup in mine}
    matches |= _alike([setup for setup in theirs if setup not in mine], [s for s in mine if s not in theirs])
    left = [setup for setup in theirs if setup not in matches]
    others = set(mine) - set(matches.values())
    for setup in left:
        rivals = [s for s in left if _same_method(theirs[s][0], theirs[setup][0])]
        free = [s for s in others if _same_method(mine[s][0], theirs[setup][0])]
        if len(rivals) == len(free) == 1:
            matches[setup] = free[0]
    names = _names(theirs)
    found = [
        Pair(
            group[0].scenario,
            names[setup],
            group,
            mine.get(matches.get(setup, ""), []),
            *_changes(setup, matches.get(setup, setup)),
        )
        for setup, group in theirs.items()
    ]
    new = [setup for setup in mine if setup not in matches.values()]
    found += [Pair(mine[setup][0].scenario, mine[setup][0].strategy, [], mine[setup]) for setup in new]
    return found


def _by_setup(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """Runs of each configuration in order of seeds, wherever they lie; of two of one seed the newest counts."""
    newest: dict[tuple[str, int], Run] = {}
    for run in sorted(runs, key=lambda run: run.created):
        newest[run.setup, run.seed] = run
    groups: dict[str, list[Run]] = {}
    for (setup, _), run in sorted(newest.items()):
        groups.setdefault(setup, []).append(run)
    return groups


def _names(groups: Mapping[str, Sequence[Run]]) -> dict[str, str]:
    """A label for each configuration, as short as its scenario allows."""
    found: dict[str, str] = {}
    for scenario in {group[0].scenario for group in groups.values()}:
        setups = [setup for setup, group in groups.items() if group[0].scenario == scenario]
        created = [max(run.created for run in groups[setup]) for setup in setups]
        found |= zip(setups, labels(setups, [""] * len(setups), created), strict=True)
    return found


def _alike(theirs: Sequence[str], mine: Sequence[str]) -> dict[str, str]:
    """Configurations that are the same but for the code of their units and the number format."""
    same = {_essence(setup): setup for setup in mine}
    return {setup: same[key] for setup in theirs if (key := _essence(setup)) in same}


def _essence(setup: str) -> str:
    return canonical({key: value for key, value in json.loads(setup).items() if key not in ("code", "precision")})


def _same_method(one: Run, other: Run) -> bool:
    return (one.scenario, one.strategy) == (other.scenario, other.strategy)


def _changes(old: str, new: str) -> tuple[str, str]:
    """Settings that differ, and code that does."""
    before, after = flat_setup(old), flat_setup(new)
    keys = sorted(key for key in {*before, *after} if before.get(key) != after.get(key))
    told = {key: f"{key} {short(before.get(key, '–'))} → {short(after.get(key, '–'))}" for key in keys}
    recoded = [key for key in keys if key.startswith("code.")]
    return ", ".join(told[key] for key in keys if key not in recoded), ", ".join(told[key] for key in recoded)
