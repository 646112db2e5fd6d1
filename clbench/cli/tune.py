"""``clbench tune``: choose settings on the first tasks, on held-out images; write a recipe for the rest."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clbench.cli import completion
from clbench.cli.choices import Place
from clbench.cli.output import for_people, note
from clbench.cli.stopping import gently

if TYPE_CHECKING:
    from clbench.sweeps.study import Trial

EXAMPLES = """[bold]Examples[/bold]

clbench tune --strategy ewc --scenario split-digits --tasks 2

clbench tune --strategy l2 --scenario split-mnist --space strategy.lam=0.01,0.1,1 --seeds 2

clbench tune --strategy si --scenario split-mnist --sampler tpe --trials 20 --space optimizer.lr=0.001..0.3

clbench tune --config experiment.yaml     (with a block 'tune')

clbench run --config results/tuned/split-digits/ewc.yaml --seeds 5"""


class Sampler(str, Enum):
    """How settings are drawn."""

    grid = "grid"
    tpe = "tpe"
    random = "random"
    gp = "gp"
    cmaes = "cmaes"


class Pruner(str, Enum):
    """When trials are given up."""

    none = "none"
    median = "median"
    halving = "halving"


def tune(
    strategy: Annotated[
        str | None, typer.Option(autocompletion=completion.strategies, help="Name or composition of a method.")
    ] = None,
    scenario: Annotated[
        str | None,
        typer.Option(autocompletion=completion.scenarios, help="<family>-<dataset>. \\[default: split-digits]"),
    ] = None,
    tasks: Annotated[
        int | None, typer.Option(min=0, help="The first so many choose; 0: all, none is scored. \\[default: 3]")
    ] = None,
    space: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=V,V…",
            autocompletion=completion.assigned_keys,
            help="Values to try, or LOW..HIGH; repeatable. \\[default: lr and strengths]",
        ),
    ] = None,
    sampler: Annotated[Sampler | None, typer.Option(help="grid: every combination. \\[default: grid]")] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="For all samplers but grid. \\[default: 30]")] = None,
    pruner: Annotated[Pruner | None, typer.Option(help="Give trials up that lag behind. \\[default: none]")] = None,
    seeds: Annotated[str | None, typer.Option(help="Seeds of each trial. \\[default: 1]")] = None,
    metric: Annotated[
        str | None, typer.Option(autocompletion=completion.columns, help="What chooses. \\[default: average_accuracy]")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", autocompletion=completion.assigned_keys, help="Set any key."),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file; its block 'tune' has the same keys.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for recipe and study.")] = Path(
        "results/tuned"
    ),
    workers: Annotated[int | None, typer.Option(min=1, help="Trials at once. \\[default: one for each core]")] = None,
    executor: Annotated[Place, typer.Option(help="This machine's processes, or Ray.")] = Place.local,
    address: Annotated[str | None, typer.Option(help="ray: the cluster. \\[default: one of its own]")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of each trial.")] = None,
    data_root: Annotated[Path | None, typer.Option(help="Folder of datasets.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never download.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Choose learning rate, strength or anything else on the first tasks of a stream, never on test data.

    Each trial trains on the first tasks and is scored on a tenth of their training images, held out.
    The choice is a recipe that leaves those tasks out, beside a study with every trial.
    A study that was stopped goes on where it was. Exit code 2: something to correct; 130: stopped by Ctrl-C.
    """
    from clbench.analysis.columns import resolve
    from clbench.api.tuning import TuneOrder, choose
    from clbench.config import layers
    from clbench.render import tuning

    given = layers.merge(*layers.given(config, {"strategy": strategy, "scenario": scenario}, settings or ()))
    chosen: dict[str, Any] = {
        "sampler": sampler.value if sampler else None,
        "trials": trials,
        "pruner": pruner.value if pruner else None,
        "seeds": seeds,
        "metric": resolve(metric) if metric else None,
        "space": read_space(space) if space else None,
    }
    block = dict(given.pop("tune", {})) | {key: value for key, value in chosen.items() if value is not None}
    block |= {} if tasks is None else {"tasks": tasks or None}
    order = TuneOrder(
        given, block, output, executor.value, workers, address, threads, data_root=data_root, offline=offline
    )

    def told(number: int, count: int, trial: Trial) -> None:
        if not quiet:
            note(tuning.trial(number, count, trial.settings, trial.mean))

    with gently() as stopping:
        found = choose(order, told, stopping)
    if not quiet and found.file is not None:
        console = for_people()
        console.print(str(found))
        study = found.recipe["tuned"]["study"]
        console.print(f"wrote {found.file} and {study}; run it with: clbench run --config {found.file}", soft_wrap=True)


def read_space(texts: list[str]) -> dict[str, Any]:
    """Turn ``optimizer.lr=0.1,0.01`` into a list of values and ``optimizer.lr=0.001..0.1`` into a range."""
    import yaml

    from clbench.errors import UserError

    found: dict[str, Any] = {}
    for text in texts:
        key, equals, values = text.partition("=")
        if not equals or not values:
            raise UserError(f"--space {text}: expected KEY=VALUE,VALUE…, for instance --space strategy.lam=0.1,1,10.")
        low, dots, high = values.partition("..")
        if dots:
            try:
                found[key] = {"low": float(low), "high": float(high), "log": float(low) > 0}
            except ValueError:
                raise UserError(f"--space {text}: a range has two numbers, such as 0.001..0.1.") from None
        else:
            found[key] = [yaml.safe_load(value) for value in values.split(",")]
    return found
