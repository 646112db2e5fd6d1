"""Leaderboards: runs that may be compared, ranked over seeds, with what the seeds allow to say."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from clbench import metrics
from clbench.analysis.columns import resolved
from clbench.analysis.labels import differences, labels
from clbench.analysis.pareto import FRONT, front
from clbench.analysis.relative import RELATIVE, with_relative
from clbench.analysis.runs import Run, setting
from clbench.analysis.significance import ALPHA, Comparison, Test, compare, holm, seeds_needed
from clbench.analysis.statistics import Estimate, Interval, estimate
from clbench.store.warnings import kind_of, kinds_of, spoilt

DEFAULT_METRICS = ("average_accuracy", "forgetting", "learning_accuracy", "seconds")
# Where all stages share one test set, nothing can be forgotten.
WARM_START_METRICS = (
    "final_test_accuracy",
    "generalisation_gap",
    "mean_test_accuracy",
    "steps_to_threshold",
    "seconds",
)
# Where not all tasks are evaluated after each stage, the best earlier accuracy is unknown, the first is not.
LONG_STREAM_METRICS = (
    "average_accuracy",
    "forgetting_first_last",
    "learning_accuracy",
    "online_accuracy",
    "online_trend",
    "seconds",
)
# The stability–plasticity plane, by the first of the two forgettings that is known.
PLANE = ("learning_accuracy", "forgetting", "forgetting_first_last")
# best: ranked first; level: not significantly worse; worse: significantly; unclear: too few seeds for the test
Verdict = Literal["best", "level", "worse", "unclear"]


@dataclass(frozen=True)
class Entry:
    """One row: a strategy with its settings over its seeds. A diverged seed makes the whole row diverged.

    ``warnings``: for each kind of warning, the gravest first, the seeds that carry it. A row with a seed whose numbers
    are ``spoilt`` (collapsed, single class, unstable) has no rank and no place on the front, and nobody is compared
    with it: what happens to one seed belongs to the method, as divergence does, and a mean over the others flatters.

    ``against_best`` compares its first metric with the best row's, ``p`` is adjusted by Holm's method over the board,
    ``seeds_needed`` says how many seeds would tell the two apart. ``front``: no other row that may win is as
    good in accuracy, forgetting and seconds and better in one.
    """

    rank: int | None
    label: str
    strategy: str
    setup: str
    source: str
    seeds: list[int]
    diverged: int
    estimates: dict[str, Estimate | None]
    verdict: Verdict | None = None
    against_best: Comparison | None = None
    p: float | None = None
    seeds_needed: int | None = None
    front: bool = False
    warnings: dict[str, list[int]] = field(default_factory=dict)

    @property
    def spoilt(self) -> bool:
        """Whether warnings keep the row from winning."""
        return spoilt(self.warnings)


@dataclass(frozen=True)
class Leaderboard:
    """Entries that may be compared: one scenario, one version, one set of data, one set of metric versions.

    ``setting`` says what tells this board from others of the same scenario; empty if there is only one. ``kind`` is
    what its runs have in common.
    """

    scenario: str
    setting: str
    kind: str
    metrics: list[str]
    entries: list[Entry]
    interval: Interval = "t"
    test: Test = "permutation"

    @property
    def title(self) -> str:
        """Scenario and setting."""
        return f"{self.scenario} · {self.setting}" if self.setting else self.scenario

    def runs_by_entry(self, runs: Iterable[Run]) -> list[list[Run]]:
        """Return each entry's runs, in the entries' order."""
        mine = cells(run for run in runs if (run.scenario, run.kind) == (self.scenario, self.kind))
        return [mine[entry.setup, entry.source] for entry in self.entries]


@dataclass(frozen=True)
class Method:
    """How leaderboards are made: columns (the first one ranks), interval, test, a key to split by.

    Without columns each board has those that suit its scenario.
    """

    columns: Sequence[str] = ()
    interval: Interval = "t"
    test: Test = "permutation"
    by: str | None = None


def better(metric: str) -> str:
    """Say whether 'higher' or 'lower' values of a column are better."""
    if metric in RELATIVE:
        return RELATIVE[metric].better
    return "lower" if metric == "seconds" else metrics.METRICS[metric].better


def check_metrics(names: Sequence[str]) -> list[str]:
    """Return the columns that names or headings mean; UserError with the nearest name for an unknown one."""
    return resolved(names)


def leaderboards(runs: Iterable[Run], method: Method | None = None) -> list[Leaderboard]:
    """Sort runs into leaderboards, ranked by the first column.

    Runs whose scenario options or version, data fingerprint, scored images or metric versions differ never meet in one
    board; the boards' settings say what differs.
    """
    method = method or Method()
    method = replace(method, columns=check_metrics(method.columns))
    by_scenario: dict[str, dict[tuple[str, str], list[Run]]] = defaultdict(lambda: defaultdict(list))
    for run in with_relative(runs):
        value = setting(run.setup, method.by) if method.by else ""
        by_scenario[run.scenario][run.kind, value].append(run)
    boards = []
    for scenario, groups in sorted(by_scenario.items()):
        kinds = {kind: json.loads(kind) for kind, _ in groups}
        for (kind, value), group in sorted(groups.items()):
            parts = [f"{method.by} {value}"] if method.by else []
            parts += [differences(kinds[kind], list(kinds.values()))] if len(kinds) > 1 else []
            mine = method if method.columns else replace(method, columns=_suitable(group))
            entries = _ranked(_entries(group, mine), mine)
            told_by, columns = ", ".join(parts), list(mine.columns)
            boards.append(Leaderboard(scenario, told_by, kind, columns, entries, method.interval, method.test))
    return boards


def _suitable(runs: Sequence[Run]) -> Sequence[str]:
    """The columns that say most of these runs."""

    def known(column: str) -> bool:
        return any(run.value(column) is not None for run in runs)

    if known("final_test_accuracy"):
        return WARM_START_METRICS
    return LONG_STREAM_METRICS if known("forgetting_first_last") and not known("forgetting") else DEFAULT_METRICS


def cells(runs: Iterable[Run]) -> dict[tuple[str, str], list[Run]]:
    """Group runs by configuration and source; in order of seeds."""
    groups: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: run.seed):
        groups[run.setup, run.source].append(run)
    return groups


def by_seed(runs: Iterable[Run], column: str) -> dict[int, float]:
    """Return a column's value of each seed; empty if a run has none."""
    values = {run.seed: run.value(column) for run in runs}
    return {seed: value for seed, value in values.items() if value is not None} if None not in values.values() else {}


