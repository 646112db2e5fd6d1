"""One run: data in, R out."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from typing import Any

import torch

from clbench import metrics, store
from clbench.avalanche import SupervisedPlugin
from clbench.checkpoints.checkpoint import Checkpoints, Keeper
from clbench.checkpoints.moments import discard
from clbench.checkpoints.saved import Finished, weights_of
from clbench.checkpoints.state import Known
from clbench.config import RunConfig
from clbench.data.benchmark import forget, make_benchmark
from clbench.data.dataset import Dataset
from clbench.data.sources import DataPlace
from clbench.data.streams import Stream
from clbench.data.tensors import ResidentStream
from clbench.diagnostics.watch import Diagnostics
from clbench.diagnostics.watch_features import FeatureWatch
from clbench.engine import environment, pretrain, removal
from clbench.engine.assemble import (
    beside,
    guest_learner_of,
    guest_of,
    learner_of,
    plugins_of,
    resident_of,
    scenario_of,
    stages_of,
    stream_of,
)
from clbench.engine.guest import Guest
from clbench.engine.guest import check as check_guest
from clbench.engine.learner import ResidentLearner
from clbench.engine.learnt import column_of, imbalance
from clbench.engine.precision import choose_device, choose_threads
from clbench.engine.seeding import prepare_process, seed_everything
from clbench.engine.stages import Stages, Trained
from clbench.engine.warned import Ending, warnings_of
from clbench.engine.watch import AnswerWatch, DivergenceWatch, ReportSteps, StepBudget
from clbench.engine.within import WithinWatch
from clbench.progress import Reporter
from clbench.registry import role_of
from clbench.store.folders import Folder


@dataclass(frozen=True)
class Machine:
    """What a run may use of the machine; none of it is part of the config. ``threads`` None: chosen by the work.

    diagnostics: also measure the network between stages, and train what a removal is compared with; R is the same with
    and without.
    """

    place: DataPlace
    device: str = "auto"
    threads: int | None = None
    diagnostics: bool = False


# Of the environment, what a run must find again to go on as if nothing had been.
SAME = ("clbench", "commit", "torch", "avalanche", "device", "threads", "precision", "memory_format", "upstream")


def run(
    config: RunConfig, machine: Machine, reporter: Reporter | None = None, checkpoints: Checkpoints | None = None
) -> store.Result:
    """Run one configuration, or what is left of it, and return its Result.

    A run whose loss or weights become NaN or infinite ends with status 'diverged'. Raises UserError for what a user can
    fix: missing data, a scenario that its dataset cannot fill, strategies that cannot be composed, a unit whose code
    has changed since the config was made; StoppedError if ``checkpoints`` says that it should stop. Checkpoints stay
    until their Result is written: see ``complete``.
    """
    return finished(config, machine, reporter, checkpoints).result


def finished(
    config: RunConfig, machine: Machine, reporter: Reporter | None = None, checkpoints: Checkpoints | None = None
) -> Finished:
    """Likewise, and return the network too."""
    started = time.perf_counter()
    config.check_code()
    prepare_process()
    device = choose_device(machine.device)
    reporter = reporter or Reporter()
    seed_everything(config.seed)
    data, stream = stream_of(config, machine.place)
    pretrain.check(config, stream)
    weights = pretrain.pretrained(config, machine.place, _pretraining(machine, device, reporter))
    seed_everything(config.seed)  # once more: what learns weights draws
    plugins, guest = plugins_of(config), guest_of(config)
    if guest is not None:
        check_guest(guest.name, config, machine.diagnostics)
    removal.check(config, plugins, stream, None if guest is None else guest.name)
    stages = stages_of(plugins, stream, guest)
    # Avalanche's own loaders take samples one by one on the host, and move batches.
    resident = resident_of(config, stream, data, stages, device if guest is None else torch.device("cpu"))
    benchmark = make_benchmark(resident, stages, config.evaluate)
    watches = _Watches(config, stream, reporter, machine.diagnostics)
    encode = resident.encode
    offline = machine.place.offline
    learner: ResidentLearner | Guest
    if guest is None:
        learner, model_info = learner_of(
            config, stream, encode.shape, device, watches.around(plugins), weights, offline, encode.dtype
        )
    else:
        learner, model_info = guest_learner_of(
            config, stream, encode, device, plugins, watches.of_guest, weights, offline
        )
        checkpoints = Checkpoints(stopping=(checkpoints or Checkpoints()).stopping)
    other = beside(config, plugins, machine.place, data.shape, device)
    threads = choose_threads(machine.threads, learner.model, config.batch_size)
    torch.set_num_threads(threads)
    found_here = environment.describe(device, learner.arithmetic, threads)
    if other is not None and isinstance(learner, ResidentLearner):
        learner.upstream, found_here["upstream"] = other.data, other.fingerprint
    same = {key: found_here.get(key) for key in SAME} | {"diagnostics": machine.diagnostics}
    identity = same | {"data": data.fingerprint, "stream": stream.digest}
    keeper = Keeper(config, identity, checkpoints or Checkpoints())
    packages = {type(plugin).__module__.partition(".")[0] for plugin in plugins}
    unwritten = Known(
        {"reporter": reporter, "encoder": encode},
        resident.samples,
        packages,
        dict(learner.model.named_modules()),
    )
    stages_of_run = Stages(config, learner, benchmark, watches.answers, keeper, resident.see, watches.within, plugins)
    removed: metrics.Removal | None = None
    try:
        trained = stages_of_run.train(reporter, stream.common_test, unwritten, stream.periods)
        if watches.removal is not None and trained.reason is None and isinstance(learner, ResidentLearner):

            def retrained() -> ResidentLearner:
                return _retrained(config, stream, resident, device, weights, machine.place.offline)

            asked = benchmark.streams["train"][-1].removed
            removed = removal.measured(
                config, learner, watches.removal, asked, retrained if machine.diagnostics else None
            )
    finally:
        forget(benchmark)
        stages_of_run.forget()
    known = [(task.source_classes, len(task.train), len(task.scored(config.evaluate)[1])) for task in stream.tasks]
    tested = [known[task][2] for task in stream.tested]
    course = replace(trained.course(watches.answers, watches.within, tested), removal=removed)
    found = {} if trained.reason else metric_values(course)
    watches.reporter.run_finished({name: metric.value for name, metric in found.items()})
    last = range(1) if stream.common_test else stages[-1]
    columns = [
        column_of(task, data, config.evaluate, place in last, stream.head_outputs[task.head])
        for place, task in ((place, stream.tasks[place]) for place in stream.tested)
    ]
    result = store.Result(
        run_id=config.run_id,
        role=role_of(store.parts(config.strategy["name"])),
        status="ok" if trained.reason is None else "diverged",
        reason=trained.reason,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        seed=config.seed,
        config=config.model_dump(mode="json", exclude={"tuned"}),
        tuned=config.tuned,
        scenario=store.ScenarioInfo(
            version=scenario_of(config).version,
            stream=stream.digest,
            classes=[one[0] for one in known],
        ),
        data=store.DataInfo(
            name=data.name,
            fingerprint=data.fingerprint,
            official=data.official,
            train_samples=[one[1] for one in known],
            test_samples=tested,
            imbalance=imbalance(columns),
            columns=asdict(data.columns) if data.columns else None,
        ),
        model=model_info,
        accuracy=trained.rows,
        confusion=_of_bounded_size(trained),
        online_accuracy=trained.online(watches.answers),
        metrics=found,
        seconds=time.perf_counter() - started + trained.before,
        cost=trained.costs,
        diagnostics={"training_loss": watches.losses.losses} | watches.looked,
        warnings=warnings_of(config, trained, Ending(columns, learner.answers), plugins),
        code=config.code,
        environment=found_here | ({"continued": trained.continued} if trained.continued else {}),
    )
    return Finished(result, learner.model, encode)


def _of_bounded_size(trained: Trained) -> list[list[store.Cell]] | None:
    """The confusion matrices, if the Result's file has room for them."""
    found = None if trained.reason else trained.whole_confusion
    if found is None or sum(map(len, found)) > store.CONFUSION_CELLS:
        return None
    return [[*cells] for cells in found]


