"""``clbench data``: what datasets are there, fetch one, verify the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clbench.cli.output import for_people, for_tables

app = typer.Typer(help="Datasets: what is there, download, verify.", no_args_is_help=True, rich_markup_mode="rich")
Root = Annotated[Path | None, typer.Option(help="Folder of datasets. \\[default: $CLBENCH_DATA or the cache]")]
Names = Annotated[list[str] | None, typer.Argument(help="Datasets. \\[default: all that are there]")]


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
