"""``clbench describe``: one unit in full, with its options."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from clbench.cli.output import for_tables

EXAMPLES = """[bold]Examples[/bold]

clbench describe strategy ewc-fixed

clbench describe scenario permuted-mnist

clbench describe metric forgetting"""


class Kind(str, Enum):
    """What can be described."""

    strategy = "strategy"
    scenario = "scenario"
    model = "model"
    metric = "metric"


def describe(
    kind: Annotated[Kind, typer.Argument(help="Kind of unit.")],
    name: Annotated[str, typer.Argument(help="Its name, as 'clbench list' shows it.")],
    plugin: Annotated[list[Path] | None, typer.Option(help="Python file with more units.")] = None,
) -> None:
    """Show what a unit does, where it comes from, and every option with its range and default."""
    from clbench import registry
    from clbench.render import catalogue, tables

    for path in plugin or []:
        registry.add_plugin(path)
    doc, table = catalogue.description(kind.value, name)
    console = for_tables()
    console.print(f"{kind.value} {name}", style="bold", markup=False, highlight=False)
    console.print(doc, markup=False, highlight=False)
    if table is not None:
        tables.print_table(table, console)
