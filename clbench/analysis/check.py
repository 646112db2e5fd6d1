"""The regression gate: a candidate's cells against a baseline's. A cell is one configuration over its seeds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Literal

from clbench.analysis.codes import other_code
from clbench.analysis.compare import better, by_seed
from clbench.analysis.labels import differences
from clbench.analysis.noninferiority import Drop, drop
from clbench.analysis.pairs import Pair, pairs
from clbench.analysis.runs import Run
from clbench.analysis.significance import holm

Mode = Literal["statistical", "exact"]
Verdict = Literal["worse", "failed", "missing", "not comparable", "unclear", "same", "better", "new"]
SEVERITY: list[Verdict] = ["failed", "missing", "not comparable", "worse", "unclear", "better", "same", "new"]
FAILING = {"worse", "failed", "missing", "not comparable"}
DEFAULT_METRICS = ("average_accuracy", "forgetting", "learning_accuracy")
DEFAULT_MARGIN = 0.01


@dataclass(frozen=True)
class Rules:
    """What the gate asks.

    statistical: a cell is worse if a metric is below the baseline by more than its margin, by a one-sided test at
    ``alpha`` with Holm's correction over all tests of the check, so that a faithful candidate fails with a probability
    of at most ``alpha``. ``strict``: cells that are not shown to be within the margin fail too.
    exact: R must be the same bit for bit.
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
    """One metric of a cell; ``p`` is adjusted by Holm's method."""

    metric: str
    margin: float
    verdict: Verdict
    drop: Drop
    p: float | None


@dataclass(frozen=True)
class CellCheck:
    """One cell: its verdict, why, and its metrics."""

    scenario: str
    label: str
    verdict: Verdict
    reason: str
    fails: bool
    metrics: list[MetricCheck] = field(default_factory=list)


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
    found = [_judged(pair, rules) for pair in pairs(baseline, candidate)]
    if rules.mode == "statistical":
        found = _decided(found, rules)
    return Check(rules, sorted(found, key=lambda cell: (SEVERITY.index(cell.verdict), cell.scenario, cell.label)))


def _judged(pair: Pair, rules: Rules) -> CellCheck:
    """The verdict; what statistics decide is left 'same', with its metrics, for all tests to be decided together."""
    fixed = _without_statistics(pair)
    if fixed is None and rules.mode == "exact":
        fixed = _exactly(pair, rules)
    if fixed is not None:
        verdict, reason = fixed
        fails = verdict in FAILING or (rules.mode == "exact" and verdict == "better" and bool(pair.candidate))
        return CellCheck(pair.scenario, pair.label, verdict, reason, fails)
    measured = [one for metric in rules.metrics if (one := _measured(pair, metric, rules)) is not None]
    if not measured:
        return CellCheck(pair.scenario, pair.label, "not comparable", "none of the metrics is defined here", True)
    return CellCheck(pair.scenario, pair.label, "same", pair.changed, False, measured)


def _without_statistics(pair: Pair) -> tuple[Verdict, str] | None:
    if not pair.baseline:
        return "new", "not in the baseline"
    if not pair.candidate:
        return "missing", "the candidate has no run of this configuration"
    other = other_code(pair.baseline, pair.candidate)
    if other is not None:
        return "not comparable", other
    before, after = (sum(run.status == "diverged" for run in group) for group in (pair.baseline, pair.candidate))
    if after and not before:
        return "failed", f"{after} of {len(pair.candidate)} seeds diverged"
    if before:
        return ("same", "both diverged") if after else ("better", "the baseline diverged")
    kinds = {run.kind: json.loads(run.kind) for run in pair.baseline + pair.candidate}
    if len(kinds) > 1:
        every = list(kinds.values())
        old, new = (
            " and ".join(differences(kinds[kind], every) for kind in dict.fromkeys(run.kind for run in group))
            for group in (pair.baseline, pair.candidate)
        )
        return "not comparable", f"baseline: {old}; candidate: {new}"
    return None


def _exactly(pair: Pair, rules: Rules) -> tuple[Verdict, str]:
    """Bit for bit: every seed of the baseline must be there with the same R."""
    if pair.changed:
        return "not comparable", f"settings differ: {pair.changed}"
    mine = {run.seed: run for run in pair.candidate}
    absent = [run.seed for run in pair.baseline if run.seed not in mine]
    if absent:
        return "missing", f"the candidate lacks seeds {', '.join(map(str, absent))}"
    other = [run for run in pair.baseline if mine[run.seed].accuracy != run.accuracy]
    if not other:
        return "same", ""
    seeds = f"R differs in seeds {', '.join(str(run.seed) for run in other)}"
    places = [json.loads(run.environment) for run in (other[0], mine[other[0].seed])]
    if places[0] != places[1]:
        what = f"{differences(places[0], places)}; now {differences(places[1], places)}"
        return "not comparable", f"{seeds}, and so does the environment ({what}): use --mode statistical"
    metric = rules.metrics[0]
    means = [fmean(values) if (values := by_seed(g, metric).values()) else 0.0 for g in (pair.candidate, pair.baseline)]
    higher = better(metric) == "higher"
    return ("better" if (means[0] > means[1]) == higher else "worse"), seeds


def _measured(pair: Pair, metric: str, rules: Rules) -> MetricCheck | None:
    """One metric, not yet decided; None where neither side defines it."""
    mine, theirs = by_seed(pair.candidate, metric), by_seed(pair.baseline, metric)
    if not mine or not theirs:
        return None
    higher = better(metric) == "higher"
    found = drop(mine, theirs, rules.margin(metric), rules.alpha, higher)
    return MetricCheck(metric, rules.margin(metric), "unclear", found, None)


def _decided(found: list[CellCheck], rules: Rules) -> list[CellCheck]:
    """Decide all metrics of all cells together."""
    adjusted = iter(holm([m.drop.p for cell in found for m in cell.metrics if m.drop.p is not None]))
    decided = []
    for cell in found:
        measured = [_with_verdict(m, next(adjusted) if m.drop.p is not None else None, rules) for m in cell.metrics]
        if measured:
            verdict = min((m.verdict for m in measured), key=SEVERITY.index)
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
    few = [m for m in measured if m.drop.at_least is None]
    if few:
        parts.append("one seed cannot tell a change from luck: use two or more")
    elif any(m.verdict == "unclear" for m in measured):
        doubted = max(measured, key=lambda m: -(m.drop.at_least or 0.0) - m.margin)
        parts.append(f"{-100 * (doubted.drop.at_least or 0.0):.1f} points worse in {doubted.metric} not ruled out")
    return "; ".join(parts)
