"""``clbench compare``: leaderboards over Results."""

from __future__ import annotations

import fnmatch
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from clbench.cli.output import for_tables, note

EXAMPLES = """[bold]Examples[/bold]

clbench compare

clbench compare results/baseline mine --scenario 'permuted-*'

clbench compare --metric forgetting --metric average_accuracy --format csv > table.csv"""
SHOWN_NOTES = 10


class Format(str, Enum):
    """Formats of a leaderboard."""

    terminal = "terminal"
    markdown = "markdown"
    csv = "csv"
    json = "json"


def compare(
    paths: Annotated[list[Path] | None, typer.Argument(help="Result files or folders. [default: results]")] = None,
    scenario: Annotated[str, typer.Option(help="Only scenarios of this name; * and ? stand for anything.")] = "*",
    metric: Annotated[
        list[str] | None,
        typer.Option(help="Column, repeatable; the first one ranks. See 'clbench list metrics'."),
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="Output format.")] = Format.terminal,
) -> None:
    """Rank strategies per scenario: mean ± 95 % interval over seeds.

    Results that must not be compared (other data, scenario options or versions) get leaderboards of their own that say
    what differs. Damaged or foreign files are named and left out.
    """
    from clbench import store
    from clbench.analysis import compare as analysis
    from clbench.errors import UserError
    from clbench.render import tables

    columns = analysis.check_metrics(metric or analysis.DEFAULT_METRICS)
    where = paths or [Path("results")]
    results, left_out = store.read_all(where)
    for sentence in left_out[:SHOWN_NOTES]:
        note(f"Left out: {sentence}")
    if len(left_out) > SHOWN_NOTES:
        note(f"Left out: {len(left_out) - SHOWN_NOTES} more files.")
    chosen = [result for result in results if fnmatch.fnmatch(result.scenario_name, scenario)]
    if not chosen:
        names = sorted({result.scenario_name for result in results})
        there = f"There are {', '.join(names)}." if names else "'clbench run --strategy ewc-fixed' makes one."
        raise UserError(f"No Results of scenario '{scenario}' under {', '.join(map(str, where))}. {there}")
    boards = analysis.leaderboards(chosen, columns)
    match form:
        case Format.terminal:
            console = for_tables()
            for board in boards:
                tables.print_table(tables.leaderboard(board), console)
            console.print(tables.CAPTION, style="dim", markup=False, highlight=False)
        case Format.markdown:
            sys.stdout.write(tables.leaderboards_markdown(boards))
        case Format.csv:
            sys.stdout.write(tables.leaderboards_csv(boards))
        case Format.json:
            sys.stdout.write(tables.leaderboards_json(boards))
