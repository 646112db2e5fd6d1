"""One run: data in, R out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import torch

from clbench import metrics, store
from clbench.avalanche import CLScenario, SupervisedPlugin
from clbench.config import RunConfig
from clbench.data.benchmark import ResidentExperience, forget, make_benchmark
from clbench.data.cache import Dataset
from clbench.data.sources import DataPlace
from clbench.data.streams import Stream
from clbench.data.tensors import ResidentStream
from clbench.diagnostics.watch import Diagnostics
from clbench.engine import environment, pretrain
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
    reporter = reporter or Reporter()
    weights = pretrain.pretrained(config, machine.place, _pretraining(machine, device, reporter))
    seed_everything(config.seed)
    data, stream = stream_of(config, machine.place)
    plugins = plugins_of(config)
    stages = stages_of(plugins, stream)
    resident = ResidentStream(stream, data, device, config.scenario["normalisation"])
    benchmark = make_benchmark(resident, stages, config.evaluate)
    watches = _Watches(config, reporter, machine.diagnostics)
    learner, model_info = learner_of(config, stream, data, device, watches.around(plugins), weights)
    threads = choose_threads(machine.threads, learner.model, config.batch_size)
    torch.set_num_threads(threads)
    trained = _train(config, learner, benchmark, stream, watches)
    forget(benchmark)
    found = {} if trained.reason else metric_values(trained.course(watches.answers))
    watches.reporter.run_finished({name: metric.value for name, metric in found.items()})
    known = [(task.source_classes, len(task.train), len(task.scored(config.evaluate)[1])) for task in stream.tasks]
    return store.Result(
        run_id=config.run_id,
        status="ok" if trained.reason is None else "diverged",
        reason=trained.reason,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        seed=config.seed,
        config=config.model_dump(mode="json", exclude={"tuned"}),
        tuned=config.tuned,
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
        accuracy=trained.rows,
        online_accuracy=watches.answers.online,
        metrics=found,
        seconds=time.perf_counter() - started,
        cost=trained.costs,
        diagnostics={"training_loss": watches.losses.losses} | watches.looked,
        environment=environment.describe(device, learner.arithmetic, threads),
    )


def _pretraining(machine: Machine, device: torch.device, reporter: Reporter) -> pretrain.MakeLearner:
    """How a learner that makes weights is made, should there be a need."""

    def make(recipe: RunConfig, stream: Stream, data: Dataset) -> ResidentLearner:
        seed_everything(recipe.seed)
        learner, _ = learner_of(recipe, stream, data, device, [ReportSteps(reporter)])
        torch.set_num_threads(choose_threads(machine.threads, learner.model, recipe.batch_size))
        return learner

    return make


class _Watches:
    """The engine's own plugins."""

    def __init__(self, config: RunConfig, reporter: Reporter, diagnostics: bool) -> None:
        self.reporter = reporter
        self.losses = DivergenceWatch(reporter)
        self.answers = AnswerWatch(config.until_train_accuracy)
        self.diagnostics = Diagnostics() if diagnostics else None
        self._budget = [] if config.steps is None else [StepBudget(config.steps)]

    def around(self, plugins: list[SupervisedPlugin]) -> list[SupervisedPlugin]:
        """The divergence watch first, so that nobody else meets NaN; then diagnostics, which see what the strategy's
        plugins are about to meet; the others behind those.
        """
        looking = [] if self.diagnostics is None else [self.diagnostics]
        return [self.losses, *looking, *plugins, self.answers, ReportSteps(self.reporter), *self._budget]

    @property
    def looked(self) -> dict[str, Any]:
        """What the diagnostics have found, if they were asked for."""
        return {} if self.diagnostics is None else self.diagnostics.found


@dataclass
class _Trained:
    """R and cost so far, and why the run ended early, if it did."""

    rows: list[list[float | None]]
    costs: list[store.StageCost] = field(default_factory=list)
    reason: str | None = None

    def course(self, answers: AnswerWatch) -> metrics.Course:
        """What the metrics are computed from."""
        steps = [cost.steps for cost in self.costs if cost.steps is not None]
        return metrics.Course(self.rows, steps, answers.reached or None, answers.online)


def _train(
    config: RunConfig, learner: ResidentLearner, benchmark: CLScenario, stream: Stream, watches: _Watches
) -> _Trained:
    """Train all stages; after each, evaluate every task, or in a long stream those that are due."""
    training, tests = list(benchmark.streams["train"]), list(benchmark.streams["test"])
    watches.reporter.run_started(len(training))
    every = config.evaluate_all_every
    trained = _Trained([_row(learner, tests, tests if every == 1 else [])])
    try:
        for stage, experience in enumerate(training, start=1):
            whole = stage % every == 0 or stage == len(training) or stream.common_test
            due = tests if whole else [test for test in tests if test.tasks[0] in experience.tasks]
            cost = _stage(learner, experience, watches.answers)
            begun = time.perf_counter()
            trained.rows.append(_row(learner, tests, due))
            seconds = time.perf_counter() - begun
            done = {"evaluate_seconds": seconds, "peak_memory_mib": environment.peak_memory_mib(learner.device)}
            trained.costs.append(cost.model_copy(update=done))
            watches.reporter.stage_finished(stage, trained.rows[-1])
    except DivergedError as error:
        trained.reason = str(error)
    return trained


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


def _stage(learner: ResidentLearner, experience: ResidentExperience, answers: AnswerWatch) -> store.StageCost:
    """Train one stage and say what it cost; it is not evaluated yet."""
    started = time.perf_counter()
    planned = len(experience.data)  # made here, so that training is timed without it
    steps_before = learner.clock.train_iterations
    begun = time.perf_counter()
    learner.fit(experience)
    trained = time.perf_counter()
    steps = learner.clock.train_iterations - steps_before
    planned *= learner.train_epochs
    experience.release()
    return store.StageCost(
        tasks=experience.tasks,
        prepare_seconds=begun - started,
        train_seconds=trained - begun,
        evaluate_seconds=0.0,
        samples_per_second=min(steps * learner.train_mb_size, planned) / (trained - begun),
        peak_memory_mib=environment.peak_memory_mib(learner.device),
        steps=steps,
        epochs=learner.clock.train_exp_epochs,
        reached=answers.reached[-1] if answers.reached else None,
    )
