"""``clbench data``: what datasets are there, what is in one, fetch one, verify the cache, vectors of images."""

from __future__ import annotations

import sys
import textwrap
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clbench.cli import embed
from clbench.cli.output import for_people, for_tables, note

if TYPE_CHECKING:
    from rich.console import Console

    from clbench.data.described import Described

app = typer.Typer(
    help="Datasets: what is there, what is in one, download, verify, embed.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
app.command("embed", epilog=embed.EXAMPLES)(embed.embed)
Root = Annotated[Path | None, typer.Option(help="Folder of datasets. \\[default: $CLBENCH_DATA or the cache]")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="How to read it, e.g. data.label=price; repeatable."),
]
Names = Annotated[list[str] | None, typer.Argument(help="Datasets. \\[default: all that are there]")]


class Every(str, Enum):
    """How time is cut into periods."""

    rows = "rows"
    year = "year"
    quarter = "quarter"
    month = "month"
    week = "week"
    day = "day"
    hour = "hour"
    value = "value"


@app.command(epilog="[bold]Example[/bold]\n\nclbench data status --data-root ~/datasets")
def status(data_root: Root = None) -> None:
    """Show which datasets are on disk, which are decoded, and whether they equal the official release."""
    from clbench.data.sources import DataPlace
    from clbench.data.status import statuses
    from clbench.render.tables import Table, print_table

    place = DataPlace.default(data_root)
    rows = [[s.name, s.layout, s.decoded, s.official, s.fingerprint] for s in statuses(place)]
    header = ["dataset", "on disk as", "decoded", "official release", "fingerprint"]
    console = for_tables()
    print_table(Table("", header, rows), console)
    console.print(f"data root {place.root}\ncache     {place.cache}", markup=False, highlight=False, soft_wrap=True)


@app.command(epilog="[bold]Example[/bold]\n\nclbench data fetch mnist cifar10")
def fetch(
    names: Annotated[list[str], typer.Argument(help="Datasets to download and decode.")],
    data_root: Root = None,
) -> None:
    """Download datasets, if they are not there, and decode them."""
    from clbench.data import cache
    from clbench.data.sources import DataPlace

    place = DataPlace.default(data_root)
    for name in names:
        data = cache.load(name, place)
        for_people().print(
            f"{name}: {len(data.rows('train'))} training and {len(data.rows('test'))} test samples, "
            f"fingerprint {data.fingerprint[:12]}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


@app.command(epilog="[bold]Example[/bold]\n\nclbench data verify mnist")
def verify(names: Names = None, data_root: Root = None) -> None:
    """Decode datasets anew and compare with the cache; exit code 1 if a cache was damaged (it is rebuilt)."""
    from clbench.data.sources import DataPlace
    from clbench.data.status import present
    from clbench.data.status import verify as verify_one

    place = DataPlace.default(data_root)
    console = for_people()
    damaged = 0
    for name in names or present(place):
        verdict = verify_one(name, place)
        damaged += not verdict.sound
        console.print(f"{name}: {verdict.sentence}", markup=False, highlight=False, soft_wrap=True)
    if damaged:
        raise typer.Exit(1)


DESCRIBED = """[bold]Examples[/bold]

clbench data describe sales.csv

clbench data describe sales.csv --set data.label=returned --set data.time=sold --every month --picture sales.png"""


@app.command(epilog=DESCRIBED)
def describe(
    data: Annotated[str, typer.Argument(metavar="FILE|NAME", help="A table or image folder, or a dataset's name.")],
    settings: Settings = None,
    every: Annotated[Every | None, typer.Option(help="Cut time into periods so. \\[default: by the dates]")] = None,
    picture: Annotated[Path | None, typer.Option(help="Also draw the stream, as .png, .svg or .pdf.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, unrounded, to stdout.")] = False,
    data_root: Root = None,
) -> None:
    """Show what is in a dataset, what a run on it would be, and what would make its numbers mislead."""
    from clbench.data.described import described
    from clbench.data.sources import DataPlace
    from clbench.render import described as words
    from clbench.render.progress import waiting

    with waiting(for_people(), f"looking at {data}"):
        found = described(data, _said(settings or []), DataPlace.default(data_root), every.value if every else None)
    if picture is not None:
        from clbench.render.plots.described import stream
        from clbench.render.plots.draw import write_figures

        write_figures(picture, [lambda: stream(found)], "--picture")
    if as_json:
        sys.stdout.write(words.as_json(found))
        return
    _print_described(found)
    if picture is not None:
        note(f"wrote {picture}")


def _said(settings: list[str]) -> dict[str, object]:
    """Options of ``data`` that are given; UserError for any other key."""
    from clbench.config.layers import read_assignments
    from clbench.data.description import checked
    from clbench.errors import UserError

    given = read_assignments(settings)
    for key in given:
        if key != "data" or not isinstance(given[key], dict):
            raise UserError(f"--set {key}: here only keys of data can be set, such as data.label=COLUMN.")
    return checked(given.get("data", {}), "data")


def _print_described(found: Described) -> None:
    """Print a dataset: the conclusion, what was guessed, classes, stream, columns, what is easy, traps."""
    from clbench.render import described as words
    from clbench.render.tables import print_table

    console = for_tables()
    what, stream, beware = words.conclusion(found)
    _say(console, what, style="bold")
    _say(console, stream)
    console.print(f"\n    {found.command}\n", markup=False, highlight=False, soft_wrap=True)
    for line in (beware, *words.guesses(found)):
        _say(console, line)
    console.print()
    for table in (words.classes(found), words.sections(found), words.columns(found), words.reached(found)):
        if table is not None:
            print_table(table, console)
    for place, (kind, text) in enumerate(words.traps(found), start=1):
        _say(console, f"\nTrap {place}: {kind}", style="bold")
        _say(console, text, "  ")


def _say(console: Console, text: str, indent: str = "", style: str = "") -> None:
    """Print a paragraph that no line breaks between a number and its unit."""
    from rich.text import Text

    for line in text.replace(" %", "\u00a0%").split("\n"):
        lines = textwrap.wrap(line, console.width, initial_indent=indent, subsequent_indent=indent) or [""]
        console.print(Text("\n".join(lines), style), soft_wrap=True)
