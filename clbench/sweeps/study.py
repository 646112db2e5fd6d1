"""A study: what was asked, every trial, the choice; and the recipe that comes of it."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from clbench import __version__, store
from clbench.config import resolve
from clbench.config.layers import Section, assigned, merge
from clbench.errors import UserError
from clbench.metrics import METRICS
from clbench.sweeps.space import Tune

Values = dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """Settings that were tried, and each seed's metric; None for a seed that diverged.

    ``pruned``: after so many tasks, all seeds counted, it was given up as no better than the others.
    """

    settings: Values
    values: list[float | None]
    pruned: int | None = None

    @property
    def mean(self) -> float | None:
        """Mean over seeds, if none has diverged and nothing was given up."""
        known = [value for value in self.values if value is not None]
        return statistics.fmean(known) if len(known) == len(self.values) and self.pruned is None else None


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

    def doubts(self) -> list[str]:
        """What speaks against the choice: others that reached the same, and values at the end of what was tried."""
        best, found = self.best(), []
        equal = [trial for trial in self.trials if trial is not best and trial.mean == best.mean]
        if equal:
            keys = [key for key in best.settings if any(one.settings[key] != best.settings[key] for one in equal)]
            found.append(
                f"{len(equal)} other settings reached the same, and the first was taken: the search says nothing of "
                f"{', '.join(keys)} among them. Use more seeds, more tasks or more held-out images."
            )
        for key, tried in self.question["tune"]["space"].items():
            side = _end(best.settings[key], tried)
            if side is not None:
                found.append(f"{key} is the {side} that was tried: the best may lie beyond. Widen tune.space.{key}.")
        return found


def _end(value: Any, tried: Any) -> str | None:
    """Whether a number is the smallest or largest of three or more, or within a twentieth of a range's ends."""
    if isinstance(tried, dict):
        scale = math.log if tried["log"] else float
        low, high = scale(tried["low"]), scale(tried["high"])
        place = (scale(value) - low) / (high - low)
        return "smallest" if place <= 0.05 else "largest" if place >= 0.95 else None
    if len(tried) < 3 or any(isinstance(one, bool) or not isinstance(one, int | float) for one in tried):
        return None
    return "smallest" if value == min(tried) else "largest" if value == max(tried) else None


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


def _content(study: Study) -> Section:
    trials = [
        {"settings": trial.settings, "values": trial.values, "mean": trial.mean}
        | ({} if trial.pruned is None else {"pruned": trial.pruned})
        for trial in study.trials
    ]
    return {"question": study.question, "trials": trials}


def write(file: Path, study: Study) -> None:
    """Write a study as JSON; UserError if it cannot be."""
    _write_text(file, json.dumps(_content(study), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _write_text(file: Path, text: str) -> None:
    try:
        store.write_text(file, text)
    except OSError as error:
        raise UserError(f"{file} cannot be written ({error.strerror}). Name another folder with --output.") from None


def read(file: Path, question: Section) -> Study:
    """Return the study that a file has so far, or a new one. Raises UserError if it asked something else."""
    if not file.exists():
        return Study(question)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        trials = [Trial(dict(one["settings"]), list(one["values"]), one.get("pruned")) for one in content["trials"]]
        found = content["question"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} is no study ({error}). Delete it, or name another folder with --output.") from None
    if found != question:
        raise UserError(
            f"{file} has a study of other settings, or of other code. Delete it to begin anew, or name another folder "
            "with --output."
        )
    return Study(question, trials)
