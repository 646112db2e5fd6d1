"""``clbench compare``: leaderboards over Results."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clbench.cli import completion
from clbench.cli.output import for_tables, note

if TYPE_CHECKING:
    from clbench.analysis.compare import Leaderboard
    from clbench.analysis.ranking import Ranking
    from clbench.analysis.runs import Run

EXAMPLES = """[bold]Examples[/bold]

clbench compare

clbench compare results/baseline mine --scenario 'permuted-*'

clbench compare --against ewc            (or a row's label, or a folder: yours against theirs)

clbench compare --metric forgetting --metric average_accuracy --format csv > table.csv

clbench compare --by strategy.lam --where optimizer.name=sgd --test wilcoxon

clbench compare --plot answer.pdf --picture difference --width column"""
SHOWN_NOTES = 10
WIDE = 120


class Format(str, Enum):
    """Formats of a leaderboard."""

    terminal = "terminal"
    markdown = "markdown"
    csv = "csv"
    json = "json"
    latex = "latex"
    html = "html"


class Interval(str, Enum):
    """Kinds of 95 % interval."""

    t = "t"
    bootstrap = "bootstrap"


class Test(str, Enum):
    """Tests of differences."""

    moderated = "moderated"
    permutation = "permutation"
    max_t = "max-t"
    wilcoxon = "wilcoxon"
    t = "t"


class Width(str, Enum):
    """Widths of pictures: of a column of a paper (3.3 inches), or of its page (6.8)."""

    column = "column"
    full = "full"


class Picture(str, Enum):
    """Pictures that --plot draws."""

    leaderboard = "leaderboard"
    difference = "difference"
    plane = "plane"
    pareto = "pareto"
    curves = "curves"
    matrix = "matrix"
    ages = "ages"
    ranks = "ranks"


Paths = Annotated[
    list[Path] | None,
    typer.Argument(help="Result files, folders or patterns; several folders stand side by side. \\[default: results]"),
]
Scenarios = Annotated[
    list[str] | None,
    typer.Option(
        autocompletion=completion.scenarios, help="Only scenarios of this name; * and ? stand for anything; repeatable."
    ),
]
Strategies = Annotated[
    list[str] | None, typer.Option(autocompletion=completion.strategies, help="Only strategies of this name, likewise.")
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY=VALUE",
        autocompletion=completion.filtered_keys,
        help="Only runs with this in their config, e.g. optimizer.lr=0.05; repeatable.",
    ),
]

Columns = Annotated[
    list[str] | None,
    typer.Option(
        autocompletion=completion.columns, help="Column, repeatable; the first one ranks. See 'clbench list metrics'."
    ),
]
IntervalKind = Annotated[Interval, typer.Option(help="Student's t, or bootstrap (ten seeds or more).")]
TestKind = Annotated[
    Test,
    typer.Option(
        help="Test of differences, paired by seed: moderated t, sign flips (permutation; max-t: all rows at once), …"
    ),
]
Reference = Annotated[
    str | None,
    typer.Option(metavar="ROW", help="Compare with this row, strategy or folder. \\[default: fine-tuning]"),
]
Margin = Annotated[float, typer.Option(min=0, help="Differences below so many points are none for practical purposes.")]
Fronts = Annotated[
    list[str] | None,
    typer.Option(
        metavar="COLUMN,…",
        help="Objectives of a Pareto front, repeatable; rows on any are marked. \\[default: "
        "average_accuracy,samples,memory,state]",
    ),
]


def compare(
    paths: Paths = None,
    scenario: Scenarios = None,
    strategy: Strategies = None,
    where: Where = None,
    metric: Columns = None,
    sort: Annotated[
        str | None, typer.Option(autocompletion=completion.columns, help="Column that ranks. \\[default: the first]")
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            autocompletion=completion.split_keys,
            help="A leaderboard for each value of a key: model, strategy.lam, …",
        ),
    ] = None,
    interval: IntervalKind = Interval.t,
    test: TestKind = Test.moderated,
    against: Reference = None,
    margin: Margin = 1.0,
    front: Fronts = None,
    form: Annotated[Format, typer.Option("--format", help="Output format.")] = Format.terminal,
    plot: Annotated[Path | None, typer.Option(help="Draw a picture instead: a .pdf, .svg or .png file.")] = None,
    picture: Annotated[Picture | None, typer.Option(help="What --plot draws. \\[default: leaderboard]")] = None,
    width: Annotated[
        Width, typer.Option(help="How wide --plot draws: a paper's column (3.3 in) or its page (6.8 in).")
    ] = Width.full,
) -> None:
    """Say per scenario which methods are better than a reference, and which may be the best, as far as seeds can tell.

    Each row: mean and 95 % interval over seeds, its difference to the reference, and better, worse, equal or open.
    Bounds (joint, cumulative, cold) and controls (naive, frozen-backbone, random) are no rivals. Results that must not
    be compared (other data, scenario options or versions) get leaderboards of their own that say what differs. With
    several scenarios, what holds over them follows. Damaged or foreign files are named and left out.
    """
    from clbench.analysis import compare as analysis
    from clbench.analysis.codes import remark
    from clbench.analysis.filters import check_key
    from clbench.analysis.pareto import FRONT
    from clbench.analysis.ranking import ranking
    from clbench.errors import UserError

    if picture is not None and plot is None:
        raise UserError(f"--picture {picture.value}: name the file to draw it in, too: --plot {picture.value}.pdf.")
    columns = analysis.check_metrics(metric or ())
    if sort:
        columns = analysis.check_metrics([sort, *(columns or analysis.DEFAULT_METRICS)])
    asked = [[column.strip() for column in one.split(",")] for one in front] if front else [FRONT]
    fronts = [analysis.check_metrics(columns) for columns in asked]
    runs = load_chosen(paths or [Path("results")], scenario, strategy, where)
    if by is not None:
        check_key("--by", by, runs)
    older = remark(runs)
    if older is not None:
        note(older)
    method = analysis.Method(columns, interval.value, test.value, by, against, margin / 100, fronts)
    boards = analysis.leaderboards(runs, method)
    found = ranking(boards)
    if plot is not None:
        from clbench.render.plots import Scene, draw

        for path in draw(plot, (picture or Picture.leaderboard).value, Scene(boards, found, runs, width=width.value)):
            note(f"wrote {path}")
    elif form is Format.terminal:
        _print(boards, found)
    else:
        from clbench.render.formats import as_text

        sys.stdout.write(as_text(boards, found, form.value))


def load_chosen(
    paths: Sequence[Path],
    scenarios: Sequence[str] | None,
    strategies: Sequence[str] | None,
    where: Sequence[str] | None,
    without: Path | None = None,
    left_out: list[str] | None = None,
) -> list[Run]:
    """Load runs and filter them; name what is left out, to a list if one is given. UserError if nothing is left."""
    from clbench.analysis.filters import chosen as matching
    from clbench.analysis.load import load
    from clbench.errors import UserError

    found, absent = load(paths, without)
    if left_out is not None:
        left_out += absent
    for sentence in absent[:SHOWN_NOTES]:
        note(f"Left out: {sentence}")
    if len(absent) > SHOWN_NOTES:
        note(f"Left out: {len(absent) - SHOWN_NOTES} more files.")
    chosen = matching(found, scenarios or (), strategies or (), where or ())
    if not chosen:
        there = " ".join(
            f"There are {kind} {', '.join(sorted(names))}."
            for kind, names in (("scenarios", {r.scenario for r in found}), ("strategies", {r.strategy for r in found}))
            if names
        )
        filtered = " that match" if found else ""
        raise UserError(
            f"No Results{filtered} under {', '.join(map(str, paths))}. "
            + (there or "'clbench run --strategy ewc-fixed' makes one.")
        )
    return chosen


def _print(boards: Sequence[Leaderboard], found: Ranking | None) -> None:
    from clbench.analysis.compare import better
    from clbench.analysis.overall import across
    from clbench.render import leaderboards, tables

    console = for_tables()
    for board in boards:
        tables.print_table(leaderboards.leaderboard(board), console)
    console.print(leaderboards.caption(boards), style="dim", markup=False, highlight=False)
    column = boards[0].metrics[0]
    together = across(boards, better(column) == "lower")
    if together is not None:
        console.print()
        tables.print_table(leaderboards.overall(together, column), console)
    if found is not None and found.tells:
        console.print()
        tables.print_table(leaderboards.ranks(found), console)
        console.print(leaderboards.ranks_caption(found), style="dim", markup=False, highlight=False)
