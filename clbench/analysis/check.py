"""The regression gate: a candidate's cells against a baseline's. A cell is one configuration over its seeds.

How the statistical gate decides, and why so. Every metric of every cell is a one-sided t-test on the differences of
shared seeds. Its variance is moderated over all cells of the check (``moderated``), since a handful of seeds knows too
little of its own spread to be sure at one cell in a hundred. All tests together are decided by the method of Benjamini
and Hochberg (1995). Where no cell is worse by more than its margin, its false discovery rate is the probability that
any is called so: a faithful candidate fails with a probability of at most alpha, which is what a gate must promise.
Where some are worse, the check fails anyhow, and of the cells that it names a share of at most alpha is expected to be
named wrongly. Holm's method, which would promise that none is, misses a drop of all cells that none shows by itself.
A rule on the mean drop alone keeps no promise where spreads differ twentyfold between cells, so there is none.
``python -m tests.bench.gate`` measures false alarms and power.

Cells whose R is the same bit for bit in all shared seeds are not tested, and cost the others nothing. Diverged and
missing seeds and vanished metrics are no matter of chance: they fail by themselves (``findings``), and never keep the
other seeds from being tested.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Literal

from clbench.analysis.compare import better
from clbench.analysis.findings import Finding, Verdict, findings, listed
from clbench.analysis.labels import differences
from clbench.analysis.noninferiority import Drop, Values, drops
from clbench.analysis.pairs import Pair, pairs
from clbench.analysis.runs import Run
from clbench.analysis.significance import benjamini_hochberg

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


def check(baseline: Iterable[Run], candidate: Iterable[Run], rules: Rules) -> Check:
    """Judge every cell of the baseline, and name the candidate's new ones."""
    matched = list(pairs(baseline, candidate))
    found = [_seen(pair, rules) for pair in matched]
    if rules.mode == "statistical":
        found = _decided(_measured(matched, found, rules), rules)
    return Check(rules, sorted(found, key=lambda cell: (SEVERITY.index(cell.verdict), cell.scenario, cell.label)))


def _seen(pair: Pair, rules: Rules) -> CellCheck:
    """What needs no statistics."""
    found = _findings(pair, rules)
    verdicts = [one.verdict for one in found if one.verdict is not None]
    verdict: Verdict = min(verdicts, key=SEVERITY.index) if verdicts else "same"
    changed = [pair.changed] if pair.changed and rules.mode == "statistical" else []
    reason = "; ".join([*changed, *(one.remark for one in found)])
    fails = verdict in FAILING or (rules.mode == "exact" and verdict == "better")
    return CellCheck(pair.scenario, pair.label, verdict, reason, fails)


def _findings(pair: Pair, rules: Rules) -> list[Finding]:
    if not pair.baseline:
        return [Finding("new", "not in the baseline")]
    if not pair.candidate:
        return [Finding("missing", "the candidate has no run of this configuration")]
    if other := _other_kind(pair):
        return [Finding("not comparable", other)]
    found = findings(pair, rules.metrics)
    if rules.mode == "exact":
        return [*found, *_exactly(pair, rules)]
    if not any(one.verdict for one in found) and not any(_both(pair, metric) for metric in rules.metrics):
        return [*found, Finding("not comparable", "none of the metrics is defined here on both sides")]
    return found


def _other_kind(pair: Pair) -> str:
    """Say in what the two sides, or the runs of one, are not of one kind; empty if they are."""
    kinds = {run.kind: json.loads(run.kind) for run in pair.baseline + pair.candidate}
    if len(kinds) == 1:
        return ""
    every = list(kinds.values())
    old, new = (
        " and ".join(differences(kinds[kind], every) for kind in dict.fromkeys(run.kind for run in group))
        for group in (pair.baseline, pair.candidate)
    )
    return f"baseline: {old}; candidate: {new}"