def complete(
    config: RunConfig,
    machine: Machine,
    folder: Folder,
    reporter: Reporter | None = None,
    checkpoints: Checkpoints | None = None,
    save_model: bool = False,
) -> tuple[store.Result, str]:
    """Run a configuration and write its Result to a folder; then its checkpoints go. Return Result and name.

    ``save_model``: first the final weights, beside it; a diverged run has none worth keeping.
    """
    done = finished(config, machine, reporter, checkpoints)
    result = done.result
    if save_model and result.status == "ok":
        store.write_file(store.weights_name(store.name_of(result)), weights_of(done), folder)
    name = store.write_to(result, folder)
    if checkpoints is not None and checkpoints.folder is not None:
        discard(config, checkpoints.folder)
    return result, name


def _pretraining(machine: Machine, device: torch.device, reporter: Reporter) -> pretrain.MakeLearner:
    """How a learner that makes weights is made, should there be a need."""

    def make(recipe: RunConfig, stream: Stream, data: Dataset) -> ResidentLearner:
        seed_everything(recipe.seed)
        learner, _ = learner_of(
            recipe, stream, data.shape, device, [ReportSteps(reporter)], None, machine.place.offline
        )
        torch.set_num_threads(choose_threads(machine.threads, learner.model, recipe.batch_size))
        return learner

    return make


