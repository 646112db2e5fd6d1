"""``clbench results``: look at single runs, remove some, move them between folders, archives and stores."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clbench.cli.compare import Scenarios, Strategies, Where, load_chosen
from clbench.cli.output import for_people, for_tables, note
from clbench.errors import UserError

if TYPE_CHECKING:
    from clbench.analysis.runs import Run
    from clbench.store import Result

app = typer.Typer(
    help="Single runs: list, show, remove; export, import and pack.", no_args_is_help=True, rich_markup_mode="rich"
)
Folder = Annotated[Path, typer.Option("--results", help="Folder of Results.")]
Status = Annotated[str | None, typer.Option(help="Only runs with this status: ok or diverged.")]
Ids = Annotated[
    list[str] | None, typer.Argument(help="Runs, by the beginning of their id or by file. \\[default: by the filters]")
]
DEFAULT = Path("results")
SHORT = 12
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
    from clbench.render.tables import Table, print_table
    from clbench.store.warnings import kinds_of

    runs = sorted(_chosen(results, None, scenario, strategy, where, status), key=lambda run: run.created, reverse=True)
    if as_json:
        json.dump([_row(run) for run in runs], sys.stdout, indent=1)
        sys.stdout.write("\n")
        return
    cells = []
    for run in runs[:limit]:
        values = [run.metrics.get(name) for name in ("average_accuracy", "forgetting")]
        shown = ["–" if value is None else f"{100 * value:.1f}" for value in values]
        when = run.created[:16].replace("T", " ")
        cells.append(
            [
                run.run_id[:SHORT],
                run.scenario,
                run.strategy,
                str(run.seed),
                ", ".join([run.status, *kinds_of(run.warnings)]),
                *shown,
                f"{run.seconds:.1f}",
                when,
            ]
        )
    header = ["run", "scenario", "strategy", "seed", "status", "accuracy %", "forgetting %", "seconds", "made (UTC)"]
    console = for_tables()
    print_table(Table("", header, cells, right=frozenset({3, 5, 6, 7})), console)
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
    from clbench.analysis.ages import ages
    from clbench.render.leaderboards import shown
    from clbench.render.tables import Table, accuracy_matrix, age_curve, print_table

    (found,) = _named(results, [run], alone=True)
    assert found.path is not None
    result = store.read(found.path)
    if as_json:
        json.dump(result.model_dump(mode="json"), sys.stdout, indent=1)
        sys.stdout.write("\n")
        return
    console = for_tables()
    head = f"{result.strategy} on {result.scenario_name}, seed {result.seed}: {result.status}"
    console.print(head, style="bold", markup=False, highlight=False)
    console.print(
        f"{result.reason + chr(10) if result.reason else ''}{found.path}", markup=False, highlight=False, soft_wrap=True
    )
    for warning in result.warnings:
        console.print(warning, style="yellow", markup=False, highlight=False, soft_wrap=True)
    settings = [[key, store.canonical(value)] for key, value in store.flat(result.config).items()]
    print_table(Table("settings", ["key", "value"], settings), console)
    print_table(accuracy_matrix(result), console)
    if aging := ages(result):
        print_table(age_curve(aging), console)
    values = [[name, shown(one.value, name)] for name, one in result.metrics.items()]
    print_table(Table("metrics", ["metric", "value"], values, right=frozenset({1})), console)
    print_table(_cost(result), console)
    codes = {
        unit: str(code) if code.package or not code.source else f"{code.source}, {code}"
        for unit, code in result.code.items()
    }
    made = [[key, str(value)] for key, value in {"made": result.created, **codes, **result.environment}.items()]
    print_table(Table("made by", ["", ""], made), console)


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

    if not ids and not any((scenario, strategy, where, status)):
        raise UserError("Say which runs: ids, or --scenario, --strategy, --where or --status.")
    runs = _chosen(results, ids, scenario, strategy, where, status)
    if not yes:
        shown = ", ".join(f"{run.strategy} seed {run.seed} ({run.run_id[:SHORT]})" for run in runs[:5])
        question = f"Remove {len(runs)} runs from {results}: {shown}{' …' if len(runs) > 5 else ''}?"
        if not sys.stdin.isatty():
            raise UserError(f"{question} Add --yes to do it without being asked.")
        if not typer.confirm(question, err=True):
            raise UserError("Nothing was removed.")
    for run in runs:
        assert run.path is not None
        try:
            store.remove([run.path])
            Path(store.weights_name(str(store.as_single(run.path)))).unlink(missing_ok=True)
        except OSError as error:
            raise UserError(f"{run.path} cannot be removed ({error.strerror}).") from None
    for_people().print(f"removed {len(runs)} runs", highlight=False)


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
    from clbench import store
    from clbench.store import transfer

    runs = _chosen(results, ids, scenario, strategy, where, status)
    found = (store.read(run.path) for run in runs if run.path is not None)
    if target.endswith(".csv"):
        transfer.write(target, _as_csv([_row(run) for run in runs]).encode())
    elif target.endswith(".zip"):
        transfer.archive(found, target)
    else:
        taken = transfer.take(((str(one.run_id), store.content_of(one)) for one in found), store.open_folder(target))
        note(_words(taken))
    for_people().print(f"wrote {len(runs)} runs to {target}", markup=False, highlight=False, soft_wrap=True)


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
        for sentence in taken.refused[:5]:
            note(f"Left out: {sentence}")
        for_people().print(f"{source}: {_words(taken)}", markup=False, highlight=False, soft_wrap=True)


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
        words = f"{folder}: {done.new} packed, {done.all} in the pack, {done.size / 1e6:.2f} MB{alone}"
        for_people().print(words, markup=False, highlight=False, soft_wrap=True)


@app.command(epilog="[bold]Example[/bold]\n\nclbench results unpack results/studies/drift")
def unpack(folders: Folders) -> None:
    """Write the Results of a folder's pack as single files again, and remove the pack."""
    from clbench import store

    for folder in folders:
        for_people().print(f"{folder}: {store.unpack(folder)} unpacked", markup=False, highlight=False, soft_wrap=True)


