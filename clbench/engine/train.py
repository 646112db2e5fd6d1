"""A run's training: its stages, one after another, and how a request to forget was answered; the second part."""

from __future__ import annotations

from clbench import metrics
from clbench.avalanche import SupervisedPlugin
from clbench.data.benchmark import forget, make_benchmark
from clbench.engine import removal
from clbench.engine.assemble import Assembled
from clbench.engine.learner import ResidentLearner
from clbench.engine.network import learner_of
from clbench.engine.seeding import seed_everything
from clbench.engine.stages import Stages, Trained
from clbench.engine.watch import AnswerWatch, StepBudget


def train(run: Assembled) -> Trained:
    """Train what is left of a run, measure how a removal was answered, and let go of the data.

    A run that diverges ends with the reason. Raises StoppedError where it was asked to stop.
    """
    watches, stream = run.watches, run.stream
    stages = Stages(
        run.config,
        run.learner,
        run.benchmark,
        watches.answers,
        run.keeper,
        run.resident.see,
        watches.within,
        run.plugins,
    )
    try:
        trained = stages.train(watches.reporter, stream.common_test, run.known, stream.periods)
        if trained.reason is None:
            trained.removal = _removal(run)
    finally:
        forget(run.benchmark)
        stages.forget()
    return trained


def _removal(run: Assembled) -> metrics.Removal | None:
    """What is measured of an answered request; None where the stream makes none."""
    watch, learner = run.watches.removal, run.learner
    if watch is None or not isinstance(learner, ResidentLearner):
        return None
    removed = run.benchmark.streams["train"][-1].removed
    compared = (lambda: _retrained(run)) if run.machine.diagnostics else None
    return removal.measured(run.config, learner, watch, removed, compared)


def _retrained(run: Assembled) -> ResidentLearner:
    """Train a network that begins as the run's did on what stays alone, as the run trains, and return its learner."""
    config, stream, encode = run.config, run.stream, run.resident.encode
    assert stream.request is not None
    seed_everything(config.seed)
    own: list[SupervisedPlugin] = [AnswerWatch(config.until_train_accuracy)]
    own += [] if config.steps is None else [StepBudget()]
    offline = run.machine.place.offline
    learner, _ = learner_of(config, stream, encode.shape, run.learner.device, own, run.weights, offline, encode.dtype)
    benchmark = make_benchmark(run.resident, [[stream.request.kept]], config.evaluate)
    learner.fit(benchmark.streams["train"][0])
    forget(benchmark)
    return learner