def _entries(runs: Sequence[Run], method: Method) -> list[tuple[Entry, list[Run]]]:
    groups = cells(runs)
    created = [max(run.created for run in group) for group in groups.values()]
    names = labels([setup for setup, _ in groups], [source for _, source in groups], created)
    return [(_entry(name, group, method), group) for name, group in zip(names, groups.values(), strict=True)]


def _entry(label: str, group: Sequence[Run], method: Method) -> Entry:
    diverged = sum(run.status == "diverged" for run in group)
    estimates: dict[str, Estimate | None] = {}
    for column in dict.fromkeys((*method.columns, *FRONT, *PLANE)):
        values = by_seed(group, column)
        estimates[column] = estimate(list(values.values()), method.interval) if values and not diverged else None
    first, seeds = group[0], [run.seed for run in group]
    told = _told(group)
    return Entry(None, label, first.strategy, first.setup, first.source, seeds, diverged, estimates, warnings=told)


def _told(group: Sequence[Run]) -> dict[str, list[int]]:
    """The seeds with warnings of each kind, the gravest kind first."""
    kinds = {run.seed: {*map(kind_of, run.warnings)} for run in group}
    every = kinds_of(warning for run in group for warning in run.warnings)
    return {kind: [seed for seed, found in kinds.items() if kind in found] for kind in every}


def _ranked(entries: Sequence[tuple[Entry, list[Run]]], method: Method) -> list[Entry]:
    """Rank the entries that may win, and compare each with the best; then come those that are spoilt, then diverged."""
    column = method.columns[0]
    sign = 1 if better(column) == "lower" else -1

    def order(pair: tuple[Entry, list[Run]]) -> tuple[bool, bool, float, str]:
        first = pair[0].estimates[column]
        return (first is None, pair[0].spoilt, sign * first.mean if first else 0.0, pair[0].label)

    ordered = sorted(entries, key=order)
    known = [(entry, by_seed(group, column)) for entry, group in ordered if _ranks(entry, column)]
    found = [compare(values, known[0][1], method.test) for _, values in known[1:]]
    tested = [one.p for one in found if one.p is not None]
    adjusted = iter(holm(tested))
    verdicts: list[Entry] = [replace(entry, rank=1, verdict="best") for entry, _ in known[:1]]
    for place, ((entry, _), one) in enumerate(zip(known[1:], found, strict=True), start=2):
        p = next(adjusted) if one.p is not None else None
        verdicts.append(
            replace(
                entry,
                rank=place,
                verdict=_verdict(p, one, len(tested)),
                against_best=one,
                p=p,
                seeds_needed=seeds_needed(one, len(found), method.test),
            )
        )
    verdicts += [entry for entry, _ in ordered if not _ranks(entry, column)]
    able = [place for place, entry in enumerate(verdicts) if not entry.spoilt]
    on_front = {able[place] for place in front([verdicts[place].estimates for place in able])}
    return [replace(entry, front=True) if place in on_front else entry for place, entry in enumerate(verdicts)]


def _ranks(entry: Entry, column: str) -> bool:
    return entry.estimates[column] is not None and not entry.spoilt


def _verdict(p: float | None, found: Comparison, comparisons: int) -> Verdict:
    if p is None:
        return "unclear"
    if p <= ALPHA:
        return "worse"
    # Had all seeds agreed, the test could still not have said so.
    able = found.smallest_p * comparisons <= ALPHA or found.difference == 0
    return "level" if able else "unclear"
