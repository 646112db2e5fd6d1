"""``clbench results``: look at single runs, remove some, move them between folders, archives and stores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clbench.cli.compare import Scenarios, Strategies, Where, load_chosen
from clbench.cli.output import agreed, for_tables, left_out, note, say, write_json
from clbench.errors import UserError

if TYPE_CHECKING:
    from clbench.analysis.runs import Run

app = typer.Typer(
    help="Single runs: list, show, remove; export, import and pack.", no_args_is_help=True, rich_markup_mode="rich"
)
Folder = Annotated[Path, typer.Option("--results", help="Folder of Results.")]
Status = Annotated[str | None, typer.Option(help="Only runs with this status: ok or diverged.")]
Ids = Annotated[
    list[str] | None, typer.Argument(help="Runs, by the beginning of their id or by file. \\[default: by the filters]")
]
DEFAULT = Path("results")
Folders = Annotated[list[Path], typer.Argument(help="Folders of Results, each with a pack of its own.")]
PACKING = """[bold]Examples[/bold]

clbench results pack results/studies/drift

clbench results pack results/baseline --single 'split-digits/ewc/*'"""


@app.command("list", epilog="[bold]Example[/bold]\n\nclbench results list --strategy 'ewc*' --where optimizer.lr=0.05")
def list_(
    results: Folder = DEFAULT,
    scenario: Scenarios = None,
    strategy: Strategies = None,
    where: Where = None,
    status: Status = None,
    limit: Annotated[int, typer.Option(min=1, help="Show so many, the newest first.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="All of them as JSON.")] = False,
) -> None:
    """List runs, the newest first."""
    from clbench.render.results import listed, row
    from clbench.render.tables import print_table

    runs = sorted(_chosen(results, None, scenario, strategy, where, status), key=lambda run: run.created, reverse=True)
    if as_json:
        write_json([row(run) for run in runs])
        return
    console = for_tables()
    print_table(listed(runs[:limit]), console)
    if len(runs) > limit:
        console.print(f"… and {len(runs) - limit} more; see --limit and the filters", style="dim", highlight=False)


@app.command(epilog="[bold]Example[/bold]\n\nclbench results show 3f2a91c07d55")
def show(
    run: Annotated[str, typer.Argument(help="The beginning of a run's id, or a file.")],
    results: Folder = DEFAULT,
    as_json: Annotated[bool, typer.Option("--json", help="The Result as it is.")] = False,
) -> None:
    """Show one run: its settings, R, metrics, cost and where it was made."""
    from clbench import store
    from clbench.api.found import named
    from clbench.render.results import print_result

    (found,) = named(results, [run], alone=True, told=left_out)
    assert found.path is not None
    result = store.read(found.path)
    if as_json:
        write_json(result.model_dump(mode="json"))
    else:
        print_result(result, found.path, for_tables())


@app.command(epilog="[bold]Example[/bold]\n\nclbench results rm --strategy ewc --where strategy.lam=1000000.0")
def rm(
    ids: Ids = None,
    results: Folder = DEFAULT,
    scenario: Scenarios = None,
    strategy: Strategies = None,
    where: Where = None,
    status: Status = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove runs, by id or by filters, with the weights that are kept of them; asks first."""
    from clbench import store
    from clbench.render.results import named

    if not ids and not any((scenario, strategy, where, status)):
        raise UserError("Say which runs: ids, or --scenario, --strategy, --where or --status.")
    runs = _chosen(results, ids, scenario, strategy, where, status)
    if not yes:
        question = f"Remove {len(runs)} runs from {results}: {named(runs)}?"
        agreed(question, f"{question} Add --yes to do it without being asked.", "Nothing was removed.")
    for run in runs:
        assert run.path is not None
        store.discard(run.path)
    say(f"removed {len(runs)} runs")


@app.command(epilog="[bold]Examples[/bold]\n\nclbench results export study.zip\n\nclbench results export runs.csv")
def export(
    target: Annotated[str, typer.Argument(help="A .zip archive, a .csv table, a folder or a URL.")],
    ids: Ids = None,
    results: Folder = DEFAULT,
    scenario: Scenarios = None,
    strategy: Strategies = None,
    where: Where = None,
    status: Status = None,
) -> None:
    """Copy runs into an archive, another folder or a store, or their settings and metrics into a table."""
    from clbench.api import exports

    runs = _chosen(results, ids, scenario, strategy, where, status)
    taken = exports.export(runs, target)
    if taken is not None:
        note(str(taken))
    say(f"wrote {len(runs)} runs to {target}")


@app.command("import", epilog="[bold]Example[/bold]\n\nclbench results import study.zip s3://bucket/study")
def import_(
    sources: Annotated[list[str], typer.Argument(help="Folders, URLs or .zip archives.")],
    results: Folder = DEFAULT,
) -> None:
    """Copy the Results of other folders, stores or archives here; of two of the same run the newer stays."""
    from clbench import store
    from clbench.store import transfer

    for source in sources:
        taken = transfer.take(transfer.contents(source), store.LocalFolder(results))
        for sentence in taken.refused:
            note(f"Left out: {sentence}")
        say(f"{source}: {taken}")


@app.command(epilog=PACKING)
def pack(
    folders: Folders,
    single: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Leave files whose name in the folder matches as they are; repeatable."),
    ] = None,
) -> None:
    """Put a folder's Results into one file, packed.jsonl, that git merges; every command reads it as it reads files.

    What is packed is checked, kept to the last digit, and comes back with 'clbench results unpack'. Runs that are made
    later are single files beside it until it is packed again. Pictures, tables and weights stay as they are.
    """
    from clbench import store

    for folder in folders:
        done = store.pack(folder, single or ())
        alone = f", {done.single} stay single files" if done.single else ""
        say(f"{folder}: {done.new} packed, {done.all} in the pack, {done.size / 1e6:.2f} MB{alone}")


@app.command(epilog="[bold]Example[/bold]\n\nclbench results unpack results/studies/drift")
def unpack(folders: Folders) -> None:
    """Write the Results of a folder's pack as single files again, and remove the pack."""
    from clbench import store

    for folder in folders:
        say(f"{folder}: {store.unpack(folder)} unpacked")


def _chosen(
    results: Path,
    ids: Sequence[str] | None,
    scenario: Sequence[str] | None,
    strategy: Sequence[str] | None,
    where: Sequence[str] | None,
    status: str | None,
) -> list[Run]:
    """Runs by id, or by filters. Raises UserError if there are none."""
    from clbench.api.found import named, with_status

    if ids:
        return named(results, ids, told=left_out)
    return with_status(load_chosen([results], scenario, strategy, where), status, results)
