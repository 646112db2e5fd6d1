"""Choosing settings on the first tasks, so that the rest can be scored with nothing chosen on their test data.

The protocol of Chaudhry et al. 2019 (A-GEM, arXiv:1812.00420, section 2), with which Lubana et al. 2022 (CoLLAs) tune
learning rate and λ on the first three tasks.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from clbench import __version__, store
from clbench.config import RunConfig, resolve
from clbench.errors import UserError
from clbench.layers import Section, assigned, merge
from clbench.metrics import METRICS
from clbench.sweep.space import Range, Tune

Values = dict[str, Any]
Run = Callable[[RunConfig], store.Result]


@dataclass(frozen=True)
class Trial:
    """Settings that were tried, and each seed's metric; None for a seed that diverged."""

    settings: Values
    values: list[float | None]

    @property
    def mean(self) -> float | None:
        """Mean over seeds, if none has diverged."""
        known = [value for value in self.values if value is not None]
        return statistics.fmean(known) if len(known) == len(self.values) else None


@dataclass
class Study:
    """All trials of one search; ``question`` is what was asked, and what a resumed study must still ask."""

    question: Section
    trials: list[Trial] = field(default_factory=list)

    def best(self) -> Trial:
        """The trial with the best mean, the first of equals; UserError if all diverged."""
        sign = 1 if METRICS[self.question["tune"]["metric"]].better == "higher" else -1
        ended = [trial for trial in self.trials if trial.mean is not None]
        if not ended:
            raise UserError("tune: every trial diverged. Try smaller learning rates or strengths in tune.space.")
        return max(ended, key=lambda trial: sign * (trial.mean or 0.0))

    def known(self, settings: Values) -> Trial | None:
        """The trial of these settings, if it has been done."""
        return next((trial for trial in self.trials if trial.settings == settings), None)


def configs(layers: Sequence[Section], tune: Tune, settings: Values) -> list[RunConfig]:
    """Return the runs of a trial: the first tasks alone, scored on held-out training images, a run for each seed."""
    first = {} if tune.tasks is None else {"keep": tune.tasks}
    held_out: Section = {"scenario": {"validation": tune.validation} | first, "evaluate": "validation"}
    return resolve(*layers, assigned(settings), held_out, {"seeds": tune.seeds})


def search(
    layers: Sequence[Section], tune: Tune, file: Path, run: Run, told: Callable[[int, int, Trial], None]
) -> Study:
    """Try settings one after another; after each, write the study. What the file has is not run again.

    ``told`` hears (number, of how many, trial). Raises UserError if the file has another study.
    """
    (config, *_) = configs(layers, tune, {})
    asked = config.model_dump(mode="json", exclude={"seed", "tuned"})
    study = _read(file, {"tune": tune.model_dump(mode="json"), "config": asked})
    count = math.prod(len(values) for values in _lists(tune).values()) if tune.sampler == "grid" else tune.trials

    def score(number: int, settings: Values) -> float:
        trial = study.known(settings)
        if trial is None:
            trial = Trial(settings, [_value(run(one), tune.metric) for one in configs(layers, tune, settings)])
            study.trials.append(trial)
            _write(file, study)
        told(number, count, trial)
        worst = 0.0 if METRICS[tune.metric].better == "higher" else 1.0
        return worst if trial.mean is None else trial.mean

    _ask_optuna(tune, count, score)
    return study


def recipe(layers: Sequence[Section], tune: Tune, study: Study, file: Path) -> Section:
    """Return the config that runs the choice on the tasks that had no say in it, with how it was chosen."""
    best = study.best()
    (config,) = resolve(*layers, {"seeds": 1})
    chose = tune.tasks or 0
    rest: Section = {"name": config.scenario["name"], "skip": config.scenario["skip"] + chose}
    if config.scenario["keep"] is not None:
        rest["keep"] = max(config.scenario["keep"] - chose, 1)
    chosen = merge(*layers, assigned(best.settings), {"scenario": rest})
    chosen.pop("seeds", None)
    how = {
        "study": file.name,
        "digest": store.digest(_content(study)),
        "clbench": __version__,
        "chosen": best.settings,
        "value": best.mean,
        "tried": len(study.trials),
    }
    return chosen | {"tuned": how | study.question["tune"]}


def write_recipe(file: Path, content: Section) -> None:
    """Write a recipe as YAML; UserError if it cannot be."""
    head = f"# Chosen by 'clbench tune'; {content['tuned']['study']} beside this file has every trial.\n"
    _write_text(file, head + yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def _value(result: store.Result, metric: str) -> float | None:
    return result.metrics[metric].value if result.status == "ok" else None


def _lists(tune: Tune) -> dict[str, list[Any]]:
    return {key: values for key, values in tune.space.items() if not isinstance(values, Range)}


def _ask_optuna(tune: Tune, count: int, score: Callable[[int, Values], float]) -> None:
    """Let Optuna choose what is tried; from the same seed it asks the same again, so that a study can go on."""
    try:
        import optuna
    except ModuleNotFoundError:
        raise UserError("tune needs optuna, which is not installed. Run: pip install 'clbench[tune]'") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    # By place in the list: Optuna takes plain values only.
    places: dict[str, Any] = {key: list(range(len(values))) for key, values in _lists(tune).items()}
    samplers: dict[str, Callable[[], Any]] = {
        "grid": lambda: optuna.samplers.GridSampler(places, seed=0),
        "tpe": lambda: optuna.samplers.TPESampler(seed=0),
        "random": lambda: optuna.samplers.RandomSampler(seed=0),
    }

    def objective(trial: Any) -> float:
        settings = {
            key: trial.suggest_float(key, values.low, values.high, log=values.log)
            if isinstance(values, Range)
            else values[trial.suggest_categorical(key, places[key])]
            for key, values in tune.space.items()
        }
        return score(trial.number + 1, settings)

    direction: Any = "maximize" if METRICS[tune.metric].better == "higher" else "minimize"
    study = optuna.create_study(sampler=samplers[tune.sampler](), direction=direction)
    study.optimize(objective, n_trials=count)


def _content(study: Study) -> Section:
    trials = [{"settings": trial.settings, "values": trial.values, "mean": trial.mean} for trial in study.trials]
    return {"question": study.question, "trials": trials}


def _write(file: Path, study: Study) -> None:
    _write_text(file, json.dumps(_content(study), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _write_text(file: Path, text: str) -> None:
    try:
        store.write_text(file, text)
    except OSError as error:
        raise UserError(f"{file} cannot be written ({error.strerror}). Name another folder with --output.") from None


def _read(file: Path, question: Section) -> Study:
    """The study that a file has so far, or a new one."""
    if not file.exists():
        return Study(question)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        trials = [Trial(dict(one["settings"]), list(one["values"])) for one in content["trials"]]
        found = content["question"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} is no study ({error}). Delete it, or name another folder with --output.") from None
    if found != question:
        raise UserError(
            f"{file} has a study of other settings. Delete it to begin anew, or name another folder with --output."
        )
    return Study(question, trials)