def _exactly(pair: Pair, rules: Rules) -> list[Finding]:
    """Bit for bit: every shared seed has the same R."""
    if pair.changed:
        return [Finding("not comparable", f"settings differ: {pair.changed}")]
    other = [(old, new) for old, new in pair.shared if (old.accuracy, old.status) != (new.accuracy, new.status)]
    if not other:
        return []
    seeds = f"R differs in {listed(old.seed for old, _ in other)}"
    places = [json.loads(run.environment) for run in other[0]]
    if places[0] != places[1]:
        what = f"{differences(places[0], places)}; now {differences(places[1], places)}"
        remark = f"{seeds}, and so does the environment ({what}): use --mode statistical"
        return [Finding("not comparable", remark)]
    changes = _both(pair, rules.metrics[0]).values()
    return [Finding("better" if changes and fmean(changes) > 0 else "worse", seeds)]


def _both(pair: Pair, metric: str) -> dict[int, float]:
    """Candidate minus baseline, positive being better, for each seed in which both define the metric."""
    sign = 1.0 if better(metric) == "higher" else -1.0
    values = {old.seed: (old.value(metric), new.value(metric)) for old, new in pair.ended}
    return {seed: sign * (new - old) for seed, (old, new) in values.items() if old is not None and new is not None}


def _measured(matched: Sequence[Pair], found: Sequence[CellCheck], rules: Rules) -> list[CellCheck]:
    """The cells with their metrics, not yet decided; each metric over all cells together."""
    metrics: list[list[MetricCheck]] = [[] for _ in matched]
    able = [place for place, cell in enumerate(found) if cell.verdict not in ("new", "not comparable")]
    for metric in rules.metrics:
        margin = rules.margin(metric)
        cells: dict[int, Values] = {place: known for place in able if (known := _both(matched[place], metric))}
        for place, drop in zip(cells, drops(list(cells.values()), margin, rules.alpha), strict=True):
            metrics[place].append(MetricCheck(metric, margin, "unclear", drop, None))
    return [
        replace(
            cell, metrics=mine, unchanged=bool(mine) and all(old.accuracy == new.accuracy for old, new in pair.shared)
        )
        for cell, mine, pair in zip(found, metrics, matched, strict=True)
    ]


def _decided(found: Sequence[CellCheck], rules: Rules) -> list[CellCheck]:
    """Decide all metrics of all cells that have changed together."""

    def tested(cell: CellCheck, metric: MetricCheck) -> bool:
        return metric.drop.p is not None and not (cell.unchanged and metric.drop.p == 1)

    adjusted = iter(benjamini_hochberg([m.drop.p or 0.0 for cell in found for m in cell.metrics if tested(cell, m)]))
    decided = []
    for cell in found:
        measured = [_with_verdict(m, next(adjusted) if tested(cell, m) else m.drop.p, rules) for m in cell.metrics]
        if measured:
            verdict = min([cell.verdict, *(m.verdict for m in measured)], key=SEVERITY.index)
            fails = verdict in FAILING or (rules.strict and verdict == "unclear")
            cell = replace(cell, verdict=verdict, metrics=measured, fails=fails, reason=_reason(cell, measured))
        decided.append(cell)
    return decided


def _with_verdict(found: MetricCheck, p: float | None, rules: Rules) -> MetricCheck:
    verdict: Verdict = "unclear"
    if p is not None and p <= rules.alpha:
        verdict = "worse"
    elif found.drop.at_least is not None and found.drop.at_least > 0:
        verdict = "better"
    elif found.drop.at_least is not None and found.drop.at_least >= -found.margin:
        verdict = "same"
    return replace(found, verdict=verdict, p=p)


def _reason(cell: CellCheck, measured: Sequence[MetricCheck]) -> str:
    """What a person wants to know first."""
    parts = [cell.reason] if cell.reason else []
    if any(m.drop.at_least is None for m in measured):
        parts.append("one seed cannot tell a change from luck: use two or more")
    elif any(m.verdict == "unclear" for m in measured):
        doubted = max(measured, key=lambda m: -(m.drop.at_least or 0.0) - m.margin)
        parts.append(f"{-100 * (doubted.drop.at_least or 0.0):.1f} points worse in {doubted.metric} not ruled out")
    return "; ".join(parts)
