"""The regression gate: a candidate's cells against a baseline's. A cell is one configuration over its seeds.

How the statistical gate decides, and why so. Every metric of every cell is a one-sided t-test on the differences of
shared seeds. Its variance is moderated over all cells of the check (``moderated``), since a handful of seeds knows too
little of its own spread to be sure at one cell in a hundred. All tests together are decided by the method of Benjamini
and Hochberg (1995). Where no cell is worse by more than its margin, its false discovery rate is the probability that
any is called so: a faithful candidate fails with a probability of at most alpha, which is what a gate must promise.
Where some are worse, the check fails anyhow, and of the cells that it names a share of at most alpha is expected to be
named wrongly; Holm's method, which would promise that none is, sees less where many cells are a little worse. A drop of
all cells that none need show by itself is found in the mean over cells, for which a fifth of alpha is kept. A rule on a
cell's mean drop without its spread keeps no promise where spreads differ twentyfold between cells, so there is none.
``python -m tests.bench.gate`` measures false alarms and power.

Cells whose R is the same bit for bit in all shared seeds are not tested, and cost the others nothing. Diverged and
missing seeds and vanished metrics are no matter of chance: they fail by themselves (``findings``), and never keep the
other seeds from being tested.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from statistics import fmean

from clbench.analysis.codes import other_version
from clbench.analysis.decision import changes, decide
from clbench.analysis.findings import Finding, findings, listed
from clbench.analysis.labels import differences
from clbench.analysis.pairs import Pair, pairs
from clbench.analysis.runs import Run
from clbench.analysis.verdicts import DEFAULT_METRICS, FAILING, SEVERITY, CellCheck, Check, MetricCheck, Rules, Verdict

__all__ = ["DEFAULT_METRICS", "CellCheck", "Check", "MetricCheck", "Rules", "check"]


def check(baseline: Iterable[Run], candidate: Iterable[Run], rules: Rules) -> Check:
    """Judge every cell of the baseline, and name the candidate's new ones."""
    matched = list(pairs(baseline, candidate))
    found = [_seen(pair, rules) for pair in matched]
    if rules.mode == "statistical":
        found = decide(matched, found, rules)
    return Check(rules, sorted(found, key=lambda cell: (SEVERITY.index(cell.verdict), cell.scenario, cell.label)))


def _seen(pair: Pair, rules: Rules) -> CellCheck:
    """What needs no statistics."""
    found = _findings(pair, rules)
    verdicts = [one.verdict for one in found if one.verdict is not None]
    verdict: Verdict = min(verdicts, key=SEVERITY.index) if verdicts else "same"
    changed = [pair.changed] if pair.changed and rules.mode == "statistical" else []
    recoded = [pair.recoded] if pair.recoded and verdict != "not comparable" else []
    reason = "; ".join([*changed, *recoded, *(one.remark for one in found)])
    fails = verdict in FAILING or (rules.mode == "exact" and verdict == "better")
    return CellCheck(pair.scenario, pair.label, verdict, reason, fails)


def _findings(pair: Pair, rules: Rules) -> list[Finding]:
    if not pair.baseline:
        return [Finding("new", "not in the baseline")]
    if not pair.candidate:
        return [Finding("missing", "the candidate has no run of this configuration")]
    if other := other_version(pair.baseline, pair.candidate) or _other_kind(pair):
        return [Finding("not comparable", other)]
    found = findings(pair, rules.metrics)
    if rules.mode == "exact":
        return [*found, *_exactly(pair, rules)]
    if not any(one.verdict for one in found) and not any(changes(pair, metric) for metric in rules.metrics):
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
    gained = changes(pair, rules.metrics[0]).values()
    return [Finding("better" if gained and fmean(gained) > 0 else "worse", seeds)]
