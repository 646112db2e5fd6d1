"""A dataset in numbers: what is there, what a run on it would be, and what to beware of. No torch."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clbench.data import cache, calendar, easy, outline, own, profile
from clbench.data.calendar import Every
from clbench.data.dataset import PARTS, Array, Dataset
from clbench.data.description import Roles, beside, roles
from clbench.data.easy import Alone, Reached
from clbench.data.known import SOURCES
from clbench.data.outline import Section
from clbench.data.profile import Column
from clbench.data.repeats import Repeats, repeats
from clbench.data.sources import DataPlace
from clbench.data.sources import given as named
from clbench.data.traps import Evidence, Trap, traps
from clbench.errors import Remark

FEW = 10  # rows from which statistics say anything


@dataclass(frozen=True)
class Described:
    """All that is known of a dataset.

    ``sections`` are its periods, cut by ``every``, or else its groups. ``classes`` maps each class to its share of
    training rows. ``before``: accuracy of the label of the row before, and that by chance. ``said``: options of
    ``data`` as they were given; ``guessed``: those that were not; ``dates``: columns of dates that are left out.
    """

    name: str
    kind: str
    shape: list[int]
    rows: dict[str, int]
    undivided: bool
    classes: dict[str, float]
    label: str | None
    time: str | None
    group: str | None
    span: tuple[str, str] | None
    guessed: list[str]
    dates: list[str]
    command: str
    every: Every | None
    periods: list[Section]
    groups: list[Section]
    columns: list[Column]
    alone: list[Alone]
    reached: list[Reached]
    before: tuple[float, float]
    repeats: Repeats
    traps: list[Trap]

    @property
    def sections(self) -> list[Section]:
        """What tasks would be made of."""
        return self.periods or self.groups


def described(words: str, said: Mapping[str, Any], place: DataPlace, every: Every | None = None) -> Described:
    """Describe a dataset, given by its name or as a file or folder.

    said: options of ``data``. every: how to cut times into periods (default: guessed). Ranges, shares and repeats are
    of all rows, read in blocks; what one column tells, different values and the regression are of samples that are
    drawn once for all. Raises UserError if there is no such data, or it cannot be a dataset.
    """
    name, said = named(words, said)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Remark)  # what was guessed is shown below
        data = cache.load(name, place, None, said)
    file = own.table_of(name, place, said) if data.columns is not None else None
    found = _roles(file, name, said) if file is not None else None
    timed = data.train.times is not None
    cut = (every or outline.guessed(data)) if timed or every else None
    edges = outline.starts(data, cut) if cut else np.zeros(1, np.int64)
    frequent = profile.frequent_values(file, found.label, found.categories) if file and found else []
    ends = (int(edges[1]), int(edges[-1])) if len(edges) > 1 else None
    columns = profile.profiled(data, ends, frequent)
    tells = easy.alone(data) if len(data.train.labels) >= FEW else []
    reached = easy.ahead(data, edges.tolist()) if timed else easy.at_random(data)
    before = easy.persistence(data.train.labels), easy.by_chance(data.train.labels)
    again = repeats(data)
    evidence = Evidence(
        columns=columns,
        alone=tells,
        repeats=again,
        reached=reached,
        before=before,
        timed=timed,
        ordered=not timed and data.undivided,
        grouped=data.groups is not None,
        rows=len(data.train.labels),
    )
    return Described(
        name=name,
        kind="table" if data.columns else "images" if data.is_images else "vectors",
        shape=list(data.shape),
        rows={part: len(data.rows(part)) for part in PARTS},
        undivided=data.undivided,
        classes=dict(zip(data.classes, _shares(data), strict=True)),
        label=data.columns.label if data.columns else None,
        time=data.columns.time if data.columns else None,
        group=data.columns.group if data.columns else None,
        span=_span(data),
        guessed=[] if found is None else found.guessed,
        dates=[] if found is None else found.dates,
        command=command(data, said, cut),
        every=cut,
        periods=outline.periods(data, cut) if cut else [],
        groups=outline.groups(data),
        columns=columns,
        alone=tells,
        reached=reached,
        before=before,
        repeats=again,
        traps=traps(evidence),
    )


def _roles(file: Path, name: str, said: Mapping[str, Any]) -> Roles:
    from clbench.data.arrow import kinds_of

    known = SOURCES[name].said if name in SOURCES else {}
    found = roles(kinds_of(file), {**known, **beside(file), **said}, file)
    return found if name not in SOURCES else Roles(found.label, found.numbers, found.categories, found.time)


def _shares(data: Dataset) -> list[float]:
    labels: Array = data.train.labels
    return [float(share) for share in np.bincount(labels, minlength=len(data.classes)) / len(labels)]


def _span(data: Dataset) -> tuple[str, str] | None:
    times = data.train.times
    if times is None or data.columns is None or data.columns.time in (None, "row"):
        return None
    first, last = (calendar.shown(int(one)) if data.calendar else f"{one:g}" for one in (times[0], times[-1]))
    return first, last


def command(data: Dataset, said: Mapping[str, Any], every: Every | None) -> str:
    """Return the command line of a run on a dataset, to be tried as it is; rows without times are taken in order."""
    family = "time" if every and data.undivided else "domain" if data.groups else "split"
    settings = {f"data.{key}": value for key, value in said.items() if key != "path"}
    if family == "split" and len(data.classes) < 4 and data.columns is not None and data.undivided:
        family, settings["data.time"] = "time", "row"
    if family == "split" and len(data.classes) < 10:  # so that a task has two at least
        settings["scenario.tasks"] = len(data.classes) // 2
    if family == "time" and every and every != "rows":
        settings["scenario.every"] = every
    scenario = family if "path" in said else f"{family}-{data.name}"
    words = ["clbench", "run", "--strategy", "naive", "--scenario", scenario]
    words += ["--data", str(said["path"])] if "path" in said else []
    for key, value in settings.items():
        text = f"[{', '.join(value)}]" if isinstance(value, list) else str(value)
        words += ["--set", f"{key}={text}"]
    return shlex.join(words)
