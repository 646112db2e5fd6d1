"""What a leaderboard is: rows that may be compared, what each is worth, and how boards are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from clbench.analysis.answers import Against
from clbench.analysis.pareto import FRONT, Objectives
from clbench.analysis.runs import Run, cells
from clbench.analysis.significance import Test
from clbench.analysis.statistics import Estimate, Interval
from clbench.store.warnings import spoilt

Role = Literal["method", "bound", "control"]
MARGIN = 0.01


@dataclass(frozen=True)
class Entry:
    """One row: a strategy with its settings over its seeds. A diverged seed makes the whole row diverged.

    ``warnings``: for each kind of warning, the gravest first, the seeds that carry it. A row with a seed whose numbers
    are ``spoilt`` (collapsed, single class, unstable) has no rank and no place on a front, and nobody is compared
    with it: what happens to one seed belongs to the method, as divergence does, and a mean over the others flatters.

    ``rank``: its place among methods, by the first column; bounds and controls have none. ``against`` the board's
    reference, ``may_be_best`` (of methods; None: a single seed, or a single row), ``way``: the share of the way from
    fine-tuning to the bound that it covers. ``also``: labels of other strategies whose runs are these, bit for bit,
    each with the kinds of its warnings. ``lacks``: seeds that other rows have and this one has not. ``front``: on one
    of the fronts that were asked for: no other row that may win is as good in all of its objectives and better in one.
    Bounds are on none.
    """

    label: str
    strategy: str
    role: Role
    setup: str
    source: str
    seeds: list[int]
    diverged: int
    estimates: dict[str, Estimate | None]
    warnings: dict[str, list[int]] = field(default_factory=dict)
    also: dict[str, list[str]] = field(default_factory=dict)
    lacks: list[int] = field(default_factory=list)
    rank: int | None = None
    against: Against | None = None
    may_be_best: bool | None = None
    way: float | None = None
    front: bool = False

    @property
    def names(self) -> list[str]:
        """All labels of the row."""
        return [self.label, *self.also]

    @property
    def spoilt(self) -> bool:
        """Whether warnings keep the row from winning."""
        return spoilt(self.warnings)

    @property
    def state(self) -> str:
        """What became of it in a word: how it stands to the reference, or why nothing can be said."""
        if self.diverged:
            return "diverged"
        if self.spoilt:
            return next(kind for kind in self.warnings if spoilt([kind]))
        return "" if self.against is None else self.against.stand


@dataclass(frozen=True)
class Leaderboard:
    """Entries that may be compared: one scenario, one version, one set of data, one set of metric versions.

    Methods stand first, by the first column, then bounds, then controls; in each those without a number last.
    ``setting`` says what tells this board from others of the same scenario; empty if there is only one. ``kind`` is
    what its runs have in common. ``reference``: what rows are compared with, empty if with nothing, ``missing`` then
    says why; ``margin`` within which rows are equal, in the first column's unit; ``bound``: the label of the row to
    which ``way`` leads.
    """

    scenario: str
    setting: str
    kind: str
    metrics: list[str]
    entries: list[Entry]
    interval: Interval = "t"
    test: Test = "moderated"
    reference: str = ""
    missing: str = ""
    margin: float = MARGIN
    bound: str = ""
    fronts: Sequence[Objectives] = (FRONT,)

    @property
    def title(self) -> str:
        """Scenario and setting."""
        return f"{self.scenario} · {self.setting}" if self.setting else self.scenario

    def of_role(self, role: Role) -> list[Entry]:
        """The entries of one role, in order."""
        return [entry for entry in self.entries if entry.role == role]

    def runs_by_entry(self, runs: Iterable[Run]) -> list[list[Run]]:
        """Return each entry's runs, in the entries' order."""
        mine = cells(run for run in runs if (run.scenario, run.kind) == (self.scenario, self.kind))
        return [mine[entry.setup, entry.source] for entry in self.entries]


@dataclass(frozen=True)
class Method:
    """How leaderboards are made: columns (the first one ranks), interval, test, a key to split by.

    Without columns each board has those that suit its scenario. ``against``: a row's label, a strategy or a folder;
    None: fine-tuning, where it is there. ``margin``: differences below it are none for practical purposes; of columns
    that are no shares, the same share of the reference's value. A front is its objectives' columns.
    """

    columns: Sequence[str] = ()
    interval: Interval = "t"
    test: Test = "moderated"
    by: str | None = None
    against: str | None = None
    margin: float = MARGIN
    fronts: Sequence[Objectives] = (FRONT,)
