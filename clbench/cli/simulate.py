"""``clbench simulate``: why warm starts hurt, in a model where it can be computed exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clbench.cli.output import for_tables, note

EXAMPLES = """[bold]Examples[/bold]

clbench simulate

clbench simulate --rounds 100 --gamma 20 --plot warm-starts.pdf"""
SHOWN = 8


def simulate(
    rounds: Annotated[int, typer.Option(min=1, max=1000, help="Rounds, each with new points.")] = 50,
    points: Annotated[int, typer.Option(min=1, help="New points per round.")] = 1000,
    features: Annotated[int, typer.Option(min=1, help="Features of each of the two classes.")] = 50,
    gamma: Annotated[int, typer.Option(min=1, help="Points that must share a feature for it to be learnt.")] = 50,
    tau: Annotated[int, typer.Option(min=1, help="Learnt features that classify a point.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the points.")] = 0,
    plot: Annotated[Path | None, typer.Option(help="Also draw a picture: a .pdf, .svg or .png file.")] = None,
) -> None:
    """Simulate the model of DASH (arXiv:2410.23495, section 3) exactly, from cold, warm and ideal starts.

    Training learns features that enough points share and memorises the noise of the rest. What is memorised asks for no
    more features, so a warm start stops learning; a start that forgets the noise alone is as good as a cold one,
    in far fewer steps. A network trains on such data as 'warm-start-feature-model'.
    """
    from functools import partial

    from clbench.data import feature_model
    from clbench.render import simulation, tables
    from clbench.render.plots.draw import write_figures

    model = feature_model.FeatureModel(features=features, points=points, gamma=gamma, tau=tau)
    found: dict[str, list[feature_model.Round]] = {
        start: list(feature_model.simulate(model, start, rounds, seed)) for start in feature_model.STARTS
    }
    tables.print_table(simulation.table(found, SHOWN), for_tables())
    if plot is not None:
        for path in write_figures(plot, [partial(simulation.figure, found)]):
            note(f"wrote {path}")
