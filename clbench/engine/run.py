"""One run: data in, R out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

import torch

from clbench import metrics, store
from clbench.avalanche import SupervisedPlugin
from clbench.config import RunConfig
from clbench.data.benchmark import ResidentExperience, make_benchmark
from clbench.data.sources import DataPlace
from clbench.data.tensors import ResidentStream
from clbench.diagnostics.watch import Diagnostics
from clbench.engine import environment
from clbench.engine.assemble import learner_of, plugins_of, scenario_of, stages_of, stream_of
from clbench.engine.learner import ResidentLearner
from clbench.engine.precision import choose_device, choose_threads
from clbench.engine.seeding import prepare_process, seed_everything
from clbench.engine.watch import AnswerWatch, DivergedError, DivergenceWatch, ReportSteps, StepBudget
from clbench.progress import Reporter


@dataclass(frozen=True)
class Machine:
    """What a run may use of the machine; none of it is part of the config. ``threads`` None: chosen by the work.

    diagnostics: also measure the network between stages; R is the same with and without.
    """

    place: DataPlace
    device: str = "auto"
    threads: int | None = None
    diagnostics: bool = False


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
    stages = stages_of(plugins, stream)
    resident = ResidentStream(stream, data, device, config.scenario["normalisation"])
    benchmark = make_benchmark(resident, stages, config.evaluate)
    reporter = reporter or Reporter()
    watch, answers = DivergenceWatch(reporter), AnswerWatch(config.until_train_accuracy)
    own: list[SupervisedPlugin] = [watch, answers, ReportSteps(reporter)]
    if config.steps is not None:
        own.append(StepBudget(config.steps))
    looking = Diagnostics()
    first: list[SupervisedPlugin] = [looking] if machine.diagnostics else []
    learner, model_info = learner_of(config, stream, data, device, first + plugins + own)
    threads = choose_threads(machine.threads, learner.model, config.batch_size)
    torch.set_num_threads(threads)

    reporter.run_started(len(stages))
    tests = list(benchmark.streams["test"])
    every = config.evaluate_all_every
    rows = [_row(learner, tests, tests if every == 1 else [])]
    costs: list[store.StageCost] = []
    reason = None
    try:
        for stage, experience in enumerate(benchmark.streams["train"], start=1):
            whole = stage % every == 0 or stage == len(stages) or stream.common_test
            own_tests = [test for test in tests if test.tasks[0] in experience.tasks]
            costs.append(_stage(learner, experience, tests, tests if whole else own_tests, rows, answers))
            reporter.stage_finished(len(costs), rows[-1])
    except DivergedError as error:
        reason = str(error)
    course = metrics.Course(
        rows,
        [cost.steps for cost in costs if cost.steps is not None],
        answers.reached if config.until_train_accuracy is not None else None,
        answers.online,
    )
    found = {} if reason else metric_values(course)
    reporter.run_finished({name: metric.value for name, metric in found.items()})
    known = [(task.source_classes, len(task.train), len(task.scored(config.evaluate)[1])) for task in stream.tasks]
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
            classes=[one[0] for one in known],
        ),
        data=store.DataInfo(
            name=data.name,
            fingerprint=data.fingerprint,
            official=data.official,
            train_samples=[one[1] for one in known],
            test_samples=[known[task][2] for task in stream.tested],
        ),
        model=model_info,
        accuracy=rows,
        online_accuracy=answers.online,
        metrics=found,
        seconds=time.perf_counter() - started,
        cost=costs,
        diagnostics={"training_loss": watch.losses} | (looking.found if machine.diagnostics else {}),
        environment=environment.describe(device, learner.arithmetic, threads),
    )


def metric_values(course: metrics.Course) -> dict[str, store.MetricValue]:
    """Return every metric of a run with its version."""
    return {
        name: store.MetricValue(value=value, version=metrics.METRICS[name].version)
        for name, value in metrics.compute(course).items()
    }


def _row(
    learner: ResidentLearner, tests: Sequence[ResidentExperience], due: Sequence[ResidentExperience]
) -> list[float | None]:
    """A row of R: a value for each test that is due."""
    found = dict(zip((test.tasks[0] for test in due), learner.row(due) if due else [], strict=True))
    return [found.get(test.tasks[0]) for test in tests]


def _stage(
    learner: ResidentLearner,
    experience: ResidentExperience,
    tests: Sequence[ResidentExperience],
    due: Sequence[ResidentExperience],
    rows: list[list[float | None]],
    answers: AnswerWatch,
) -> store.StageCost:
    """Train one stage, evaluate the tasks that are due, and say what it cost."""
    started = time.perf_counter()
    planned = len(experience.data)  # made here, so that training is timed without it
    steps_before = learner.clock.train_iterations
    begun = time.perf_counter()
    learner.fit(experience)
    trained = time.perf_counter()
    steps = learner.clock.train_iterations - steps_before
    planned *= learner.train_epochs
    experience.release()
    rows.append(_row(learner, tests, due))
    done = time.perf_counter()
    return store.StageCost(
        tasks=experience.tasks,
        prepare_seconds=begun - started,
        train_seconds=trained - begun,
        evaluate_seconds=done - trained,
        samples_per_second=min(steps * learner.train_mb_size, planned) / (trained - begun),
        peak_memory_mib=environment.peak_memory_mib(learner.device),
        steps=steps,
        epochs=learner.clock.train_exp_epochs,
        reached=answers.reached[-1] if answers.reached else None,
    )
