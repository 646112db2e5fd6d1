"""``clbench reproduce``: published numbers and claims, run and judged here."""

from __future__ import annotations

import fnmatch
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from clbench.cli.output import for_people, for_tables, note

EXAMPLES = """[bold]Examples[/bold]

clbench reproduce                                  (the list, with what is known so far)

clbench reproduce avalanche-lwf-split-mnist

clbench reproduce 'van-de-ven-*' --seeds 3 --jobs 2

clbench reproduce --format markdown > table.md"""


class Format(str, Enum):
    """Formats of the table."""

    terminal = "terminal"
    markdown = "markdown"


def reproduce(
    names: Annotated[
        list[str] | None, typer.Argument(help="What to run: names or patterns. \\[default: only list]")
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="How many seeds. \\[default: each entry's own]")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Runs side by side, one thread each.")] = 2,
    results: Annotated[Path, typer.Option(help="Folder of Results; finished runs are not run again.")] = Path(
        "results/reproduction"
    ),
    form: Annotated[Format, typer.Option("--format", help="Output format.")] = Format.terminal,
    data_root: Annotated[Path | None, typer.Option(help="Folder of datasets.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never download.")] = False,
) -> None:
    """List published numbers and claims with ours beside them; with names, run what is missing and judge it.

    Exit code 1: a number that was run is outside, or a claim fails.
    """
    from clbench.render import reproduction, tables
    from clbench.reproduce import ENTRIES, named
    from clbench.reproduce.judge import findings

    chosen = list(ENTRIES)
    if names:
        chosen = [name for name in ENTRIES if any(fnmatch.fnmatchcase(name, pattern) for pattern in names)]
        for pattern in names:
            if not any(fnmatch.fnmatchcase(name, pattern) for name in chosen):
                named(pattern)
        chosen = _with_data(chosen, names, data_root)
        _run(chosen, results, seeds, jobs, data_root, offline)
        for name in chosen:
            _draw(name, results)
    found = [finding for name in chosen for finding in findings(ENTRIES[name], results)]
    if form is Format.markdown:
        sys.stdout.write(tables.markdown(reproduction.table(found)))
    else:
        console = for_tables()
        tables.print_table(reproduction.table(found, wide=console.width >= 140), console)
        people = for_people()
        people.print(reproduction.caption(), style="dim", markup=False, highlight=False)
        for line in reproduction.notes(found) if names else []:
            people.print(line, style="dim", markup=False, highlight=False)
    if names and any(finding.verdict in ("outside", "fails") for finding in found):
        raise typer.Exit(1)


def _with_data(chosen: list[str], names: list[str], data_root: Path | None) -> list[str]:
    """Leave out entries whose data are not there, unless they were named outright: then fetching them is tried."""
    from clbench.data.sources import DataPlace, locate
    from clbench.errors import UserError
    from clbench.reproduce import ENTRIES

    found = []
    for name in chosen:
        try:
            for need in ENTRIES[name].needs:
                locate(need, DataPlace.default(data_root, offline=True))
        except UserError as error:
            if name not in names:
                note(f"{name} is left out: {error}")
                continue
        found.append(name)
    return found


def _run(
    names: list[str], results: Path, seeds: int | None, processes: int, data_root: Path | None, offline: bool
) -> None:
    from clbench.data.sources import DataPlace
    from clbench.reproduce import ENTRIES
    from clbench.reproduce.running import jobs, missing, run_all

    wanted = [job for name in names for job in jobs(ENTRIES[name], results, seeds)]
    left = missing(wanted)
    note(f"{len(wanted)} runs, {len(wanted) - len(left)} of them done before")
    if not left:
        return
    for number, (job, result) in enumerate(run_all(left, DataPlace.default(data_root, offline), processes), start=1):
        value = result.metrics.get("average_accuracy")
        words = result.status if value is None or value.value is None else f"{100 * value.value:.1f} %"
        note(f"{number}/{len(left)}  {job.entry}, {job.arm}, seed {job.config.seed}: {words}, {result.seconds:.0f} s")


def _draw(name: str, results: Path) -> None:
    """Draw an entry's pictures beside its Results."""
    from clbench.analysis.compare import leaderboards
    from clbench.render.plots import Scene, draw
    from clbench.reproduce import ENTRIES
    from clbench.reproduce.judge import runs_of

    entry = ENTRIES[name]
    runs = [run for found in runs_of(entry, results).values() for run in found]
    for picture in entry.pictures if runs else ():
        for path in draw(results / name / f"{picture}.svg", picture, Scene(leaderboards(runs), None, runs)):
            note(f"wrote {path}")
