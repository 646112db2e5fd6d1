"""Runs of one configuration over their seeds: the rows that a board is made of, before anything is compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from statistics import fmean

from clbench.analysis.boards import Entry, Method
from clbench.analysis.costs import COSTS
from clbench.analysis.labels import labels
from clbench.analysis.references import FINE_TUNING
from clbench.analysis.runs import Run, by_seed, cells
from clbench.analysis.statistics import Estimate, estimate
from clbench.errors import UserError
from clbench.store.warnings import kind_of, kinds_of

# The stability–plasticity plane, by the first of the two forgettings that is known.
PLANE = ("learning_accuracy", "forgetting", "forgetting_first_last")
BOOTSTRAPPED = 10  # seeds; of fewer a nominal 95 % interval covers far less (METHODS: 69 % at three, 91 % at ten)
ROLES = ("control", "bound", "method")


@dataclass(frozen=True)
class Row:
    """An entry that nothing has been said of yet, with its first column's values by seed (none if one diverged)."""

    entry: Entry
    values: Mapping[int, float]

    @property
    def mean(self) -> float:
        """The mean over its seeds."""
        return fmean(self.values.values())


def of_one_group(runs: Sequence[Run], method: Method, apart: bool = False) -> list[Row]:
    """The rows of runs that may be compared; strategies whose R are the same, bit for bit, are one row, unless kept
    ``apart``.

    Raises UserError for bootstrap intervals of few seeds.
    """
    groups = cells(runs)
    created = [max(run.created for run in group) for group in groups.values()]
    names = labels([setup for setup, _ in groups], [source for _, source in groups], created)
    seeds = {run.seed for run in runs}
    rows: dict[object, Row] = {}
    made = [_row(label, group, method, seeds) for label, group in zip(names, groups.values(), strict=True)]
    # In one order, whatever that of the files: the first of those that are the same gives the row its name.
    for mine, group in sorted(zip(made, groups.values(), strict=True), key=lambda pair: _precedence(pair[0])):
        key = _same(group, rows, apart)
        rows[key] = _merged(rows[key], mine) if key in rows else mine
    return list(rows.values())


def scores(rows: Sequence[Row]) -> list[float]:
    """Each row's mean as if it had all seeds, so that lucky seeds give no better place; 0 for rows without a number.

    What its own seeds are above the others is read off the rows that have all.
    """
    whole = [row for row in rows if row.values and not row.entry.lacks]
    luck: dict[frozenset[int], float] = {}  # few sets of seeds, many rows
    found = []
    for row in rows:
        mine = frozenset(row.values)
        if row.entry.lacks and mine not in luck:
            lucky = [
                fmean(one.values[seed] for seed in mine) - one.mean for one in whole if mine and mine <= {*one.values}
            ]
            luck[mine] = fmean(lucky) if lucky else 0.0
        found.append(row.mean - (luck[mine] if row.entry.lacks else 0.0) if mine else 0.0)
    return found


def _same(group: Sequence[Run], rows: Mapping[object, Row], apart: bool) -> object:
    """What tells a row from others: its runs' R of all seeds; its configuration, where that is another's of the same
    strategy (settings that change nothing are worth seeing), where a seed diverged, and of all that are kept apart.
    """
    first = group[0]
    key = (first.source, tuple((run.seed, run.accuracy) for run in group))
    taken = rows.get(key)
    apart = apart or any(run.status != "ok" for run in group)
    if apart or (taken is not None and taken.entry.strategy == first.strategy):
        return first.setup, first.source
    return key


def _merged(one: Row, other: Row) -> Row:
    """The first of two names of the same runs, with the other behind it.

    What its warnings say of the other stands behind its name: 'never fired' is no fault of the first.
    """
    also = one.entry.also | {other.entry.label: list(other.entry.warnings)}
    return replace(one, entry=replace(one.entry, also=also))


def _precedence(row: Row) -> tuple[bool, int, str]:
    """Whose name stands first: fine-tuning's, which others are compared with, a control's, else by its letters."""
    return row.entry.strategy not in FINE_TUNING, ROLES.index(row.entry.role), row.entry.label


def _row(label: str, group: Sequence[Run], method: Method, seeds: set[int]) -> Row:
    diverged = sum(run.status == "diverged" for run in group)
    if method.interval == "bootstrap" and len(group) < BOOTSTRAPPED:
        raise UserError(
            f"--interval bootstrap: '{label}' has {len(group)} seeds, and below {BOOTSTRAPPED} a bootstrap interval "
            "covers far less than it says. Leave it at Student's t, or run more seeds."
        )
    estimates: dict[str, Estimate | None] = {}
    for column in dict.fromkeys((*method.columns, *chain(*method.fronts), *PLANE, *COSTS)):
        values = by_seed(group, column)
        estimates[column] = estimate(list(values.values()), method.interval) if values and not diverged else None
    first, mine = group[0], [run.seed for run in group]
    entry = Entry(label, first.strategy, first.role, first.setup, first.source, mine, diverged, estimates, _told(group))
    return Row(replace(entry, lacks=sorted(seeds - {*mine})), {} if diverged else by_seed(group, method.columns[0]))


def _told(group: Sequence[Run]) -> dict[str, list[int]]:
    """The seeds with warnings of each kind, the gravest kind first."""
    kinds = {run.seed: {*map(kind_of, run.warnings)} for run in group}
    every = kinds_of(warning for run in group for warning in run.warnings)
    return {kind: [seed for seed, found in kinds.items() if kind in found] for kind in every}
