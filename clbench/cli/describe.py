"""``clbench describe``: one unit in full, with its options."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clbench.cli import completion
from clbench.cli.output import for_tables

if TYPE_CHECKING:
    from rich.console import Console

    from clbench.render.catalogue import Description

EXAMPLES = """[bold]Examples[/bold]

clbench describe strategy ewc-fixed

clbench describe scenario permuted-mnist

clbench describe strategy avalanche.training.supervised.ICaRL

clbench describe metric forgetting"""


class Kind(str, Enum):
    """What can be described."""

    strategy = "strategy"
    scenario = "scenario"
    model = "model"
    metric = "metric"


def describe(
    kind: Annotated[Kind, typer.Argument(help="Kind of unit.")],
    name: Annotated[str, typer.Argument(autocompletion=completion.units, help="Its name, as 'clbench list' shows it.")],
    plugin: Annotated[list[Path] | None, typer.Option(help="Python file with more units.")] = None,
) -> None:
    """Show what a unit does, where it comes from, and every option with its range and default."""
    from clbench import registry
    from clbench.render import catalogue

    for path in plugin or []:
        registry.add_plugin(path)
    _print(catalogue.description(kind.value, name), for_tables())


def _print(found: Description, console: Console) -> None:
    """Print a unit: what it is, each option and below it what it does, its cost, its recipe."""
    from rich.text import Text

    def say(text: str, indent: int = 0, style: str = "") -> None:
        for line in Text(text, style).wrap(console, console.width - indent):
            line.rstrip()  # rich's own padding would fill the lines of a pipe, which has no width
            console.print(Text(" " * indent) + line)

    say(found.title, style="bold")
    say(found.doc)
    if found.options:
        say("\nOptions (--set KEY=VALUE)", style="bold")
    for option in found.options:
        say(f"{option.key}: {option.values}; default {option.default}", 2, "bold")
        if option.words:
            say(option.words, 6)
    if found.cost:
        say(f"\nCost beside fine-tuning: {found.cost}")
    if found.recipe:
        say("\nStandard recipe", style="bold")
        say(found.recipe, 2)
