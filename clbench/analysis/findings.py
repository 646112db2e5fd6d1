"""What the gate sees of a cell without statistics: seeds, divergence and metrics that came or went, new warnings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from clbench.analysis.pairs import Pair
from clbench.analysis.verdicts import Verdict
from clbench.store.warnings import KINDS, kind_of


class Finding(NamedTuple):
    """A verdict on the cell, or None for what is only worth saying; and the words for it."""

    verdict: Verdict | None
    remark: str


def findings(pair: Pair, metrics: Sequence[str]) -> list[Finding]:
    """Return what is to be said of a cell that both sides have, the gravest kind first.

    Divergence is counted, not tested: more diverged seeds than in the baseline are a failure, however few.
    """
    return [*_divergence(pair), *_seeds(pair), *_metrics(pair, metrics), *_warnings(pair)]


def _divergence(pair: Pair) -> list[Finding]:
    shared = len(pair.shared)
    then = [old.seed for old, _ in pair.shared if old.status == "diverged"]
    now = [new.seed for _, new in pair.shared if new.status == "diverged"]
    if not then and not now:
        return []
    count = f"{len(now)} of {shared} seeds diverged, in the baseline {len(then)}"
    newly = sorted(set(now) - set(then))
    if len(now) > len(then):
        return [Finding("failed", f"{count} (newly {listed(newly)})")]
    if len(now) < len(then):
        return [Finding("better", f"fewer diverged: {count}")]
    if newly:
        return [Finding(None, f"{count}, but others (newly {listed(newly)})")]
    return [
        Finding("same" if len(now) == shared else None, f"{len(now)} of {shared} seeds diverged, as in the baseline")
    ]


def _seeds(pair: Pair) -> list[Finding]:
    before, after = ({run.seed for run in group} for group in (pair.baseline, pair.candidate))
    found = []
    if before - after:
        found.append(Finding("missing", f"the candidate lacks {listed(before - after)}"))
    if after - before:
        lost = [run.seed for run in pair.candidate if run.status == "diverged" and run.seed not in before]
        found.append(Finding(None, f"new: {listed(after - before)}" + (f" ({listed(lost)} diverged)" if lost else "")))
    return found


def _metrics(pair: Pair, metrics: Sequence[str]) -> list[Finding]:
    """Metrics that one side alone defines, of seeds that ended on both."""
    found = []
    for metric in metrics:
        known = [(old.seed, old.value(metric) is not None, new.value(metric) is not None) for old, new in pair.ended]
        gone = [seed for seed, before, after in known if before and not after]
        come = [seed for seed, before, after in known if after and not before]
        if gone:
            where = "" if len(gone) == len(known) else f" in {listed(gone)}"
            found.append(Finding("missing", f"{metric} is undefined{where}, in the baseline it is not"))
        if come:
            where = "" if len(come) == len(known) else f" in {listed(come)}"
            found.append(Finding(None, f"{metric} is new{where}: the baseline does not define it"))
    return found


def _warnings(pair: Pair) -> list[Finding]:
    """Shared seeds that carry a warning which spoils their numbers, and did not in the baseline."""
    found = []
    for kind in (name for name, known in KINDS.items() if known.spoils):
        newly = [
            new.seed
            for old, new in pair.shared
            if kind in map(kind_of, new.warnings) and kind not in map(kind_of, old.warnings)
        ]
        if newly:
            found.append(Finding(None, f"newly {kind}: {listed(newly)}"))
    return found


def listed(seeds: Iterable[int]) -> str:
    """Seeds as words: 'seed 3', 'seeds 1, 3'."""
    numbers = sorted(seeds)
    return f"seed{'' if len(numbers) == 1 else 's'} {', '.join(map(str, numbers))}"
