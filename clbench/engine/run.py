"""One run: data in, R out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import torch

from clbench import metrics, registry, store
from clbench.avalanche import SupervisedPlugin
from clbench.config import RunConfig, components
from clbench.data import cache
from clbench.data.benchmark import ResidentExperience, make_benchmark
from clbench.data.sources import DataPlace
from clbench.data.streams import Stream, with_common_options
from clbench.data.tensors import ResidentStream
from clbench.engine import environment, optimizers
from clbench.engine.learner import Arithmetic, ResidentLearner, Training
from clbench.engine.precision import choose_device, choose_precision, is_convolutional
from clbench.engine.seeding import prepare_process, seed_everything
from clbench.engine.watch import DivergedError, DivergenceWatch, ReportSteps, StepBudget
from clbench.errors import UserError
from clbench.models import network
from clbench.progress import Reporter
from clbench.registry import scenario_parts
from clbench.strategy import Strategy


@dataclass(frozen=True)
class Machine:
    """What a run may use of the machine; none of it is part of the config."""

    place: DataPlace
    device: str = "auto"
    threads: int = 1


def run(config: RunConfig, machine: Machine, reporter: Reporter | None = None) -> store.Result:
    """Run one configuration and return its Result.

    A run whose loss or weights become NaN or infinite ends with status 'diverged'. Raises UserError for what a user can
    fix: missing data, a scenario that its dataset cannot fill, strategies that cannot be composed.
    """
    started = time.perf_counter()
    prepare_process(machine.threads)
    device = choose_device(machine.device)
    seed_everything(config.seed)
    data, stream = _stream(config, machine.place)
    plugins = _plugins(config)
    stages = _stages(plugins, len(stream.tasks))
    resident = ResidentStream(stream, data, device, config.scenario["normalisation"])
    benchmark = make_benchmark(resident, stages, config.evaluate)
    watch = DivergenceWatch(device)
    reporter = reporter or Reporter()
    own: list[SupervisedPlugin] = [watch, ReportSteps(reporter)]
    if config.steps is not None:
        own.append(StepBudget(config.steps))
    learner, model_info = _learner(config, stream, data, device, plugins + own)

    reporter.run_started(len(stages))
    tests = list(benchmark.streams["test"])
    rows = [learner.row(tests)]
    costs: list[store.StageCost] = []
    reason = None
    try:
        for experience in benchmark.streams["train"]:
            costs.append(_stage(learner, experience, tests, rows))
            reporter.stage_finished(len(costs), rows[-1])
    except DivergedError as error:
        reason = str(error)
    accuracy = [[float(value) for value in row] for row in rows]
    return store.Result(
        run_id=config.run_id,
        status="ok" if reason is None else "diverged",
        reason=reason,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        seed=config.seed,
        config=config.model_dump(mode="json"),
        scenario=store.ScenarioInfo(
            version=_scenario(config).attributes["version"],
            stream=stream.digest,
            classes=[task.source_classes for task in stream.tasks],
        ),
        data=store.DataInfo(
            name=data.name,
            fingerprint=data.fingerprint,
            official=data.official,
            train_samples=[len(task.train) for task in stream.tasks],
            test_samples=[len(experience.data) for experience in tests],
        ),
        model=model_info,
        accuracy=accuracy,
        metrics={} if reason else metric_values(accuracy),
        seconds=time.perf_counter() - started,
        cost=costs,
        diagnostics={"training_loss": watch.losses},
        environment=environment.describe(device, learner.arithmetic, machine.threads),
    )


def metric_values(accuracy: metrics.Matrix) -> dict[str, store.MetricValue]:
    """Return every metric of R with its version."""
    return {
        name: store.MetricValue(value=value, version=metrics.METRICS[name].version)
        for name, value in metrics.compute(accuracy).items()
    }


def _scenario(config: RunConfig) -> registry.Declared:
    family, _ = scenario_parts(config.scenario["name"])
    return registry.scenario.load(family)


def _stream(config: RunConfig, place: DataPlace) -> tuple[cache.Dataset, Stream]:
    _, source = scenario_parts(config.scenario["name"])
    options = dict(config.scenario)
    data = cache.load(source, place, options.pop("image_size"))
    samples, validation = options.pop("samples_per_task"), options.pop("validation")
    del options["name"], options["normalisation"]
    stream: Stream = _scenario(config).make(data, config.seed, **options)
    return data, with_common_options(stream, config.seed, samples, validation)


def _plugins(config: RunConfig) -> list[SupervisedPlugin]:
    plugins = []
    for name, options in components(config.strategy):
        plugin = registry.strategy.load(name).make(**options)
        if not isinstance(plugin, SupervisedPlugin):
            raise UserError(
                f"strategy '{name}' makes a {type(plugin).__name__}, which is no Avalanche SupervisedPlugin. "
                "Name a plugin class, for instance avalanche.training.plugins.EWCPlugin."
            )
        plugins.append(plugin)
    return plugins


def _stages(plugins: list[SupervisedPlugin], tasks: int) -> list[list[int]]:
    """The stages that the strategy asks for; at most one part of a composition may change them."""
    default = Strategy().stages(tasks)
    asked = [p.stages(tasks) for p in plugins if isinstance(p, Strategy)]
    changed = [stages for stages in asked if stages != default]
    if len(changed) > 1:
        raise UserError(
            "strategy: at most one part of a composition may change which data a stage uses (joint, cumulative, …)."
        )
    return changed[0] if changed else default


def _learner(
    config: RunConfig,
    stream: Stream,
    data: cache.Dataset,
    device: torch.device,
    plugins: list[SupervisedPlugin],
) -> tuple[ResidentLearner, store.ModelInfo]:
    options = dict(config.model)
    declared = registry.model.load(options.pop("name"))
    wanted = options.pop("classifier")
    kind: network.Classifier = ("multi" if stream.heads > 1 else "single") if wanted == "auto" else wanted
    if kind == "growing" and config.logits != "all":
        raise UserError("logits: a growing classifier has the seen classes only; use logits=all with it.")
    if (kind != "multi") == (stream.heads > 1):
        raise UserError(
            f"model.classifier: '{kind}' does not fit scenario.incremental={stream.incremental}; 'multi' is for "
            "task-incremental streams. Leave it at 'auto'."
        )
    model = network.build(declared.make(data.shape, **options), data.shape, kind, stream.outputs, stream.heads)
    convolutional = is_convolutional(model)
    arithmetic = Arithmetic(
        device,
        choose_precision(config.precision, device, model),
        torch.channels_last if convolutional else torch.contiguous_format,
    )
    model = model.to(device)
    model.to(memory_format=arithmetic.memory_format)
    settings = dict(config.optimizer)
    optimizer = optimizers.declared(settings.pop("name")).make(list(model.parameters()), device, **settings)
    if settings["schedule"] != "constant":
        plugins = [*plugins, optimizers.ScheduleLearningRate(settings["schedule"], settings["lr"])]
    learner = ResidentLearner(
        model=model,
        optimizer=optimizer,
        plugins=plugins,
        training=Training(
            config.batch_size,
            config.epochs,
            config.steps,
            settings["reset"] == "each-task",
            config.logits if stream.incremental == "class" else "all",
            "flip" in config.augment,
            "crop" in config.augment,
        ),
        arithmetic=arithmetic,
        seed=config.seed,
        outputs=stream.outputs,
    )
    return learner, store.ModelInfo(parameters=sum(p.numel() for p in model.parameters()), classifier=kind)


def _stage(
    learner: ResidentLearner, experience: ResidentExperience, tests: list[Any], rows: list[list[float]]
) -> store.StageCost:
    """Train one stage, evaluate every task, and say what it cost."""
    steps_before = learner.clock.train_iterations
    begun = time.perf_counter()
    learner.fit(experience)
    trained = time.perf_counter()
    samples = (learner.clock.train_iterations - steps_before) * learner.train_mb_size
    planned = len(experience.data) * learner.train_epochs
    experience.release()
    rows.append(learner.row(tests))
    done = time.perf_counter()
    return store.StageCost(
        tasks=experience.tasks,
        train_seconds=trained - begun,
        evaluate_seconds=done - trained,
        samples_per_second=min(samples, planned) / (trained - begun),
        peak_memory_mib=environment.peak_memory_mib(learner.device),
    )
