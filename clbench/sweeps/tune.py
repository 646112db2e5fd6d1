"""Choosing settings on the first tasks, so that the rest can be scored with nothing chosen on their test data.

The protocol of Chaudhry et al. 2019 (A-GEM, arXiv:1812.00420, section 2), with which Lubana et al. 2022 (CoLLAs) tune
learning rate and λ on the first three tasks. Optuna chooses what is tried; its storage lies in a journal beside the
study, which workers share and which outlives all of them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clbench import store
from clbench.config import RunConfig, resolve
from clbench.config.layers import Section, assigned
from clbench.errors import InterruptedWorkError, UserError
from clbench.metrics import METRICS
from clbench.progress import Reporter
from clbench.sweeps import study as studies
from clbench.sweeps.executor import Executor, Stopping
from clbench.sweeps.space import Range, Tune
from clbench.sweeps.study import Study, Trial, Values

if TYPE_CHECKING:
    from clbench.store import Result

Run = Callable[[RunConfig, Reporter, Stopping], "Result"]
Told = Callable[[int, int, Trial], None]


def in_one_order(layers: Sequence[Section], tune: Tune) -> list[Section]:
    """Return layers in which the first tasks have the same classes whatever the seed, unless they say otherwise.

    With an order of classes by seed, the tasks that are left to be scored would have classes that settings were chosen
    on.
    """
    (config, *_) = resolve(*layers, {"seeds": 1})
    if tune.tasks is None or config.scenario.get("class_order") != "random":
        return list(layers)
    return [{"scenario": {"class_order": "fixed"}}, *layers]


def configs(layers: Sequence[Section], tune: Tune, settings: Values) -> list[RunConfig]:
    """Return the runs of a trial: the first tasks alone, scored on held-out training images, a run for each seed."""
    first = {} if tune.tasks is None else {"keep": tune.tasks}
    held_out: Section = {"scenario": {"validation": tune.validation} | first, "evaluate": "validation"}
    return resolve(*layers, assigned(settings), held_out, {"seeds": tune.seeds})


def search(
    layers: Sequence[Section], tune: Tune, file: Path, executor: Executor, run: Run, told: Told, stopping: Stopping
) -> Study:
    """Try settings, as many at once as the executor can; after each, write the study. What it has is not run again.

    ``told`` hears (number, of how many, trial). Raises UserError if the file has another study, or a trial fails;
    InterruptedWorkError once it has stopped where it was asked to.
    """
    (config, *_) = configs(layers, tune, {})
    asked = config.model_dump(mode="json", exclude={"seed", "tuned"}) | store.identity(config.code)
    study = studies.read(file, {"tune": tune.asked(), "config": asked})
    journal = _Journal.begin(tune, file, study)
    work = TrialWork(list(layers), tune, journal, run, config.code)
    count = journal.count
    left, running, asked_to_stop = count - len(study.trials), 0, False
    ended: dict[int, Trial] = dict(enumerate(study.trials))
    while running or (left and not asked_to_stop):
        while left and not asked_to_stop and running < executor.slots:
            executor.submit(f"trial {count - left}", work)
            left, running = left - 1, running + 1
        for outcome in executor.wait(0.5):
            running -= 1
            if outcome.failure is not None:
                raise UserError(f"tune: a trial failed: {outcome.failure}")
            if not outcome.stopped:
                number, trial = outcome.value
                ended[number] = trial
                study.trials = [ended[key] for key in sorted(ended)]
                studies.write(file, study)
                told(len(study.trials), count, trial)
        if stopping() and not asked_to_stop:
            asked_to_stop = True
            executor.stop()
    if asked_to_stop:
        raise InterruptedWorkError(f"Stopped after {len(study.trials)} of {count} trials. The same command goes on.")
    journal.file.unlink(missing_ok=True)
    return study


@dataclass(frozen=True)
class TrialWork:
    """One trial, wherever it is run: ask Optuna what to try, run each seed, tell it how that went.

    ``code``: what the units were when the search began; a run refuses others.
    """

    layers: list[Section]
    tune: Tune
    journal: _Journal
    run: Run
    code: dict[str, store.Code]

    def __call__(self, stopping: Stopping) -> tuple[int, Trial]:
        """Return the trial and its number."""
        import optuna

        study = self.journal.open()
        asked = study.ask()
        settings = self.journal.settings(asked)
        seeds = [self._as_planned(config) for config in configs(self.layers, self.tune, settings)]
        values: list[float | None] = []
        watch = _Watch(asked, self.tune.pruner != "none")
        try:
            values.extend(_value(self.run(config, watch, stopping), self.tune.metric) for config in seeds)
        except optuna.TrialPruned:
            study.tell(asked, state=optuna.trial.TrialState.PRUNED)
            return asked.number, Trial(settings, values, watch.seen)
        trial = Trial(settings, values)
        study.tell(asked, _score(trial, self.tune.metric))
        return asked.number, trial

    def _as_planned(self, config: RunConfig) -> RunConfig:
        planned = {unit: code for unit, code in self.code.items() if unit in config.code}
        return config.model_copy(update={"code": config.code | planned})


class _Watch(Reporter):
    """Reports the mean accuracy on the tasks so far, which are held-out images, and gives hopeless trials up."""

    def __init__(self, trial: Any, prunes: bool) -> None:
        self.trial = trial
        self.prunes = prunes
        self.seen = 0

    def stage_finished(self, stage: int, row: Sequence[float | None]) -> None:
        """Report; raises TrialPruned."""
        import optuna

        self.seen += 1
        known = [value for value in row[:stage] if value is not None]
        if self.prunes and known:
            self.trial.report(math.fsum(known) / len(known), self.seen)
            if self.trial.should_prune():
                raise optuna.TrialPruned


@dataclass(frozen=True)
class _Journal:
    """Optuna's storage of a study: a file that only grows, so that many processes may write to it."""

    file: Path
    tune: Tune

    @property
    def count(self) -> int:
        """How many trials there will be."""
        return math.prod(map(len, self._lists.values())) if self.tune.sampler == "grid" else self.tune.trials

    @property
    def _lists(self) -> dict[str, list[Any]]:
        return {key: values for key, values in self.tune.space.items() if not isinstance(values, Range)}

    @classmethod
    def begin(cls, tune: Tune, file: Path, study: Study) -> _Journal:
        """Make the journal anew from what the study has; trials that were under way begin again."""
        try:
            import optuna
        except ModuleNotFoundError:
            raise UserError("tune needs optuna, which is not installed. Run: pip install 'clbench[tune]'") from None
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        journal = cls(file.with_name(f".{file.name}.journal").absolute(), tune)
        try:
            journal.file.parent.mkdir(parents=True, exist_ok=True)
            journal.file.unlink(missing_ok=True)
            base = journal.open()
        except OSError as error:
            raise UserError(
                f"{file} cannot be written ({error.strerror}). Name another folder with --output."
            ) from None
        known = [journal.parameters(trial.settings) for trial in study.trials]
        for trial, parameters in zip(study.trials, known, strict=True):
            state = optuna.trial.TrialState.COMPLETE if trial.pruned is None else optuna.trial.TrialState.PRUNED
            base.add_trial(
                optuna.trial.create_trial(
                    state=state,
                    value=_score(trial, tune.metric) if trial.pruned is None else None,
                    params=parameters,
                    distributions={key: journal._distribution(key) for key in parameters},
                )
            )
        if tune.sampler == "grid":
            for places in itertools.product(*(range(len(values)) for values in journal._lists.values())):
                parameters = dict(zip(journal._lists, places, strict=True))
                if parameters not in known:
                    base.enqueue_trial(parameters)
        return journal

    def open(self) -> Any:
        """The study as Optuna knows it, with a sampler that depends on how many trials there have been."""
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        direction: Any = "maximize" if METRICS[self.tune.metric].better == "higher" else "minimize"
        study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(self.file))),
            study_name="tune",
            direction=direction,
            load_if_exists=True,
            pruner=PRUNERS[self.tune.pruner](optuna),
        )
        study.sampler = SAMPLERS[self.tune.sampler](optuna, len(study.get_trials(deepcopy=False)))
        return study

    def settings(self, trial: Any) -> Values:
        """What Optuna wants to be tried."""
        return {
            key: trial.suggest_float(key, values.low, values.high, log=values.log)
            if isinstance(values, Range)
            else values[trial.suggest_categorical(key, list(range(len(values))))]
            for key, values in self.tune.space.items()
        }

    def parameters(self, settings: Values) -> Values:
        """Settings as Optuna knows them: values of a list by their place in it, since it takes plain values only."""
        return {
            key: settings[key] if isinstance(values, Range) else values.index(settings[key])
            for key, values in self.tune.space.items()
        }

    def _distribution(self, key: str) -> Any:
        from optuna.distributions import CategoricalDistribution, FloatDistribution

        values = self.tune.space[key]
        if isinstance(values, Range):
            return FloatDistribution(values.low, values.high, log=values.log)
        return CategoricalDistribution(list(range(len(values))))


