"""``clbench sweep``: run all configurations of a plan, on this machine or a cluster; see where it stands."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from clbench.cli.options import PlansKeys
from clbench.cli.output import complain, for_people, for_tables, note
from clbench.cli.run import Device
from clbench.cli.stopping import gently
from clbench.errors import UserError

if TYPE_CHECKING:
    from clbench.api.plans import SweepOrder
    from clbench.config import RunConfig
    from clbench.store import Folder
    from clbench.sweeps.conduct import Tally

EXAMPLES = """[bold]Examples[/bold]

clbench sweep plan.yaml --dry-run

clbench sweep plan.yaml --workers 2

clbench sweep status

clbench sweep plan.yaml --executor ray --address auto --results s3://bucket/study

clbench sweep plan.yaml --plan-only > runs.txt     (a line for each run; clbench run --config - reads one)

[bold]A plan[/bold]

base: {scenario: split-digits, epochs: 10}

grid: {strategy: \\[ewc, l2, ewc-fixed], strategy.lam: \\[1, 10, 100], optimizer.lr: \\[0.01, 0.05]}

seeds: 5

exclude: \\[{strategy: l2, strategy.lam: 100}]"""


class PlanOrCommand(TyperGroup):
    """``clbench sweep plan.yaml`` is short for ``clbench sweep run plan.yaml``."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Take what is no command for a plan."""
        known = args and (args[0] in self.commands)
        return super().resolve_command(ctx, args if known else ["run", *args])

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Options may stand before the plan."""
        known = args and (args[0] in self.commands or args[0] in ("--help", "-h"))
        return super().parse_args(ctx, args if known or not args else ["run", *args])


class Place(str, Enum):
    """Where runs are run."""

    local = "local"
    ray = "ray"


app = typer.Typer(
    cls=PlanOrCommand,
    help="Run all configurations of a plan; killed at any point, it goes on where it was.",
    epilog=EXAMPLES,
    no_args_is_help=True,
    rich_markup_mode="rich",
)
Results = Annotated[str, typer.Option(help="Folder for Results, or a URL such as s3://bucket/results.")]


@app.command(cls=PlansKeys, epilog=EXAMPLES)
def run(
    plan: Annotated[Path, typer.Argument(help="YAML file: base, grid, list, random, seeds, exclude, retries.")],
    executor: Annotated[Place, typer.Option(help="This machine's processes, or Ray.")] = Place.local,
    results: Results = "results",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Runs at once. \\[default: one for each core or GPU]")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads of each run. \\[default: cores / workers]")
    ] = None,
    device: Annotated[Device, typer.Option(help="Where to train.")] = Device.auto,
    gpus: Annotated[
        float, typer.Option(min=0, help="GPUs: local, how many to share out; ray, how many a run takes.")
    ] = 0,
    address: Annotated[
        str | None, typer.Option(help="ray: the cluster ('auto', host:port). \\[default: one of its own]")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count the runs and estimate their time; run none.")
    ] = False,
    plan_only: Annotated[bool, typer.Option("--plan-only", help="Print what is left, a line for each run.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try again what has failed too often.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask about a huge plan.")] = False,
    checkpoint: Annotated[
        float, typer.Option(min=0.01, metavar="MINUTES", help="Between checkpoints inside a task.")
    ] = 5.0,
    data_root: Annotated[
        Path | None, typer.Option(help="Folder of datasets. \\[default: $CLBENCH_DATA or the cache]")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never download.")] = False,
    plugin: Annotated[list[Path] | None, typer.Option(help="Python file with strategies, scenarios or models.")] = None,
    diagnostics: Annotated[
        bool, typer.Option("--diagnostics", help="Also measure the networks between stages.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Run all configurations of a plan (the word 'run' may be left out).

    What has a Result is not run again; what fails is tried again, and its reason kept. Ctrl-C stops where every run can
    be continued. Exit code 0: all runs ended; 1: some failed; 2: something to correct; 130: stopped by Ctrl-C.
    """
    from clbench.api.plans import SweepOrder, expanded
    from clbench.sweeps import plan as plans
    from clbench.yaml_files import read_yaml

    asked = plans.read(read_yaml(plan), plan.name)
    if asked.size > plans.MANY and not yes:
        _ask(plan.name, asked.size)
    order = SweepOrder(
        asked,
        plan.name,
        results,
        executor=executor.value,
        workers=workers,
        threads=threads,
        device=device.value,
        gpus=gpus,
        address=address,
        forgive=retry_failed,
        minutes=checkpoint,
        data_root=data_root,
        offline=offline,
        plugins=plugin or (),
        diagnostics=diagnostics,
    )
    configs = expanded(order, starting=not dry_run and not plan_only)
    if plan_only:
        _print_lines(configs, order)
    elif dry_run:
        _estimate(order, configs)
    elif _conduct(order, configs, quiet).failures:
        raise typer.Exit(1)


def _conduct(order: SweepOrder, configs: list[RunConfig], quiet: bool) -> Tally:
    from clbench import store
    from clbench.api.plans import conduct
    from clbench.render import sweep as rendered

    console = for_people()
    shown = rendered.SweepProgress(console, len(configs)) if not quiet else None
    try:
        with gently() as stopping:
            tally = conduct(order, configs, shown or (lambda _: None), stopping)
    finally:
        if shown is not None:
            shown.close()
    for line in rendered.failures(tally.failures):
        complain(f"failed: {line}")
    if not quiet:
        _summary(tally, store.open_folder(order.results))
    if tally.stopped:
        raise stopping.error(f"Stopped with {tally.left} of {tally.total} runs left. The same command goes on.")
    return tally


