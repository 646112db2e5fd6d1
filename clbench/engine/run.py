"""One run: data in, R out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import torch

from clbench import metrics, store
from clbench.avalanche import SupervisedPlugin
from clbench.config import RunConfig
from clbench.data.benchmark import ResidentExperience, make_benchmark
from clbench.data.sources import DataPlace
from clbench.data.tensors import ResidentStream
from clbench.engine import environment
from clbench.engine.assemble import learner_of, plugins_of, scenario_of, stages_of, stream_of
from clbench.engine.learner import ResidentLearner
from clbench.engine.precision import choose_device, choose_threads
from clbench.engine.seeding import prepare_process, seed_everything
from clbench.engine.watch import DivergedError, DivergenceWatch, ReportSteps, StepBudget
from clbench.progress import Reporter


@dataclass(frozen=True)
class Machine:
    """What a run may use of the machine; none of it is part of the config. ``threads`` None: chosen by the work."""

    place: DataPlace
    device: str = "auto"
    threads: int | None = None


def run(config: RunConfig, machine: Machine, reporter: Reporter | None = None) -> store.Result:
    """Run one configuration and return its Result.

    A run whose loss or weights become NaN or infinite ends with status 'diverged'. Raises UserError for what a user can
    fix: missing data, a scenario that its dataset cannot fill, strategies that cannot be composed.
    """
    started = time.perf_counter()
    prepare_process()
    device = choose_device(machine.device)
    seed_everything(config.seed)
    data, stream = stream_of(config, machine.place)
    plugins = plugins_of(config)
    stages = stages_of(plugins, len(stream.tasks))
    resident = ResidentStream(stream, data, device, config.scenario["normalisation"])
    benchmark = make_benchmark(resident, stages, config.evaluate)
    reporter = reporter or Reporter()
    watch = DivergenceWatch(reporter)
    own: list[SupervisedPlugin] = [watch, ReportSteps(reporter)]
    if config.steps is not None:
        own.append(StepBudget(config.steps))
    learner, model_info = learner_of(config, stream, data, device, plugins + own)
    threads = choose_threads(machine.threads, learner.model, config.batch_size)
    torch.set_num_threads(threads)

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
    found = {} if reason else metric_values(rows)
    reporter.run_finished({name: metric.value for name, metric in found.items()})
    return store.Result(
        run_id=config.run_id,
        status="ok" if reason is None else "diverged",
        reason=reason,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        seed=config.seed,
        config=config.model_dump(mode="json"),
        scenario=store.ScenarioInfo(
            version=scenario_of(config).attributes["version"],
            stream=stream.digest,
            classes=[task.source_classes for task in stream.tasks],
        ),
        data=store.DataInfo(
            name=data.name,
            fingerprint=data.fingerprint,
            official=data.official,
            train_samples=[len(task.train) for task in stream.tasks],
            test_samples=[len(task.scored(config.evaluate)) for task in stream.tasks],
        ),
        model=model_info,
        accuracy=rows,
        metrics=found,
        seconds=time.perf_counter() - started,
        cost=costs,
        diagnostics={"training_loss": watch.losses},
        environment=environment.describe(device, learner.arithmetic, threads),
    )


def metric_values(accuracy: metrics.Matrix) -> dict[str, store.MetricValue]:
    """Return every metric of R with its version."""
    return {
        name: store.MetricValue(value=value, version=metrics.METRICS[name].version)
        for name, value in metrics.compute(accuracy).items()
    }


def _stage(
    learner: ResidentLearner, experience: ResidentExperience, tests: list[Any], rows: list[list[float]]
) -> store.StageCost:
    """Train one stage, evaluate every task, and say what it cost."""
    started = time.perf_counter()
    planned = len(experience.data)  # made here, so that training is timed without it
    steps_before = learner.clock.train_iterations
    begun = time.perf_counter()
    learner.fit(experience)
    trained = time.perf_counter()
    samples = (learner.clock.train_iterations - steps_before) * learner.train_mb_size
    planned *= learner.train_epochs
    experience.release()
    rows.append(learner.row(tests))
    done = time.perf_counter()
    return store.StageCost(
        tasks=experience.tasks,
        prepare_seconds=begun - started,
        train_seconds=trained - begun,
        evaluate_seconds=done - trained,
        samples_per_second=min(samples, planned) / (trained - begun),
        peak_memory_mib=environment.peak_memory_mib(learner.device),
    )