# A sampler is made anew for each trial, wherever that is: seeded by the number of trials before.
SAMPLERS: dict[str, Callable[[Any, int], Any]] = {
    "grid": lambda optuna, number: optuna.samplers.RandomSampler(seed=number),  # all combinations wait in line
    "random": lambda optuna, number: optuna.samplers.RandomSampler(seed=number),
    "tpe": lambda optuna, number: optuna.samplers.TPESampler(seed=number, constant_liar=True),
    "gp": lambda optuna, number: optuna.samplers.GPSampler(seed=number),
    "cmaes": lambda optuna, number: optuna.samplers.CmaEsSampler(seed=number, warn_independent_sampling=False),
}
PRUNERS: dict[str, Callable[[Any], Any]] = {
    "none": lambda optuna: optuna.pruners.NopPruner(),
    "median": lambda optuna: optuna.pruners.MedianPruner(n_startup_trials=4),
    "halving": lambda optuna: optuna.pruners.SuccessiveHalvingPruner(),
}


def _value(result: Result, metric: str) -> float | None:
    return result.metrics[metric].value if result.status == "ok" else None


def _score(trial: Trial, metric: str) -> float:
    """What Optuna is told: the mean, or the worst there is for a trial that diverged."""
    worst = 0.0 if METRICS[metric].better == "higher" else 1.0
    return worst if trial.mean is None else trial.mean
