"""``clbench run``: train a strategy on a scenario and write a Result per seed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clbench.cli import completion
from clbench.cli.choices import Device, Logger, Precision
from clbench.cli.output import for_people, note, say, write_json

if TYPE_CHECKING:
    from clbench.api.carry import Ended

EXAMPLES = """[bold]Examples[/bold]

clbench run --strategy ewc-fixed

clbench run --strategy ewc --scenario permuted-mnist --seeds 3 --set strategy.lam=50 --set epochs=2

clbench run --strategy ewc+er --scenario split-cifar10 --set scenario.incremental=class --set logits=seen

clbench run --strategy avalanche.training.plugins.EWCPlugin --set strategy.ewc_lambda=1

clbench run --strategy avalanche.training.supervised.ICaRL --set scenario.incremental=class

clbench run --strategy er --set evaluate_steps=10     (old tasks inside stages too: stability_gap)

clbench run --strategy er --scenario time --data sales.csv --set data.label=bought --set scenario.every=month

clbench run --strategy si --logger tensorboard

clbench run --strategy er --scenario permuted-mnist --seeds 5 --resume     (after Ctrl-C, or a crash)

clbench run --config experiment.yaml --json > results.json"""


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
    data: Annotated[
        Path | None, typer.Option(help="Your own table, arrays or image folder; then --scenario may be a family alone.")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="How many (3: seeds 0, 1, 2) or which (0,4,7; one: 7,). \\[default: 1]")
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
    from clbench.api.carry import Order, carry_out
    from clbench.cli.people import People
    from clbench.config import layers

    flags = {
        "strategy": strategy,
        "scenario": scenario,
        "seeds": seeds,
        "data": None if data is None else str(data),
        "model": model,
        "pretrain": pretrain,
        "precision": precision.value if precision else None,
    }
    order = Order(
        layers.given(config, flags, settings or ()),
        tuned=tuned,
        device=device.value,
        threads=threads,
        results=results,
        resume=resume,
        minutes=checkpoint,
        data_root=data_root,
        offline=offline,
        plugins=plugin or (),
        trackers=[one.value for one in logger or ()],
        log_dir=log_dir,
        diagnostics=diagnostics,
        weights=save_model,
    )
    done = carry_out(order, People(quiet or as_json))
    if as_json:
        write_json([ended.result.model_dump(mode="json") for ended in done])
    elif not quiet:
        _summary(done)
    if any(ended.result.status != "ok" for ended in done):
        raise typer.Exit(1)


def _summary(done: list[Ended]) -> None:
    """Print R of a single run, or the estimates over seeds, what to know of them, and where the Results are."""
    from clbench.analysis.runs import run_of
    from clbench.render.summaries import print_runs, warnings_of

    results = [ended.result for ended in done]
    print_runs([run_of(result) for result in results], results[0] if len(results) == 1 else None, for_people())
    for sentence in warnings_of((result.seed, result.warnings) for result in results):
        note(sentence)
    for path in (path for ended in done for path in (ended.where, ended.weights) if path):
        say(f"wrote {path}")
