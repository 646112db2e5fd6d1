"""``clbench list``: the catalogue."""

from __future__ import annotations

import json
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from clbench.cli.output import for_tables
from clbench.errors import UserError

EXAMPLES = """[bold]Examples[/bold]

clbench list strategies

clbench list scenarios --format markdown

clbench list strategies --avalanche     (what of Avalanche's own runs by its import path)

clbench list datasets --json"""


class Kind(str, Enum):
    """What can be listed."""

    strategies = "strategies"
    scenarios = "scenarios"
    models = "models"
    metrics = "metrics"
    datasets = "datasets"


class Format(str, Enum):
    """Formats of a catalogue."""

    terminal = "terminal"
    markdown = "markdown"
    json = "json"


def list_(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    plugin: Annotated[list[Path] | None, typer.Option(help="Python file with more units.")] = None,
    form: Annotated[Format, typer.Option("--format", help="Output format.")] = Format.terminal,
    avalanche: Annotated[
        bool, typer.Option("--avalanche", help="Strategies and plugins, or benchmarks, of Avalanche's instead.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """List strategies, scenarios, models, metrics or datasets."""
    from clbench import registry
    from clbench.render import catalogue, tables

    for path in plugin or []:
        registry.add_plugin(path)
    if avalanche and kind not in (Kind.strategies, Kind.scenarios):
        raise UserError(f"--avalanche: there are strategies and scenarios of Avalanche's, and no {kind.value}.")
    table = catalogue.of_avalanche(kind.value) if avalanche else catalogue.table(kind.value)
    if as_json or form is Format.json:
        rows = [dict(zip(table.header, row, strict=True)) for row in table.rows]
        sys.stdout.write(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
    elif form is Format.markdown:
        sys.stdout.write(tables.markdown(table))
    else:
        console = for_tables()
        shown = table if avalanche else catalogue.on_terminal(kind.value, console.width >= catalogue.WIDE)
        tables.print_table(shown, console)
