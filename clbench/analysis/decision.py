"""What the seeds say of all cells of a check: the metrics' changes, decided together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from clbench.analysis.columns import heading
from clbench.analysis.compare import better
from clbench.analysis.noninferiority import Drop, Values, adjusted, drops, together
from clbench.analysis.pairs import Pair
from clbench.analysis.verdicts import FAILING, SEVERITY, CellCheck, MetricCheck, Rules, Verdict


def changes(pair: Pair, metric: str) -> dict[int, float]:
    """Candidate minus baseline, positive being better, for each seed in which both define the metric."""
    sign = 1.0 if better(metric) == "higher" else -1.0
    values = {old.seed: (old.value(metric), new.value(metric)) for old, new in pair.ended}
    return {seed: sign * (new - old) for seed, (old, new) in values.items() if old is not None and new is not None}


def decide(matched: Sequence[Pair], seen: Sequence[CellCheck], rules: Rules) -> list[CellCheck]:
    """Add to what was seen of each pair what its seeds show; and a cell for all cells together, if they are worse.

    Cells that are new or not comparable take no part.
    """
    cells = [
        replace(cell, unchanged=bool(pair.shared) and all(old.accuracy == new.accuracy for old, new in pair.shared))
        for pair, cell in zip(matched, seen, strict=True)
    ]
    metrics: list[list[MetricCheck]] = [[] for _ in cells]
    whole: list[MetricCheck] = []
    able = [place for place, cell in enumerate(cells) if cell.verdict not in ("new", "not comparable")]
    for metric in rules.metrics:
        known: dict[int, Values] = {place: one for place in able if (one := changes(matched[place], metric))}
        margin = rules.margin(metric)
        for place, found in zip(known, drops(list(known.values()), margin, rules.alpha), strict=True):
            metrics[place].append(_undecided(metric, margin, found))
        moved = [one for place, one in known.items() if not cells[place].unchanged]
        if (mean := together(moved, margin, rules.alpha)) is not None:
            whole.append(_undecided(metric, margin, mean))
    return _decided([replace(cell, metrics=mine) for cell, mine in zip(cells, metrics, strict=True)], whole, rules)


def _undecided(metric: str, margin: float, found: Drop) -> MetricCheck:
    return MetricCheck(metric, margin, "unclear", found, found.p)


def _decided(cells: Sequence[CellCheck], whole: Sequence[MetricCheck], rules: Rules) -> list[CellCheck]:
    """Decide all metrics of all cells that have changed together; p of what has not stays 1 and costs nothing."""

    def tested(cell: CellCheck, one: MetricCheck) -> bool:
        return one.p is not None and not (cell.unchanged and one.p == 1)

    of_cells, of_all = adjusted(
        [one.p or 0.0 for cell in cells for one in cell.metrics if tested(cell, one)], [one.p or 0.0 for one in whole]
    )
    ps = iter(of_cells)
    found = []
    for cell in cells:
        mine = [_with_verdict(one, next(ps) if tested(cell, one) else one.p, rules) for one in cell.metrics]
        if mine:
            verdict = min([cell.verdict, *(one.verdict for one in mine)], key=SEVERITY.index)
            fails = verdict in FAILING or (rules.strict and verdict == "unclear")
            cell = replace(cell, verdict=verdict, metrics=mine, fails=fails, reason=_reason(cell, mine))
        found.append(cell)
    mean = [_with_verdict(one, p, rules) for one, p in zip(whole, of_all, strict=True)]
    if any(one.verdict == "worse" for one in mean):
        moved = [cell for cell in cells if cell.metrics and not cell.unchanged]
        scenarios = {cell.scenario for cell in moved}
        where = scenarios.pop() if len(scenarios) == 1 else "all scenarios"
        reason = f"{'; '.join(_worse(mean))}: the mean over {len(moved)} cells; each by itself may not show it"
        found.append(CellCheck(where, "all cells together", "worse", reason, True, mean))
    return found


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
    parts += _worse(measured)
    if any(m.drop.at_least is None for m in measured):
        parts.append("one seed cannot tell a change from luck: use two or more")
    elif any(m.verdict == "unclear" for m in measured):
        doubted = max(measured, key=lambda m: -(m.drop.at_least or 0.0) - m.margin)
        change = doubted.drop.difference
        way = "worse" if change < 0 else "better"
        bound = -100 * (doubted.drop.at_least or 0.0)
        told = f"{heading(doubted.metric)} {way} by {100 * abs(change):.1f} points on average"
        parts.append(f"{told}; {bound:.1f} points worse not ruled out")
    return "; ".join(parts)


def _worse(measured: Sequence[MetricCheck]) -> list[str]:
    """By how much each metric is worse, and at least, as sure as the gate is: the interval's other end."""
    return [
        f"{heading(m.metric)} worse by {-100 * m.drop.difference:.1f} points{_least(m)}"
        for m in measured
        if m.verdict == "worse"
    ]


def _least(found: MetricCheck) -> str:
    if found.drop.at_least is None:
        return ""
    least = found.drop.at_least - 2 * found.drop.difference
    return f" (at least {100 * max(least, 0.0):.1f})"
