"""What is said when runs have ended, and when they are compared: the conclusion first, then the tables."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from clbench.analysis import compare
from clbench.analysis.boards import Leaderboard
from clbench.analysis.overall import across
from clbench.analysis.ranking import Ranking
from clbench.render import leaderboards, tables
from clbench.store.warnings import KINDS, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from clbench.analysis.runs import Run
    from clbench.store import Result

SHOWN_WARNINGS = 10
SHOWN_TASKS = 12  # a wider accuracy matrix says nothing on a terminal; it is in the Result


def print_runs(runs: Sequence[Run], alone: Result | None, console: Console) -> None:
    """Print the estimates of runs that have ended; of a single one R, too."""
    boards = compare.leaderboards(runs)
    if alone is not None and len(alone.accuracy[0]) <= SHOWN_TASKS:
        tables.print_table(tables.accuracy_matrix(alone), console)
    for board in boards:
        tables.print_table(leaderboards.leaderboard(board), console)
    console.print(leaderboards.caption(boards), style="dim", markup=False, highlight=False)


def print_boards(boards: Sequence[Leaderboard], found: Ranking | None, console: Console) -> None:
    """Print leaderboards, what holds over them, and mean ranks where they tell something."""
    for board in boards:
        tables.print_table(leaderboards.leaderboard(board), console)
    console.print(leaderboards.caption(boards), style="dim", markup=False, highlight=False)
    column = boards[0].metrics[0]
    together = across(boards, compare.better(column) == "lower")
    if together is not None:
        console.print()
        tables.print_table(leaderboards.overall(together, column), console)
    if found is not None and found.tells:
        console.print()
        tables.print_table(leaderboards.ranks(found), console)
        console.print(leaderboards.ranks_caption(found), style="dim", markup=False, highlight=False)


def warnings_of(told: Iterable[tuple[int, Sequence[str]]]) -> list[str]:
    """What a reader of the numbers must know, a sentence for each warning of each seed; of many the first ones."""
    every = [(seed, warning) for seed, warnings in told for warning in warnings]
    found = []
    for seed, warning in every[:SHOWN_WARNINGS]:
        kind = KINDS.get(kind_of(warning))
        found.append(f"Seed {seed}, {warning}.{f' {kind.advice}.' if kind else ''}")
    if len(every) > SHOWN_WARNINGS:
        found.append(f"… and {len(every) - SHOWN_WARNINGS} warnings more: 'clbench results show' has them, run by run.")
    return found


def as_printed(show: Callable[[Console], None]) -> str:
    """What would be printed, as plain text as wide as the terminal."""
    from rich.console import Console

    text = io.StringIO()
    width = shutil.get_terminal_size((100, 24)).columns
    show(Console(file=text, width=width, force_terminal=False, force_jupyter=False, color_system=None))
    plain = text.getvalue().replace("\u00a0", " ")
    return "\n".join(line.rstrip() for line in plain.splitlines())
