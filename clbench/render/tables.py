"""Tables: the same rows for a terminal, markdown, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable
from rich.text import Text

if TYPE_CHECKING:
    from clbench.analysis.compare import Entry, Leaderboard
    from clbench.analysis.statistics import Estimate
    from clbench.store import Result


@dataclass(frozen=True)
class Table:
    """Cells of text. ``right`` are the columns of numbers; ``strong`` the (row, column) cells that stand out."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: frozenset[int] = frozenset()
    strong: frozenset[tuple[int, int]] = frozenset()


def print_table(table: Table, console: Console) -> None:
    """Print a table on a terminal; long texts wrap, numbers never do."""
    rich = RichTable(title=escape(table.title) if table.title else None, title_justify="left", title_style="bold")
    for column, name in enumerate(table.header):
        number = column in table.right
        rich.add_column(escape(name), justify="right" if number else "left", no_wrap=False, overflow="fold")
    for row, cells in enumerate(table.rows):
        texts = [
            Text(
                cell.replace(" ", "\u00a0") if column in table.right else cell,
                style="bold" if (row, column) in table.strong else "",
            )
            for column, cell in enumerate(cells)
        ]
        rich.add_row(*texts)
    console.print(rich)


def markdown(table: Table) -> str:
    """Return a table in markdown; a bar or tag in a cell is shown as text."""

    def cell(text: str, strong: bool = False) -> str:
        text = text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
        return f"**{text}**" if strong and text else text

    lines = [f"### {cell(table.title)}", ""] if table.title else []
    lines.append("| " + " | ".join(map(cell, table.header)) + " |")
    lines.append("|" + "|".join("---:" if c in table.right else "---" for c in range(len(table.header))) + "|")
    for index, row in enumerate(table.rows):
        cells = [cell(text, (index, column) in table.strong) for column, text in enumerate(row)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def heading(column: str) -> str:
    """Name of a metric column, with its unit."""
    name = column.replace("_", " ")
    return f"{name} s" if column == "seconds" and name != "seconds" else name


def number(estimate: Estimate | None, column: str) -> str:
    """An estimate in per cent (or seconds) as 'mean ± half width'; a dash where there is none."""
    if estimate is None:
        return "–"
    factor, digits = (1.0, 1) if column == "seconds" else (100.0, 1)
    mean = f"{estimate.mean * factor:.{digits}f}"
    mean = mean.replace("-0.0", "0.0") if float(mean) == 0 else mean
    return mean if estimate.half_width is None else f"{mean} ± {estimate.half_width * factor:.{digits}f}"


def leaderboard(board: Leaderboard) -> Table:
    """A leaderboard as a table; the best entry stands out."""
    title = f"{board.scenario} · {board.setting}" if board.setting else board.scenario
    return Table(
        title,
        ["#", "strategy", "n", *(heading(metric) for metric in board.metrics)],
        [_cells(entry, board.metrics) for entry in board.entries],
        right=frozenset({0, 2, *range(3, 3 + len(board.metrics))}),
        strong=frozenset((i, c) for i, entry in enumerate(board.entries) if entry.rank == 1 for c in (1, 3)),
    )


def _cells(entry: Entry, metrics: Sequence[str]) -> list[str]:
    rank = "" if entry.rank is None else str(entry.rank)
    if entry.diverged:
        words = f"diverged {entry.diverged}/{len(entry.seeds)}"
        return [rank, entry.label, str(len(entry.seeds)), words, *("–" for _ in metrics[1:])]
    numbers = [number(entry.estimates[metric], metric) for metric in metrics]
    return [rank, entry.label, str(len(entry.seeds)), *numbers]


def leaderboards_csv(boards: Sequence[Leaderboard]) -> str:
    """One line per entry and metric, with unrounded numbers."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["scenario", "setting", "rank", "strategy", "seeds", "diverged", "metric", "mean", "half_width_95"])
    for board in boards:
        for entry in board.entries:
            for metric in board.metrics:
                estimate = entry.estimates[metric]
                numbers = ["", ""] if estimate is None else [estimate.mean, _blank(estimate.half_width)]
                writer.writerow(
                    [board.scenario, board.setting, _blank(entry.rank), entry.label, len(entry.seeds)]
                    + [entry.diverged, metric, *numbers]
                )
    return out.getvalue()


def _blank(value: Any) -> Any:
    return "" if value is None else value


def leaderboards_json(boards: Sequence[Leaderboard]) -> str:
    """The leaderboards as they are."""
    return json.dumps([asdict(board) for board in boards], indent=1, ensure_ascii=False) + "\n"


def leaderboards_markdown(boards: Sequence[Leaderboard]) -> str:
    """All leaderboards, with what their numbers are."""
    tables = "\n".join(markdown(leaderboard(board)) for board in boards)
    return f"{tables}\n{CAPTION}\n"


CAPTION = "Per cent, mean ± 95 % interval over n seeds (Student's t); 'seconds' is the whole run. – : not defined."


def accuracy_matrix(result: Result) -> Table:
    """R of one run in per cent: a row per stage, a column per task."""
    tasks = len(result.accuracy[0])
    rows = [
        ["before training" if stage == 0 else f"stage {stage}", *(f"{100 * value:.1f}" for value in row)]
        for stage, row in enumerate(result.accuracy)
    ]
    header = ["accuracy after", *(f"task {task + 1}" for task in range(tasks))]
    return Table("", header, rows, right=frozenset(range(1, tasks + 1)))
