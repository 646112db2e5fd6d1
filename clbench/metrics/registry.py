"""How a metric is declared and found."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Matrix = Sequence[Sequence[float]]


@dataclass(frozen=True)
class Metric:
    """A metric: its name carries the definition, its version the revision of it."""

    name: str
    version: int
    better: Literal["higher", "lower"]
    compute: Callable[[Matrix], float | None]

    @property
    def summary(self) -> str:
        """First line of the definition."""
        return (self.compute.__doc__ or "").split("\n\n")[0].replace("\n", " ").strip()


METRICS: dict[str, Metric] = {}


def metric(
    *, version: int = 1, better: Literal["higher", "lower"] = "higher", stage_per_task: bool = True
) -> Callable[[Callable[[Matrix], float | None]], Callable[[Matrix], float | None]]:
    """Declare a metric under its function's name.

    ``stage_per_task`` metrics are defined only where each task has a training stage of its own.
    """

    def declare(function: Callable[[Matrix], float | None]) -> Callable[[Matrix], float | None]:
        def guarded(R: Matrix) -> float | None:
            if len(R) < 2 or (stage_per_task and len(R) != len(R[0]) + 1):
                return None
            return function(R)

        guarded.__doc__ = function.__doc__
        name = function.__name__
        if name in METRICS:
            raise ValueError(f"metric '{name}' is declared twice")
        METRICS[name] = Metric(name, version, better, guarded)
        return guarded

    return declare


def discover() -> None:
    """Import every file of this folder; each declares its metrics."""
    package = importlib.import_module("clbench.metrics")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"clbench.metrics.{module.name}")


def compute(R: Matrix) -> dict[str, float | None]:
    """Return every metric of an accuracy matrix."""
    return {name: metric.compute(R) for name, metric in sorted(METRICS.items())}
