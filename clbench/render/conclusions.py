"""What follows from a leaderboard, in sentences: read before the table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from clbench.analysis.boards import Entry, Leaderboard
from clbench.analysis.references import FINE_TUNING

SHOWN = 4  # names in a sentence; of more the number


@dataclass(frozen=True)
class Unit:
    """How differences are shown: multiplied by ``factor``, in ``name``."""

    factor: float
    name: str


def conclusion(board: Leaderboard, unit: Unit, lower: bool) -> str:
    """Return what a board's seeds allow to say, and what not; ``lower``: such values of the first column are better."""
    methods = [entry for entry in board.entries if entry.rank is not None]
    clauses = _bests(methods)
    if board.reference:
        clauses += _against(board.reference, methods, unit)
    parts = [_seeds(board.entries), f"{'; '.join(clauses)}." if clauses else ""]
    if board.reference:
        opened = [entry for entry in methods if entry.against and entry.against.stand == "open"]
        parts += [_needed(opened), _controls(board, methods, lower)]
    elif board.missing:
        parts.append(f"Nothing is compared with a reference: {board.missing}; --against names one.")
    parts.append(_lost(board.entries))
    return " ".join(part for part in parts if part)


def _seeds(entries: Sequence[Entry]) -> str:
    counts = sorted({len(entry.seeds) for entry in entries})
    if len(counts) > 1:
        return f"{counts[0]} to {counts[-1]} seeds."
    return f"{counts[0]} seeds." if counts[0] > 1 else "One seed."


def _bests(methods: Sequence[Entry]) -> list[str]:
    """Which may be the best."""
    known = [entry for entry in methods if entry.may_be_best is not None]
    bests = [entry for entry in known if entry.may_be_best]
    if len(methods) < 2:
        return []
    if len(known) < 2:
        return ["a single seed cannot tell methods apart: run three or more"]
    if len(bests) == 1:
        return [f"{bests[0].label} is the best of {len(known)} methods"]
    if len(bests) == len(known):
        return [f"the seeds do not tell which of the {len(known)} methods is the best"]
    if len(bests) <= SHOWN:
        return [f"{listed(bests)} may be the best of {len(known)} methods"]
    return [f"{len(bests)} of {len(known)} methods may be the best, {listed(bests[:2])} first"]


def _against(reference: str, methods: Sequence[Entry], unit: Unit) -> list[str]:
    """How methods stand to the reference."""
    stands = {stand: [e for e in methods if e.against and e.against.stand == stand] for stand in STANDS}
    name = f"fine-tuning ({reference})" if reference in FINE_TUNING else reference
    better = stands["better"]
    winners = [entry for entry in better if entry.may_be_best] or better
    parts = []
    if winners:
        least = math.floor(10 * unit.factor * min(map(_least, winners))) / 10
        bests = [entry for entry in methods if entry.may_be_best]
        who = listed(winners) if len(winners) <= SHOWN else f"{len(winners)} methods"
        if winners == bests and len(winners) > 1:  # who they are has just been said
            who = "both" if len(winners) == 2 else "all of them"
        parts.append(f"{who} beat{'s' * (len(winners) == 1)} {name} by {least:g} {unit.name} or more")
        if more := len(better) - len(winners):
            parts.append(f"{more} more {_is(more)} better")
    for stand in ("equal", "open", "worse"):
        group = stands[stand]
        if group:
            who = ", ".join(f"{e.label} ({_difference(e, unit)})" for e in group)
            than = "" if winners else f" {WITH[stand]} {name}"
            parts.append(f"{who if len(group) <= SHOWN else len(group)} {_is(len(group))} {stand}{than}")
    return parts


STANDS = ("better", "equal", "open", "worse")
WITH = {"equal": "to", "open": "against", "worse": "than"}


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def _least(entry: Entry) -> float:
    """By how much a row is better at least."""
    found = entry.against
    assert found is not None
    if found.low is None or found.high is None:
        return abs(found.difference)
    return min(abs(found.low), abs(found.high))


def _difference(entry: Entry, unit: Unit) -> str:
    found = entry.against
    assert found is not None
    text = f"{unit.factor * found.difference:+.1f}".replace("-", "−")
    return text if found.half_width is None else f"{text} ± {unit.factor * found.half_width:.1f}"


def _needed(opened: Sequence[Entry]) -> str:
    """What would settle what is open."""
    needed = sorted(e.against.seeds_needed for e in opened if e.against and e.against.seeds_needed)
    if not needed:
        return ""
    half = needed[(len(needed) - 1) // 2]
    which = "it" if len(needed) == 1 else "half of them"
    return f"Open is not equal: were all as it looks now, {half:,} seeds would tell {which}."


def _controls(board: Leaderboard, methods: Sequence[Entry], lower: bool) -> str:
    """Say where a control stands above every method."""
    sign = -1 if lower else 1
    best = max((sign * e.against.difference for e in methods if e.against), default=None)
    above = [
        e for e in board.of_role("control") if best is not None and e.against and sign * e.against.difference > best
    ]
    return f"Above every method: {listed(above)}, {'a control' if len(above) == 1 else 'controls'}." if above else ""


def _lost(entries: Sequence[Entry]) -> str:
    lost = [entry for entry in entries if entry.diverged or entry.spoilt]
    if not lost:
        return ""
    if len(lost) == len(entries):
        return "Every row diverged or learnt nothing: no number here means anything."
    names = listed(lost) if len(lost) <= SHOWN else f"{len(lost)} rows"
    return f"{names} diverged or learnt nothing, and take{'s' * (len(lost) == 1)} no part."


def listed(entries: Sequence[Entry]) -> str:
    """Labels as in a sentence."""
    labels = [entry.label for entry in entries]
    return labels[0] if len(labels) == 1 else f"{', '.join(labels[:-1])} and {labels[-1]}"