def _summary(tally: Tally, folder: Folder) -> None:
    """Say where the time went, and how many runs are where."""
    from clbench.render import sweep as rendered

    console = for_people()
    diverged = sum(done.status == "diverged" for done in tally.done)
    if tally.done:
        console.print(rendered.costs(tally), markup=False, highlight=False, soft_wrap=True)
    noted = [f"{tally.skipped} were done before"] if tally.skipped else []
    noted += [f"{diverged} diverged"] if diverged else []
    noted += [f"{len(tally.failures)} failed"] if tally.failures else []
    done = f"{tally.skipped + len(tally.done)} of {tally.total} runs are in {folder}"
    ending = f"{done} ({', '.join(noted)})" if noted else done
    console.print(f"{ending}; see them with: clbench compare {folder}", markup=False, highlight=False, soft_wrap=True)


@app.command(epilog="[bold]Example[/bold]\n\nclbench sweep status --results results")
def status(results: Results = "results") -> None:
    """Show where the plans of a results folder stand: done, running, failed, left, rate, time left.

    Then each configuration's mean accuracy over the seeds that are done, the best first. A sweep runs seed by seed, so
    that an early look compares configurations on the same seeds.
    """
    from clbench import store
    from clbench.render import sweep as rendered
    from clbench.render.tables import print_table
    from clbench.sweeps.ledger import Ledger, is_running, known_plans

    folder = store.open_folder(results)
    plans = known_plans(folder)
    if not plans:
        raise UserError(f"{folder} has no sweep. Begin one with 'clbench sweep plan.yaml --results {folder}'.")
    rows, failed, ended = [], [], set[str]()
    present = Ledger(folder, plans[0]).present()
    running = is_running(folder)
    for plan in plans:
        ledger = Ledger(folder, plan)
        runs, told, failures = ledger.runs(), ledger.progress(), ledger.failures()
        done = sum(name in present for name in runs.values())
        ended |= {run for run, name in runs.items() if name in present}
        failures = {run: one for run, one in failures.items() if run in runs and runs[run] not in present}
        under_way = told is not None and not told.closed and running is not False and plan == plans[-1]
        active = len(told.running) if told and under_way else 0
        left = len(runs) - done - active - len(failures)
        rate = 60 * told.ended / told.seconds if told and told.seconds and told.ended else None
        rest = 60 * (left + active) / rate if rate and under_way else None
        state = "running" if under_way else "done" if not left and not failures else "stopped"
        rows.append((told.plan if told else plan, state, done, active, len(failures), left, rate, rest))
        failed += rendered.failures(failures.values())
    print_table(rendered.table(rows), for_tables())
    _print_so_far(folder, ended)
    for line in failed:
        complain(f"failed: {line}")


def _print_so_far(folder: Folder, ended: set[str]) -> None:
    """Print what the runs of plans have reached; those behind a URL would have to be fetched one by one."""
    from clbench.analysis.load import load
    from clbench.analysis.standing import standings
    from clbench.render import sweep as rendered
    from clbench.render.tables import print_table
    from clbench.store import LocalFolder

    if not isinstance(folder, LocalFolder):
        note(f"Accuracy so far is shown of local folders: clbench results import {folder}")
        return
    found, _ = load([folder.path]) if ended else ([], [])
    for scenario, rows in standings([run for run in found if run.run_id in ended]).items():
        print_table(rendered.so_far(scenario, rows), for_tables())


def _ask(name: str, size: int) -> None:
    """Ask whether so many runs are meant."""
    if not sys.stdin.isatty():
        raise UserError(f"{name} has {size:,} runs. If they are meant, add --yes; else take values out of its axes.")
    if not typer.confirm(f"{name} has {size:,} runs. Are they meant?", err=True):
        raise UserError(f"{name}: nothing was started. Take values out of its axes.")


def _print_lines(configs: list[RunConfig], order: SweepOrder) -> None:
    """Print what is left of a plan, a line for each run."""
    from clbench import store
    from clbench.sweeps.expand import line
    from clbench.sweeps.ledger import Ledger

    present = Ledger(store.open_folder(order.results), "").present()
    for config in configs:
        if config.result_name not in present:
            sys.stdout.write(f"{line(config)}\n")


def _estimate(order: SweepOrder, configs: list[RunConfig]) -> None:
    """Say how many runs there are, how many are left, and about how long they take."""
    from clbench import store
    from clbench.engine.run import Machine, run
    from clbench.render.sweep import duration
    from clbench.sweeps.estimate import estimate
    from clbench.sweeps.ledger import Ledger
    from clbench.sweeps.local import slots

    asked, around = order.plan, order.around
    present = Ledger(store.open_folder(order.results), asked.digest[:12]).present()
    left = [config for config in configs if config.result_name not in present]
    console = for_people()
    repeated = f" ({asked.size - len(configs)} of {asked.size} combinations are excluded or equal to others)"
    console.print(
        f"{len(configs)} runs{repeated if asked.size > len(configs) else ''}, {len(left)} left.",
        markup=False,
        highlight=False,
    )
    if not left:
        return
    found = slots(order.workers)
    machine = Machine(around.place, around.device, around.threads or len(found[0].cores))
    known = estimate(left, lambda config: run(config, machine))
    about = "at most" if known.at_most else "about"
    console.print(
        f"{about} {duration(known.seconds / len(found))} with {len(found)} workers, if they do not slow each other "
        f"down ({duration(known.seconds / len(left))} a run; measured on short runs of {known.probed} of "
        f"{known.kinds} kinds).",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
