"""``clbench diagnose``: why strategies differ – units, ranks, weights and gradients over stages."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from clbench.cli.compare import Paths, Scenarios, Strategies, Where, load_chosen
from clbench.cli.output import for_tables, note

EXAMPLES = """[bold]Examples[/bold]

clbench run --strategy dash --scenario warm-start-digits --seeds 3 --diagnostics

clbench diagnose

clbench diagnose results/warm-start-digits --strategy warm --strategy dash --plot stages.pdf

clbench diagnose --picture cosines --plot cosines.svg

clbench diagnose results/split-digits --strategy 'ewc*' --pictures pictures"""


NAME_WIDTH, COLUMN_WIDTH = 30, 17


class Picture(str, Enum):
    """Pictures that --plot draws."""

    stages = "stages"
    cosines = "cosines"
    importance = "importance"
    shares = "shares"
    cka = "cka"
    backwards = "backwards"
    map = "map"


def diagnose(
    paths: Paths = None,
    scenario: Scenarios = None,
    strategy: Strategies = None,
    where: Where = None,
    plot: Annotated[Path | None, typer.Option(help="Also draw a picture: a .pdf, .svg or .png file.")] = None,
    picture: Annotated[
        Picture,
        typer.Option(
            help="What --plot draws: quantities over stages; by layer cos(−∇L, w), importances, the share of the way "
            "back that a step goes (R or ηλA), or CKA; what the network makes of inputs when run backwards, with the "
            "first layer's singular vectors; a map of accuracy over λ and learning rate."
        ),
    ] = Picture.stages,
    pictures: Annotated[
        Path | None, typer.Option(help="Folder for all pictures that these runs have the numbers for, as PDF.")
    ] = None,
) -> None:
    """Show what runs measured of their networks between stages, mean over seeds, first and last stage side by side.

    Accuracy, online accuracy and steps are in every Result; the rest is measured by 'clbench run --diagnostics'.
    """
    from clbench.analysis.compare import leaderboards
    from clbench.analysis.diagnosis import diagnoses
    from clbench.errors import UserError
    from clbench.render import diagnosis, tables
    from clbench.render.plots import Scene, draw

    runs = load_chosen(paths or [Path("results")], scenario, strategy, where)
    boards = leaderboards(runs, apart=True)
    found = [(board.title, diagnoses(board, runs)) for board in boards]
    console = for_tables()
    abreast = max(1, (console.width - NAME_WIDTH) // COLUMN_WIDTH)
    for title, rows in found:
        for start in range(0, len(rows), abreast):
            tables.print_table(diagnosis.summary(title, rows[start : start + abreast]), console)
    everything = [row for _, rows in found for row in rows]
    console.print(diagnosis.caption(everything), style="dim", markup=False, highlight=False)
    if plot is not None:
        for path in draw(plot, picture.value, Scene(boards, None, runs)):
            note(f"wrote {path}")
    for one in Picture if pictures is not None else ():
        assert pictures is not None
        try:
            for path in draw(pictures / f"{one.value}.pdf", one.value, Scene(boards, None, runs)):
                note(f"wrote {path}")
        except UserError:  # not measured
            continue