def _retrained(
    config: RunConfig,
    stream: Stream,
    resident: ResidentStream,
    device: torch.device,
    weights: pretrain.Pretrained | None,
    offline: bool,
) -> ResidentLearner:
    """Train a network that begins as the run's did on what stays alone, as the run trains, and return its learner."""
    assert stream.request is not None
    seed_everything(config.seed)
    own: list[SupervisedPlugin] = [AnswerWatch(config.until_train_accuracy)]
    own += [] if config.steps is None else [StepBudget()]
    encode = resident.encode
    learner, _ = learner_of(config, stream, encode.shape, device, own, weights, offline, encode.dtype)
    benchmark = make_benchmark(resident, [[stream.request.kept]], config.evaluate)
    learner.fit(benchmark.streams["train"][0])
    forget(benchmark)
    return learner


class _Watches:
    """The engine's own plugins."""

    def __init__(self, config: RunConfig, stream: Stream, reporter: Reporter, diagnostics: bool) -> None:
        self.reporter = reporter
        self.losses = DivergenceWatch(reporter)
        self.answers = AnswerWatch(config.until_train_accuracy)
        self.diagnostics: list[Diagnostics | FeatureWatch] = [Diagnostics(), FeatureWatch()] if diagnostics else []
        classes = stream.outputs if stream.incremental == "class" else None
        self.within = None if config.evaluate_steps is None else WithinWatch(config.evaluate_steps, classes)
        self.removal = None if stream.request is None else removal.RemovalWatch(stream.request)
        self._budget = [] if config.steps is None else [StepBudget()]

    def around(self, plugins: list[SupervisedPlugin]) -> list[SupervisedPlugin]:
        """The divergence watch first, so that nobody else meets NaN; then diagnostics, which see what the strategy's
        plugins are about to meet; the others behind those.
        """
        within = [] if self.within is None else [self.within]
        removed = [] if self.removal is None else [self.removal]
        own = [self.answers, *within, *removed, ReportSteps(self.reporter), *self._budget]
        return [self.losses, *self.diagnostics, *plugins, *own]

    @property
    def of_guest(self) -> list[SupervisedPlugin]:
        """What can look on at a training loop of somebody else's, whose outputs need not be scores."""
        return [self.losses, ReportSteps(self.reporter), *self._budget]

    @property
    def looked(self) -> dict[str, Any]:
        """What the diagnostics and evaluation inside stages have found, if they were asked for."""
        curves: dict[str, Any] = {}
        if self.within is not None:
            curves["accuracy_within"] = self.within.curves
            if any(self.within.seen):
                curves["accuracy_seen"] = self.within.seen
        return curves | {key: found for watch in self.diagnostics for key, found in watch.found.items()}


def metric_values(course: metrics.Course) -> dict[str, store.MetricValue]:
    """Return every metric of a run with its version."""
    return {
        name: store.MetricValue(value=value, version=metrics.METRICS[name].version)
        for name, value in metrics.compute(course).items()
    }
