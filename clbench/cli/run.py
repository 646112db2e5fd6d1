"""``clbench run``: train a strategy on a scenario and write a Result per seed."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clbench.cli import completion
from clbench.cli.output import complain, for_people, note
from clbench.cli.stopping import gently

if TYPE_CHECKING:
    from clbench.config import RunConfig
    from clbench.engine.run import Machine
    from clbench.progress import Reporter
    from clbench.store import Folder, Result

EXAMPLES = """[bold]Examples[/bold]

clbench run --strategy ewc-fixed

clbench run --strategy ewc --scenario permuted-mnist --seeds 3 --set strategy.lam=50 --set epochs=2

clbench run --strategy ewc+er --scenario split-cifar10 --set scenario.incremental=class --set logits=seen

clbench run --strategy avalanche.training.plugins.EWCPlugin --set strategy.ewc_lambda=1

clbench run --strategy er --set evaluate_steps=10     (old tasks inside stages too: stability_gap)

clbench run --strategy si --logger tensorboard

clbench run --strategy er --scenario permuted-mnist --seeds 5 --resume     (after Ctrl-C, or a crash)

clbench run --config experiment.yaml --json > results.json"""


WRITABLE = ".writable"
SHOWN_WARNINGS = 10
SHOWN_TASKS = 12  # a wider accuracy matrix says nothing on a terminal; it is in the Result


class Device(str, Enum):
    """Devices."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class Logger(str, Enum):
    """Experiment trackers."""

    csv = "csv"
    tensorboard = "tensorboard"
    wandb = "wandb"
    mlflow = "mlflow"


class Precision(str, Enum):
    """Number formats."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"


def run(
    strategy: Annotated[
        str | None,
        typer.Option(
            autocompletion=completion.strategies, help="Name, composition (ewc+er) or import path of a method."
        ),
    ] = None,
    scenario: Annotated[
        str | None,
        typer.Option(
            autocompletion=completion.scenarios,
            help="<family>-<dataset>, e.g. split-mnist. \\[default: split-digits]",
        ),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="How many (3: seeds 0, 1, 2) or which (0,4,7). \\[default: 1]")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            autocompletion=completion.assigned_keys,
            help="Set any key, e.g. strategy.lam=50; repeatable.",
        ),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file with the same keys; flags and --set win.")] = None,
    model: Annotated[
        str | None, typer.Option(autocompletion=completion.models, help="Network. \\[default: the scenario's recipe]")
    ] = None,
    pretrain: Annotated[
        str | None, typer.Option(help="Begin with features of a dataset, or of a .safetensors file; heads are dropped.")
    ] = None,
    tuned: Annotated[
        bool, typer.Option("--tuned", help="Settings that 'clbench tune' chose and clbench ships, on the other tasks.")
    ] = False,
    device: Annotated[Device, typer.Option(help="Where to train.")] = Device.auto,
    precision: Annotated[Precision | None, typer.Option(help="auto: bf16 where faster. \\[default: auto]")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads. \\[default: all, 1 if small]")] = None,
    results: Annotated[str, typer.Option(help="Folder for Results, or a URL such as s3://bucket/results.")] = "results",
    save_model: Annotated[
        bool, typer.Option("--save-model", help="Keep the final weights too, as .safetensors beside each Result.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where this command was stopped; what is finished is not run again.")
    ] = False,
    checkpoint: Annotated[
        float, typer.Option(min=0, metavar="MINUTES", help="Between checkpoints inside a task; 0: keep none at all.")
    ] = 5.0,
    data_root: Annotated[
        Path | None, typer.Option(help="Folder of datasets. \\[default: $CLBENCH_DATA or the cache]")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never download.")] = False,
    plugin: Annotated[list[Path] | None, typer.Option(help="Python file with strategies, scenarios or models.")] = None,
    logger: Annotated[
        list[Logger] | None, typer.Option(help="Also tell a tracker, while training; repeatable.")
    ] = None,
    log_dir: Annotated[Path, typer.Option(help="Folder for what trackers write on this machine.")] = Path("logs"),
    diagnostics: Annotated[
        bool, typer.Option("--diagnostics", help="Also measure the network between stages, for 'clbench diagnose'.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the Results as JSON on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Train a strategy on a scenario and write one Result per seed.

    The scenario's standard recipe fills in whatever is not given: model, optimiser, epochs, batch size.
    Exit code 0: all runs ended well; 1: a run diverged; 2: something to correct; 130: stopped by Ctrl-C.
    """
    from clbench import layers, registry, store
    from clbench.config import resolve

    for path in plugin or []:
        registry.add_plugin(path)
    flags: dict[str, Any] = {
        "strategy": strategy,
        "scenario": scenario,
        "seeds": seeds,
        "model": model,
        "pretrain": pretrain,
        "precision": precision.value if precision else None,
    }
    given = [
        layers.shipped_recipe(strategy, scenario or "split-digits") if tuned else {},
        layers.read_yaml(config) if config else {},
        {key: value for key, value in flags.items() if value is not None},
        layers.read_assignments(settings or []),
    ]
    folder = store.open_folder(results)
    _check_writable(folder)
    from clbench.render.progress import waiting

    silent = quiet or as_json
    with _imports_uncollected(), nullcontext() if silent else waiting(for_people(), "loading torch and Avalanche"):
        configs = resolve(*given)

        from clbench.data.sources import DataPlace
        from clbench.engine.run import Machine
        from clbench.engine.trackers import check_installed

    trackers = [one.value for one in logger or []]
    for name in trackers:
        check_installed(name)
    machine = Machine(DataPlace.default(data_root, offline), device.value, threads, diagnostics)
    telling = Telling(silent, trackers, log_dir, offline)
    keeping = Keeping(folder, checkpoint, resume, save_model)
    done = [_one(one, machine, keeping, telling, (place, len(configs))) for place, one in enumerate(configs, start=1)]
    if as_json:
        json.dump([result.model_dump(mode="json") for result, _ in done], sys.stdout, indent=1)
        sys.stdout.write("\n")
    elif not quiet:
        _summary([result for result, _ in done], [f"{folder}/{name}" for one in done for name in keeping.names(*one)])
    if any(result.status != "ok" for result, _ in done):
        raise typer.Exit(1)


