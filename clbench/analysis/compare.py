"""Leaderboards: runs that may be compared, with what the seeds allow to say of each."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from clbench import metrics
from clbench.analysis.answers import Question, against
from clbench.analysis.apart import pool_of
from clbench.analysis.bests import possible_bests
from clbench.analysis.boards import Entry, Leaderboard, Method
from clbench.analysis.columns import resolved
from clbench.analysis.costs import COSTS
from clbench.analysis.labels import differences
from clbench.analysis.pareto import on_any
from clbench.analysis.references import FINE_TUNING, named, references, unknown
from clbench.analysis.relative import RELATIVE, with_relative
from clbench.analysis.rows import PLANE as PLANE
from clbench.analysis.rows import Row, of_one_group, scores
from clbench.analysis.runs import Run, setting

__all__ = ["Entry", "Leaderboard", "Method", "better", "check_metrics", "leaderboards"]

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
# Where tasks are periods in time, what counts is the one that comes.
PERIOD_METRICS = ("next_period_accuracy", "next_period_drop", "average_accuracy", "learning_accuracy", "seconds")
# Where samples must be forgotten on request, an average over R's columns says nothing.
REMOVAL_METRICS = (
    "kept_accuracy",
    "removed_accuracy",
    "known_accuracy",
    "membership_attack",
    "relearning_steps",
    "distance_to_retrain",
    "seconds",
)
# What stands behind an accuracy where the largest class of some task's test has more than UNEQUAL times its even share.
UNEQUAL = 1.5
BALANCED = {
    "average_accuracy": "balanced_accuracy",
    "final_test_accuracy": "balanced_accuracy",
    "next_period_accuracy": "next_period_balanced_accuracy",
}


def better(metric: str) -> str:
    """Say whether 'higher' or 'lower' values of a column are better."""
    if metric in RELATIVE:
        return RELATIVE[metric].better
    return "lower" if metric in COSTS else metrics.METRICS[metric].better


def check_metrics(names: Sequence[str]) -> list[str]:
    """Return the columns that names or headings mean; UserError with the nearest name for an unknown one."""
    return resolved(names)


def leaderboards(runs: Iterable[Run], method: Method | None = None, apart: bool = False) -> list[Leaderboard]:
    """Sort runs into leaderboards, ranked by the first column.

    ``apart``: strategies with the same R have a row each, since their networks are to be looked at.

    Runs whose scenario options or version, data fingerprint, scored images or metric versions differ never meet in one
    board; the boards' settings say what differs. Raises UserError for an unknown metric, and for a reference that is on
    no board.
    """
    method = method or Method()
    fronts = [check_metrics(objectives) for objectives in method.fronts]
    method = replace(method, columns=check_metrics(method.columns), fronts=fronts)
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
            told_by, columns = ", ".join(parts), list(mine.columns)
            empty = Leaderboard(scenario, told_by, kind, columns, [], mine.interval, mine.test, fronts=mine.fronts)
            boards.append(_answered(empty, of_one_group(group, mine, apart), mine))
    wanted = method.against
    if wanted is not None and boards and not any(named(board.entries, wanted) for board in boards):
        raise unknown([entry for board in boards for entry in board.entries], wanted)
    return boards


def _suitable(runs: Sequence[Run]) -> Sequence[str]:
    """The columns that say most of these runs; where classes are unequal, balanced ones behind accuracies."""
    columns: Sequence[str]

    def known(column: str) -> bool:
        return any(run.value(column) is not None for run in runs)

    if known("final_test_accuracy"):
        columns = WARM_START_METRICS
    elif known("next_period_accuracy"):
        columns = PERIOD_METRICS
    elif known("removed_accuracy"):
        columns = REMOVAL_METRICS
    else:
        columns = LONG_STREAM_METRICS if known("forgetting_first_last") and not known("forgetting") else DEFAULT_METRICS
    if not any((run.imbalance or 1.0) > UNEQUAL for run in runs):
        return columns
    both = [(column, BALANCED.get(column)) for column in columns]
    return [name for pair in both for name in pair if name is not None and (name in columns or known(name))]


def _answered(board: Leaderboard, rows: Sequence[Row], method: Method) -> Leaderboard:
    """A board with its rows in order and what is to be said of each."""
    column = board.metrics[0]
    lower = better(column) == "lower"
    placed = sorted(zip(rows, scores(rows), strict=True), key=lambda pair: _order(pair[0], pair[1], lower))
    rows = [row for row, _ in placed]
    entries = [row.entry for row in rows]
    able = [bool(row.values) and not row.entry.spoilt for row in rows]
    candidates = named(entries, method.against)
    told = references(entries, able, candidates)
    question = Question(lower, _margin(method.margin, column, rows, able, candidates), method.test)
    places = [place for place, one in enumerate(able) if one]
    moved = {place: number for number, place in enumerate(places)}
    pool = pool_of([rows[place].values for place in places])  # what is known of spreads, bounds and controls tell too
    compared = against(
        [rows[place].values for place in places],
        [None if told[place] is None else moved[told[place] or 0] for place in places],
        [entries[place].label for place in places],
        question,
        pool,
    )
    rivals = [place for place in places if entries[place].role == "method"]
    bests = possible_bests([rows[place].values for place in rivals], question, pool)
    for place, one in zip(places, compared, strict=True):
        entries[place] = replace(entries[place], against=one)
    alone = len(entries) == 1  # and so not the best of anything
    for rank, (place, may) in enumerate(zip(rivals, bests, strict=True), start=1):
        entries[place] = replace(entries[place], rank=rank, may_be_best=None if alone else may)
    free = [place for place in places if entries[place].role != "bound"] if len(entries) > 1 else []
    for number in on_any([entries[place].estimates for place in free], method.fronts, better):
        entries[free[number]] = replace(entries[free[number]], front=True)
    bound = next((place for place in places if entries[place].role == "bound"), None)
    start = next((place for place in places if entries[place].strategy in FINE_TUNING), None)
    if bound is not None and start is not None and not lower:
        entries = _with_ways(entries, rows, able, rows[start], rows[bound], question.margin)
    name, missing = _told_reference(entries, able, candidates, method.against)
    bound_label = "" if bound is None else entries[bound].label
    return replace(board, entries=entries, reference=name, missing=missing, margin=question.margin, bound=bound_label)


def _order(row: Row, value: float, lower: bool) -> tuple[int, bool, bool, float, str]:
    roles = ("method", "bound", "control")
    entry = row.entry
    return roles.index(entry.role), not row.values, entry.spoilt, value if lower else -value, entry.label


def _with_ways(
    entries: list[Entry], rows: Sequence[Row], able: Sequence[bool], start: Row, bound: Row, margin: float
) -> list[Entry]:
    """Add how much of the way from fine-tuning to the bound each row covers, over the seeds that the three share.

    Nothing where the bound is no further than the margin.
    """
    found = []
    for entry, row, one in zip(entries, rows, able, strict=True):
        shared = row.values.keys() & start.values.keys() & bound.values.keys()
        whole = sum(bound.values[seed] - start.values[seed] for seed in shared)
        if one and shared and whole > margin * len(shared):
            entry = replace(entry, way=sum(row.values[seed] - start.values[seed] for seed in shared) / whole)
        found.append(entry)
    return found


def _told_reference(
    entries: Sequence[Entry], able: Sequence[bool], candidates: Sequence[int], wanted: str | None
) -> tuple[str, str]:
    """What rows are compared with, and why with nothing."""
    usable = [place for place in candidates if able[place]]
    if not candidates:
        name = "fine-tuning (naive)" if wanted is None else f"'{wanted}'"
        return "", f"there is no run of {name} here"
    if not usable:
        spoilt = entries[candidates[0]]
        return "", f"the reference, {spoilt.label}, takes no part ({spoilt.state or 'it has no number'})"
    if len(usable) == 1 or wanted is None:
        return entries[usable[0]].strategy if len(usable) > 1 else entries[usable[0]].label, ""
    return wanted, ""


def _margin(share: float, column: str, rows: Sequence[Row], able: Sequence[bool], candidates: Sequence[int]) -> float:
    """The margin in the column's unit: points of a share; of steps, seconds, … a share of what the reference has."""
    if _is_share(column):
        return share
    known = [place for place in [*candidates, *range(len(rows))] if able[place]]
    return share * abs(rows[known[0]].mean) if known else share


def _is_share(column: str) -> bool:
    return column in RELATIVE or (column in metrics.METRICS and metrics.METRICS[column].unit != "steps")
