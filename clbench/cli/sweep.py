"""``clbench sweep``: run all configurations of a plan, on this machine or a cluster; see where it stands."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from clbench.cli.choices import Device, Place
from clbench.cli.options import PlansKeys
from clbench.cli.output import agreed, complain, for_people, for_tables, note, say
from clbench.cli.stopping import gently

if TYPE_CHECKING:
    from clbench.api.plans import SweepOrder
    from clbench.config import RunConfig
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
    from clbench.api.plans import SweepOrder, expanded, left
    from clbench.sweeps import plan as plans
    from clbench.sweeps.expand import line
    from clbench.yaml_files import read_yaml

    asked = plans.read(read_yaml(plan), plan.name)
    if asked.size > plans.MANY and not yes:
        many = f"{plan.name} has {asked.size:,} runs."
        agreed(
            f"{many} Are they meant?",
            f"{many} If they are meant, add --yes; else take values out of its axes.",
            f"{plan.name}: nothing was started. Take values out of its axes.",
        )
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
        sys.stdout.writelines(f"{line(config)}\n" for config in left(order, configs))
    elif dry_run:
        _estimate(order, configs)
    elif _conduct(order, configs, quiet).failures:
        raise typer.Exit(1)


def _conduct(order: SweepOrder, configs: list[RunConfig], quiet: bool) -> Tally:
    """Run them, with people told how it goes and how it went."""
    from clbench.api.plans import conduct
    from clbench.render import sweep as rendered
    from clbench.store import open_folder

    shown = rendered.SweepProgress(for_people(), len(configs)) if not quiet else None
    try:
        with gently() as stopping:
            tally = conduct(order, configs, shown or (lambda _: None), stopping)
    finally:
        if shown is not None:
            shown.close()
    for line in rendered.failures(tally.failures):
        complain(f"failed: {line}")
    for line in rendered.ending(tally, str(open_folder(order.results))) if not quiet else ():
        say(line)
    if tally.stopped:
        raise stopping.error(f"Stopped with {tally.left} of {tally.total} runs left. The same command goes on.")
    return tally


def _estimate(order: SweepOrder, configs: list[RunConfig]) -> None:
    """Say how many runs there are, how many are left, and about how long they take."""
    from clbench.api.plans import estimated, left
    from clbench.render import sweep as rendered

    ahead = left(order, configs)
    say(rendered.counted(order.plan.size, len(configs), len(ahead)))
    if ahead:
        known, workers = estimated(order, ahead)
        say(rendered.estimated(known, len(ahead), workers))


@app.command(epilog="[bold]Example[/bold]\n\nclbench sweep status --results results")
def status(results: Results = "results") -> None:
    """Show where the plans of a results folder stand: done, running, failed, left, rate, time left.

    Then each configuration's mean accuracy over the seeds that are done, the best first. A sweep runs seed by seed, so
    that an early look compares configurations on the same seeds.
    """
    from clbench.render import sweep as rendered
    from clbench.render.tables import print_table
    from clbench.store import open_folder
    from clbench.sweeps.status import so_far, status_of

    folder = open_folder(results)
    found = status_of(folder)
    print_table(rendered.table(found.plans), for_tables())
    reached = so_far(folder, found.ended)
    if reached is None:
        note(f"Accuracy so far is shown of local folders: clbench results import {folder}")
    for scenario, rows in (reached or {}).items():
        print_table(rendered.so_far(scenario, rows), for_tables())
    for plan in found.plans:
        for line in rendered.failures(plan.failures):
            complain(f"failed: {line}")
