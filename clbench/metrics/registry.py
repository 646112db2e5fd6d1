"""How a metric is declared and found."""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

Matrix = Sequence[Sequence[float]]
Unit = Literal["share", "steps"]
# What a task's test samples were taken for: (label, answer, how many), without empty cells.
Cell = tuple[int, int, int]
Confusion = Sequence[Cell]


@dataclass(frozen=True)
class Removal:
    """What a stream whose last stage asks for samples to be forgotten leaves to be measured.

    kept, removed, known: R's columns of test samples of what stays, of the removed training samples and of the kept
    ones. After the last stage: losses of the removed samples and of test samples like them; how many steps it took to
    relearn, None if it did not; the distance of answers to those of a network trained without them, if there was one.
    """

    kept: int
    removed: int
    known: int
    removed_losses: Sequence[float]
    unseen_losses: Sequence[float]
    relearning: int | None = None
    distance: float | None = None


@dataclass(frozen=True)
class Course:
    """What a run leaves to be measured.

    accuracy: R, in [0, 1], None where a task was not evaluated. For each stage, if known: steps of the optimiser;
    whether training accuracy reached its threshold (none: there is no threshold); the share of right answers on
    batches before they were trained on; which tasks it trained on; rows as R has them, for every so many steps inside
    the stage, None for tasks that no earlier stage has trained (none: nothing was evaluated inside); at the same steps
    the share of right answers on all classes seen so far (none: labels are no classes of the whole stream).

    tested: how many scored samples each task has, if known. confusion: of each task after the last stage, if all were
    counted. ``periods``: tasks are periods in time, one after another; then ``ahead`` has for each stage but the last
    the confusion of the period after its own, None where it was not counted. removal: of a stream that asks for samples
    to be forgotten.
    """

    accuracy: Sequence[Sequence[float | None]]
    steps: Sequence[int] | None = None
    reached: Sequence[bool] | None = None
    online: Sequence[float] | None = None
    tasks: Sequence[Sequence[int]] | None = None
    within: Sequence[Sequence[Sequence[float | None]]] | None = None
    seen: Sequence[Sequence[float | None]] | None = None
    tested: Sequence[int] | None = None
    confusion: Sequence[Confusion] | None = None
    ahead: Sequence[Confusion | None] | None = None
    periods: bool = False
    removal: Removal | None = None


@dataclass(frozen=True)
class Metric:
    """A metric: its name carries the definition, its version the revision of it. Shares are shown in per cent."""

    name: str
    version: int
    better: Literal["higher", "lower"]
    unit: Unit
    compute: Callable[[Course], float | None]

    @property
    def summary(self) -> str:
        """First line of the definition."""
        return (self.compute.__doc__ or "").split("\n\n")[0].replace("\n", " ").strip()


METRICS: dict[str, Metric] = {}
OfMatrix = Callable[[Matrix], float | None]
OfCourse = Callable[[Course], float | None]


def metric(
    *, version: int = 1, better: Literal["higher", "lower"] = "higher", stage_per_task: bool = True
) -> Callable[[OfMatrix], OfMatrix]:
    """Declare a metric of R under its function's name.

    ``stage_per_task`` metrics are defined only where each task has a training stage of its own. Where R lacks a value
    that the function uses, it meets NaN, and a metric that comes out as NaN is None.
    """

    def declare(function: OfMatrix) -> OfMatrix:
        def measured(course: Course) -> float | None:
            R = [[math.nan if value is None else value for value in row] for row in course.accuracy]
            if len(R) < 2 or (stage_per_task and len(R) != len(R[0]) + 1):
                return None
            found = function(R)
            return None if found is None or math.isnan(found) else found

        measured.__doc__ = function.__doc__
        _add(Metric(function.__name__, version, better, "share", measured))
        return function

    return declare


def course_metric(
    *, version: int = 1, better: Literal["higher", "lower"] = "higher", unit: Unit = "share"
) -> Callable[[OfCourse], OfCourse]:
    """Declare a metric of more than R under its function's name."""

    def declare(function: OfCourse) -> OfCourse:
        _add(Metric(function.__name__, version, better, unit, function))
        return function

    return declare


def _add(found: Metric) -> None:
    if found.name in METRICS:
        raise ValueError(f"metric '{found.name}' is declared twice")
    METRICS[found.name] = found


def highest(values: Sequence[float]) -> float:
    """Return the maximum; NaN if any value is unknown."""
    return math.nan if any(math.isnan(value) for value in values) else max(values)


def whole_mean(values: Sequence[float | None]) -> float | None:
    """Return the mean; None if a value is missing, or if there is none at all."""
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else None


def discover() -> None:
    """Import every file of this folder; each declares its metrics."""
    package = importlib.import_module("clbench.metrics")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"clbench.metrics.{module.name}")


def compute(course: Course) -> dict[str, float | None]:
    """Return every metric of a run."""
    return {name: metric.compute(course) for name, metric in sorted(METRICS.items())}