def _words(taken: Any) -> str:
    return (
        f"{len(taken.new)} new, {len(taken.same)} already there, {len(taken.replaced)} replaced by newer ones, "
        f"{len(taken.refused)} left out"
    )


def _chosen(
    results: Path,
    ids: Sequence[str] | None,
    scenario: Sequence[str] | None,
    strategy: Sequence[str] | None,
    where: Sequence[str] | None,
    status: str | None,
) -> list[Run]:
    """Runs by id, or by filters. Raises UserError if there are none."""
    if ids:
        return _named(results, ids)
    runs = [run for run in load_chosen([results], scenario, strategy, where) if status in (None, run.status)]
    if not runs:
        raise UserError(f"No runs with status '{status}' under {results}. There is ok, and diverged.")
    return runs


def _named(results: Path, ids: Sequence[str], alone: bool = False) -> list[Run]:
    """Runs by the beginning of their ids, or by file; ``alone``: each id must mean one run."""
    from clbench.store import is_there

    files = [Path(text) for text in ids if text.endswith(".json") and is_there(Path(text))]
    wanted = [text for text in ids if Path(text) not in files]
    found = load_chosen(files, None, None, None) if files else []
    there = load_chosen([results], None, None, None) if wanted else []
    for text in wanted:
        matching = [run for run in there if run.run_id.startswith(text)]
        if not matching:
            raise UserError(f"No run under {results} has an id that begins with '{text}'. See 'clbench results list'.")
        if alone and len(matching) > 1:
            raise UserError(f"{len(matching)} runs under {results} have ids that begin with '{text}'. Give more of it.")
        found += matching
    return found


def _row(run: Run) -> dict[str, Any]:
    """A run on one line: what it is, its settings, its metrics."""
    from clbench import store

    head = {"run": run.run_id, "created": run.created, "status": run.status, "seed": run.seed}
    settings: dict[str, Any] = {"warnings": [*run.warnings]} | store.flat(json.loads(run.setup))
    return head | settings | run.metrics | {"seconds": run.seconds, "file": str(run.path)}


def _as_csv(rows: Sequence[dict[str, Any]]) -> str:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row | {"warnings": "; ".join(row["warnings"])} for row in rows)
    return stream.getvalue()


def _cost(result: Result) -> Any:
    from clbench.render.tables import Table

    rows = [
        [
            ", ".join(str(task + 1) for task in cost.tasks),
            f"{cost.train_seconds:.2f}",
            f"{cost.evaluate_seconds:.2f}",
            f"{cost.samples_per_second:,.0f}",
            f"{cost.peak_memory_mib:,.0f}",
        ]
        for cost in result.cost
    ]
    header = ["tasks", "training s", "evaluation s", "samples/s", "peak MiB"]
    return Table("cost", header, rows, right=frozenset(range(1, 5)))
