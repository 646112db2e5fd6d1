"""What the gate asks and what it answers: rules, verdicts, and the outcome of a check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from clbench.analysis.noninferiority import Drop

Verdict = Literal["worse", "failed", "missing", "not comparable", "unclear", "same", "better", "new"]
Mode = Literal["statistical", "exact"]
SEVERITY: list[Verdict] = ["failed", "missing", "not comparable", "worse", "unclear", "better", "same", "new"]
FAILING = {"worse", "failed", "missing", "not comparable"}
DEFAULT_METRICS = ("average_accuracy", "forgetting", "learning_accuracy")
DEFAULT_MARGIN = 0.01


@dataclass(frozen=True)
class Rules:
    """What the gate asks.

    statistical: a cell is worse if a metric is below the baseline by more than its margin, by one-sided tests that are
    decided together, so that a faithful candidate fails with a probability of at most ``alpha``. ``strict``: cells that
    are not shown to be within the margin fail too.
    exact: R must be the same bit for bit.
    Either: seeds that the candidate lacks, more diverged seeds and metrics that have become undefined fail.
    """

    mode: Mode = "statistical"
    metrics: Sequence[str] = DEFAULT_METRICS
    margins: Mapping[str, float] = field(default_factory=dict)
    alpha: float = 0.05
    strict: bool = False

    def margin(self, metric: str) -> float:
        """The margin of a metric, in its own unit: 0.01 is one point of accuracy."""
        return self.margins.get(metric, DEFAULT_MARGIN)


@dataclass(frozen=True)
class MetricCheck:
    """One metric of a cell; ``p`` is adjusted for all tests of the check (Benjamini and Hochberg)."""

    metric: str
    margin: float
    verdict: Verdict
    drop: Drop
    p: float | None


@dataclass(frozen=True)
class CellCheck:
    """One cell: its verdict, why, and its metrics. ``unchanged``: R is the same, bit for bit, in all shared seeds."""

    scenario: str
    label: str
    verdict: Verdict
    reason: str
    fails: bool
    metrics: list[MetricCheck] = field(default_factory=list)
    unchanged: bool = False


@dataclass(frozen=True)
class Check:
    """All cells of a check, the gravest first."""

    rules: Rules
    cells: list[CellCheck]

    @property
    def passed(self) -> bool:
        """Whether no cell fails."""
        return not any(cell.fails for cell in self.cells)
