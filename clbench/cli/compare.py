"""``clbench compare``: leaderboards over Results."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clbench.cli import completion
from clbench.cli.output import for_tables, left_out, note

if TYPE_CHECKING:
    from clbench.analysis.runs import Run

EXAMPLES = """[bold]Examples[/bold]

clbench compare

clbench compare results/baseline mine --scenario 'permuted-*'

clbench compare --against ewc            (or a row's label, or a folder: yours against theirs)

clbench compare --metric forgetting --metric average_accuracy --format csv > table.csv

clbench compare --by strategy.lam --where optimizer.name=sgd --test wilcoxon

clbench compare --plot answer.pdf --picture difference --width column"""


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
    from clbench.analysis.codes import remark
    from clbench.api.boards import board_of, method_of
    from clbench.errors import UserError

    if picture is not None and plot is None:
        raise UserError(f"--picture {picture.value}: name the file to draw it in, too: --plot {picture.value}.pdf.")
    method = method_of(against, metric or (), sort, by, interval.value, test.value, margin, front or ())
    runs = load_chosen(paths or [Path("results")], scenario, strategy, where)
    older = remark(runs)
    if older is not None:
        note(older)
    board = board_of(runs, method)
    boards, found = board.leaderboards, board.ranking
    if plot is not None:
        from clbench.render.plots import Scene, draw

        for path in draw(plot, (picture or Picture.leaderboard).value, Scene(boards, found, runs, width=width.value)):
            note(f"wrote {path}")
    elif form is Format.terminal:
        from clbench.render.summaries import print_boards

        print_boards(boards, found, for_tables())
    else:
        from clbench.render.formats import as_text

        sys.stdout.write(as_text(boards, found, form.value))


def load_chosen(
    paths: Sequence[Path],
    scenarios: Sequence[str] | None,
    strategies: Sequence[str] | None,
    where: Sequence[str] | None,
    without: Path | None = None,
    absent: list[str] | None = None,
) -> list[Run]:
    """Load runs and filter them; name what is left out, to a list if one is given. UserError if nothing is left."""
    from clbench.api.found import chosen

    def told(sentences: list[str]) -> None:
        if absent is not None:
            absent.extend(sentences)
        left_out(sentences)

    return chosen(paths, scenarios or (), strategies or (), where or (), without, told=told)
