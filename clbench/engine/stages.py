"""The stages of a run, trained and evaluated one after another; where it was stopped before, from there on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from clbench import metrics, store
from clbench.avalanche import CLScenario, SupervisedPlugin
from clbench.checkpoints.checkpoint import Keeper, StoppedError
from clbench.checkpoints.moments import CannotContinueError, Moment
from clbench.checkpoints.restore import restore
from clbench.checkpoints.state import Known, StateError, Tree, capture
from clbench.config import RunConfig
from clbench.data.benchmark import ResidentExperience
from clbench.data.tensors import BatchLoader, TaskData
from clbench.engine import environment
from clbench.engine.guest import Guest
from clbench.engine.kept import Kept, kept, tensors_of
from clbench.engine.learner import ResidentLearner
from clbench.engine.seeding import random_states, set_random_states
from clbench.engine.watch import AnswerWatch, DivergedError, ReportSteps
from clbench.engine.within import WithinWatch
from clbench.progress import Reporter

# What of the learner itself changes.
OWN = ("_seen", "_masked", "_shuffle", "_augment", "_augment_beside", "optimized_param_id")


@dataclass
class Trained:
    """R and cost so far, why the run ended early, if it did, how often it was continued and the seconds before that.

    ``confusion``: of each task in the last row. Where tasks are ``periods``, ``ahead``: after each stage, of the next.
    ``removal``: how a request to forget was answered, once that is measured.
    """

    rows: list[list[float | None]] = field(default_factory=list)
    costs: list[store.StageCost] = field(default_factory=list)
    confusion: list[metrics.Confusion | None] = field(default_factory=list)
    periods: bool = False
    ahead: list[metrics.Confusion | None] = field(default_factory=list)
    reason: str | None = None
    before: float = 0.0
    continued: int = 0
    removal: metrics.Removal | None = None

    def course(self, answers: AnswerWatch, within: WithinWatch | None, tested: Sequence[int]) -> metrics.Course:
        """What the metrics are computed from; ``tested``: scored samples of each task."""
        steps = [cost.steps for cost in self.costs if cost.steps is not None]
        tasks = [cost.tasks for cost in self.costs]
        curves, seen = (None, None) if within is None else (within.curves, within.seen)
        return metrics.Course(
            self.rows,
            steps=steps,
            reached=answers.reached or None,
            online=self.online(answers),
            tasks=tasks,
            within=curves,
            seen=seen,
            tested=tested,
            confusion=self.whole_confusion,
            ahead=self.ahead if self.periods else None,
            periods=self.periods,
            removal=self.removal,
        )

    @property
    def untrained(self) -> bool:
        """Whether no stage had a step."""
        return all(cost.steps == 0 for cost in self.costs)

    def online(self, answers: AnswerWatch) -> list[float] | None:
        """Each stage's accuracy on batches before they were trained on; None where there were none, or nobody knows."""
        told = len(answers.online) == len(self.costs) or self.reason is not None  # a guest's outputs need not be scores
        return answers.online if told and all(cost.steps != 0 for cost in self.costs) else None

    @property
    def whole_confusion(self) -> list[metrics.Confusion] | None:
        """That of every task, None where one was not counted."""
        known = [found for found in self.confusion if found is not None]
        return known if known and len(known) == len(self.confusion) else None