@contextmanager
def _imports_uncollected() -> Iterator[None]:
    """Import without garbage collection: torch makes many lasting objects, and looking at them costs time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@dataclass(frozen=True)
class Telling:
    """Who hears of a run: people, unless it is quiet, and trackers."""

    quiet: bool
    trackers: list[str]
    log_dir: Path
    offline: bool


@dataclass(frozen=True)
class Keeping:
    """Where Results go, how often a run is kept on the way (minutes; 0: never), whether such a run is continued, and
    whether final weights are kept.
    """

    folder: Folder
    minutes: float
    resume: bool
    weights: bool

    def names(self, result: Result, name: str) -> list[str]:
        """The files that a run leaves, given its Result and what that is called."""
        from clbench.store import weights_name

        return [name, weights_name(name)] if self.weights and result.status == "ok" else [name]


def _one(
    config: RunConfig, machine: Machine, keeping: Keeping, telling: Telling, place: tuple[int, int]
) -> tuple[Result, str]:
    """Run one seed (``place``: which, of how many), with progress for people and trackers, and write its Result."""
    from clbench import store
    from clbench.engine.checkpoint import Checkpoints, StoppedError
    from clbench.engine.run import complete
    from clbench.engine.trackers import open_tracker
    from clbench.progress import Reporters

    folder = keeping.folder
    finished = config.result_name
    if keeping.resume and folder.exists(finished):
        found = store.parsed(folder.read(finished), f"{folder}/{finished}")
        if all(map(folder.exists, keeping.names(found, finished))):
            return found, finished
    listeners: list[Reporter] = [
        open_tracker(name, config, telling.log_dir, telling.offline) for name in telling.trackers
    ]
    if not telling.quiet:
        listeners.append(_progress(config, place))
    with closing(Reporters(listeners)) as reporter, gently() as stopping:
        kept = folder if keeping.minutes else None
        checkpoints = Checkpoints(kept, keeping.minutes, resume=keeping.resume, stopping=stopping)
        try:
            result, name = complete(config, machine, folder, reporter, checkpoints, keeping.weights)
        except StoppedError:
            then = "goes on" if keeping.minutes else "begins this seed anew: without checkpoints nothing of it is kept"
            raise stopping.error(f"Stopped in seed {config.seed}. The same command with --resume {then}.") from None
    if result.status == "diverged":
        complain(f"Seed {config.seed} diverged: {result.reason}. Lower optimizer.lr, or the strategy's strength.")
    return result, name


def _progress(config: RunConfig, place: tuple[int, int]) -> Reporter:
    """A live bar on a terminal, lines elsewhere; ``place``: which seed it is, of how many."""
    from clbench.render.progress import LineProgress, LiveProgress

    console = for_people()
    seed, seeds = place
    if console.is_terminal:
        return LiveProgress(console, config.strategy["name"], seed, seeds)
    told = f"seed {config.seed}" if seeds == 1 else f"seed {seed}/{seeds}"
    return LineProgress(console, f"{config.strategy['name']} on {config.scenario['name']}, {told}")


def _summary(results: list[Result], paths: list[str]) -> None:
    """Print R of a single run, or the estimates over seeds, and where the Results are."""
    from clbench.analysis.compare import leaderboards
    from clbench.analysis.runs import run_of
    from clbench.render import leaderboards as boards_as
    from clbench.render import tables

    console = for_people()
    if len(results) == 1 and len(results[0].accuracy[0]) <= SHOWN_TASKS:
        tables.print_table(tables.accuracy_matrix(results[0]), console)
    boards = leaderboards(map(run_of, results))
    for board in boards:
        tables.print_table(boards_as.leaderboard(board), console)
    console.print(boards_as.caption(boards), style="dim", markup=False, highlight=False)
    _warn(results)
    for path in paths:
        console.print(f"wrote {path}", markup=False, highlight=False, soft_wrap=True)


def _warn(results: list[Result]) -> None:
    """Say what a reader of the numbers must know, seed by seed."""
    from clbench.store.warnings import KINDS, kind_of

    told = [(result.seed, warning) for result in results for warning in result.warnings]
    for seed, warning in told[:SHOWN_WARNINGS]:
        kind = KINDS.get(kind_of(warning))
        note(f"Seed {seed}, {warning}.{f' {kind.advice}.' if kind else ''}")
    if len(told) > SHOWN_WARNINGS:
        note(f"… and {len(told) - SHOWN_WARNINGS} warnings more: 'clbench results show' has them, run by run.")


def _check_writable(folder: Folder) -> None:
    """Find out before training whether the Result can be written."""
    from clbench.store import unwritable

    try:
        folder.write(WRITABLE, b"")
        folder.remove(WRITABLE)
    except OSError as error:
        raise unwritable(folder, error) from None