class Stages:
    """Trains a run's stages; after each, evaluates every task, or in a long stream those that are due."""

    def __init__(
        self,
        config: RunConfig,
        learner: ResidentLearner | Guest,
        benchmark: CLScenario,
        answers: AnswerWatch,
        keeper: Keeper,
        see: Callable[[Sequence[int]], None],
        within: WithinWatch | None = None,
        strategy: Sequence[SupervisedPlugin] = (),
    ) -> None:
        self.config = config
        self.learner = learner
        self.strategy = strategy
        self.training, self.tests = list(benchmark.streams["train"]), list(benchmark.streams["test"])
        self.answers = answers
        self.within = within
        if within is not None:
            within.tests = self.tests
        self.keeper = keeper
        self.see = see
        self.trained = Trained()
        self._begun = time.perf_counter()
        self._stage_begun = 0.0
        self._spent = 0.0  # seconds of the stage under way before it was continued
        self._moment: Moment | None = None  # inside a stage, to be put back when its first batch is due

    def train(self, reporter: Reporter, common_test: bool, known: Known, periods: bool = False) -> Trained:
        """Train what is left, keeping checkpoints; a run that diverges ends with the reason.

        ``periods``: after each stage the next period is evaluated too, whatever else is due.
        """
        self.known = known
        self.trained.periods = periods
        every = self.config.evaluate_all_every
        reporter.run_started(len(self.training))
        self._continue(reporter)
        for experience in self.training[: len(self.trained.rows)]:
            self.see(experience.tasks)
        if not self.trained.rows:
            self.trained.rows.append(self._row(self.tests if every == 1 else []))
        self.learner.between = self._between
        try:
            for stage in range(len(self.trained.rows), len(self.training) + 1):
                experience = self.training[stage - 1]
                self.see(experience.tasks)
                whole = stage % every == 0 or stage == len(self.training) or common_test
                wanted = {*experience.tasks, *([stage] if periods else [])}  # counted from 0, the next task is 'stage'
                due = self.tests if whole else [test for test in self.tests if test.tasks[0] in wanted]
                cost = self._stage(experience)
                begun = time.perf_counter()
                counted = [test.tasks[0] for test in due] if stage == len(self.training) else [stage] if periods else []
                self.trained.rows.append(self._row(due, counted))
                self._keep_confusion(stage, due)
                done = {
                    "evaluate_seconds": cost.evaluate_seconds + time.perf_counter() - begun,
                    "peak_memory_mib": environment.peak_memory_mib(self.learner.device),
                }
                self.trained.costs.append(cost.model_copy(update=done))
                reporter.stage_finished(stage, self.trained.rows[-1])
                if stage < len(self.training) and self.keeper.due_at_boundary():
                    self._keep(stage, 0)
        except DivergedError as error:
            self.trained.reason = str(error)
        return self.trained

    def forget(self) -> None:
        """Let go of the data at once, as ``benchmark.forget`` does: learner and stages hold each other."""
        self.see = _over

    def _stage(self, experience: ResidentExperience) -> store.StageCost:
        """Train one stage and say what it cost; but for what was inside of it, it is not evaluated yet."""
        learner = self.learner
        started = time.perf_counter()
        planned = len(experience.data)  # made here, so that training is timed without it
        steps_before = learner.clock.train_iterations
        self._stage_begun = begun = time.perf_counter()
        learner.fit(experience)
        evaluated = 0.0 if self.within is None else self.within.seconds
        seconds = time.perf_counter() - begun + self._spent - evaluated
        self._spent, learner.epochs_behind = 0.0, 0
        steps = learner.clock.train_iterations - steps_before
        planned *= learner.train_epochs
        keeps = self._kept(experience)
        experience.release()
        return store.StageCost(
            tasks=experience.tasks,
            prepare_seconds=begun - started,
            train_seconds=seconds,
            evaluate_seconds=evaluated,
            samples_per_second=min(steps * learner.train_mb_size, planned) / seconds,
            peak_memory_mib=environment.peak_memory_mib(learner.device),
            steps=steps,
            epochs=learner.clock.train_exp_epochs,
            reached=self.answers.reached[-1] if self.answers.reached and steps else None,
            samples=learner.rows.count,
            memory_bytes=keeps and keeps.memory,
            state_bytes=keeps and keeps.state,
        )

    def _kept(self, experience: ResidentExperience) -> Kept | None:
        """What the strategy keeps now that the stage is trained: what its plugins hold, and data that it comes back to.

        Those are earlier tasks' samples that it trained on again, and another dataset beside the stream. Of a whole
        strategy of Avalanche's nobody knows: its memories are views of datasets of its own.
        """
        if isinstance(self.learner, Guest):
            return None
        own, beside = experience.data, self.learner.upstream
        others = [tensor for data in (own, beside) if data is not None for tensor in parts_of(data).values()]
        network = tensors_of(self.learner.model, self.learner.optimizer)
        known = replace(self.known, objects={**self.known.objects, "learner": self.learner})
        found = kept(self.strategy, known, [*others, *network])
        again = experience.again * bytes_of(own) // len(own)
        return Kept(found.memory + again + (0 if beside is None else bytes_of(beside)), found.state)

    def _row(self, due: Sequence[ResidentExperience], counted: Sequence[int] = ()) -> list[float | None]:
        """A row of R: a value for each test that is due; confusion is counted of some tasks."""
        found = dict(zip((test.tasks[0] for test in due), self.learner.row(due, counted) if due else [], strict=True))
        return [found.get(test.tasks[0]) for test in self.tests]

    def _keep_confusion(self, stage: int, due: Sequence[ResidentExperience]) -> None:
        """Keep the confusion matrices of the last row, and of the period after a stage."""
        found = dict(zip((test.tasks[0] for test in due), self.learner.confusions if due else [], strict=True))
        if stage == len(self.training):
            self.trained.confusion = [found.get(test.tasks[0]) for test in self.tests]
        elif self.trained.periods:
            self.trained.ahead.append(found.get(stage))

    # Checkpoints.

    def _between(self) -> None:
        """Before each training batch: put a stage's state back, or keep it, or stop."""
        if self._moment is not None:
            moment, self._moment = self._moment, None
            self._put_back(moment, inside=True)
        elif self.keeper.due_inside() and not self.learner._stop_training:
            step = self.learner.clock.train_exp_iterations
            if step:
                self._keep(len(self.trained.rows) - 1, step)
            if self.keeper.settings.stopping():
                raise StoppedError

    def _keep(self, stage: int, step: int) -> None:
        now = time.perf_counter()
        trained = self.trained
        progress = {
            "rows": trained.rows,
            "ahead": trained.ahead,
            "costs": [cost.model_dump(mode="json") for cost in trained.costs],
            "seconds": trained.before + now - self._begun,
            "continued": trained.continued,
            "spent": self._spent + now - self._stage_begun if step else 0.0,
            "epoch": self.learner.clock.train_exp_epochs,
        }
        self.keeper.write(stage, step, lambda: self._capture(bool(step)), progress)

    def _continue(self, reporter: Reporter) -> None:
        """Go to where the run was stopped, if it was."""
        boundary, inside = self.keeper.read()
        if boundary is None and inside is None:
            return
        latest = inside or boundary
        assert latest is not None
        if boundary is not None:
            self._put_back(boundary, inside=False)
            self.trained.rows = [list(row) for row in boundary.progress["rows"]]
            self.trained.ahead = [*boundary.progress["ahead"]]
            self.trained.costs = [store.StageCost.model_validate(cost) for cost in boundary.progress["costs"]]
            for stage, row in enumerate(self.trained.rows[1:], start=1):
                reporter.stage_finished(stage, row)
        if inside is not None:
            self._moment = inside
            self._spent = inside.progress["spent"]
            self.learner.epochs_behind = inside.progress["epoch"]
        self.trained.before = latest.progress["seconds"]
        self.trained.continued = latest.progress["continued"] + 1

    def _root(self, inside: bool) -> dict[str, Any]:
        """Everything that changes in the course of a run."""
        learner = self.learner
        root: dict[str, Any] = {
            "model": learner.model,
            "optimizer": learner.optimizer,
            "plugins": [plugin for plugin in learner.plugins if not isinstance(plugin, ReportSteps)],
            "learner": {name: getattr(learner, name) for name in OWN},
            "generators": random_states(learner.device),
            "rows": learner.rows,
        }
        if inside and isinstance(learner.dataloader, BatchLoader):
            root["epoch"] = {"order": learner.dataloader.order, "position": learner.dataloader.position}
        return root

    def _known(self, inside: bool) -> Known:
        """The data need not be written; inside a stage its own neither."""
        tensors = dict(self.known.tensors)
        if inside and isinstance(self.learner.dataloader, BatchLoader):
            for name, data in (("stage", self.learner.data), ("loaded", self.learner.dataloader.data)):
                tensors |= {f"{name}.{part}": tensor for part, tensor in parts_of(data).items()}
        objects = {**self.known.objects, "learner": self.learner, "tests": self.tests}
        return replace(self.known, objects=objects, tensors=tensors)

    def _capture(self, inside: bool) -> Tree:
        return capture(self._root(inside), self._known(inside))

    def _put_back(self, moment: Moment, inside: bool) -> None:
        learner, root = self.learner, self._root(inside)
        try:
            restore(moment.tree, root, self._known(inside))
        except StateError as error:
            raise CannotContinueError(
                f"The checkpoint of this run cannot be continued: {error}. Leave --resume out to begin anew."
            ) from None
        for name in OWN:
            setattr(learner, name, root["learner"][name])
        if inside:
            loader = learner.dataloader
            loader.order, loader.position = root["epoch"]["order"], root["epoch"]["position"]
        set_random_states(root["generators"], learner.device)


def _over(tasks: Sequence[int]) -> None:
    raise RuntimeError("the run is over and its data are gone")


def parts_of(data: TaskData) -> dict[str, Tensor]:
    """Return the tensors of some samples by name."""
    return {part: getattr(data, part) for part in ("samples", "labels", "heads")}


def bytes_of(data: TaskData) -> int:
    """Return how many bytes samples take, with label and head each."""
    return int(data.samples.nbytes + data.labels.nbytes + data.heads.nbytes)
