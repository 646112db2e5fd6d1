"""What follows from a leaderboard, in sentences: read before the table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from clbench.analysis.answers import MOST_SEEDS
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
        clauses += _against(board, methods, unit)
    parts = [_seeds(board.entries), f"{'; '.join(clauses)}." if clauses else ""]
    if not board.of_role("method"):
        parts.append("There are no methods here, only bounds and controls.")
    if board.reference:
        opened = [entry for entry in methods if entry.against and entry.against.stand == "open"]
        parts += [_needed(opened), _controls(board, methods, lower)]
    elif board.missing and methods and len(board.entries) > 1:
        parts.append(f"Nothing is compared with a reference: {board.missing}; choose another with --against.")
    parts.append(_lost(board.entries))
    return " ".join(part for part in parts if part)


def _seeds(entries: Sequence[Entry]) -> str:
    counts = sorted({len(entry.seeds) for entry in entries})
    if len(counts) > 1:
        return f"{counts[0]} to {counts[-1]} seeds."
    if counts[0] > 1:
        return f"{counts[0]} seeds."
    return "One seed, which tells nothing apart: run three or more." if len(entries) > 1 else "One seed."


def _bests(methods: Sequence[Entry]) -> list[str]:
    """Which may be the best."""
    known = [entry for entry in methods if entry.may_be_best is not None]
    bests = [entry for entry in known if entry.may_be_best]
    if len(methods) < 2 or not known:
        return []
    single = [entry for entry in methods if entry.may_be_best is None]
    have = "has" if len(single) == 1 else "have"
    nothing = [f"{_few(single)} {have} a single seed, which says nothing"] if single else []
    if len(known) < 2:
        return nothing
    best = "better" if len(known) == 2 else "best"
    if len(bests) == 1:
        found = f"{bests[0].label} is the {best} of {len(known)} methods"
    elif len(bests) == len(known):
        found = f"The seeds do not tell which of {len(known)} methods is the {best}"
    elif len(bests) <= SHOWN:
        found = f"{listed(bests)} may be the best of {len(known)} methods"
    else:
        found = f"{len(bests)} of {len(known)} methods may be the best, {listed(bests[:2])} first"
    return [found, *nothing]


def _against(board: Leaderboard, methods: Sequence[Entry], unit: Unit) -> list[str]:
    """How methods stand to the reference."""
    reference = board.reference
    stands = {stand: [e for e in methods if e.against and e.against.stand == stand] for stand in STANDS}
    name = f"fine-tuning ({reference})" if reference in FINE_TUNING else reference
    better = stands["better"]
    winners = [entry for entry in better if entry.may_be_best] or better
    parts = []
    if winners:
        least = math.floor(round(10 * unit.factor * min(map(_least, winners)), 6)) / 10
        by = f" by {_many(least, unit)} or more" if least > 0 else ""
        bests = [entry for entry in methods if entry.may_be_best]
        who = listed(winners) if len(winners) <= SHOWN else f"{len(winners)} methods"
        if winners == bests and len(winners) > 1:  # who they are has just been said
            who = "both" if len(winners) == 2 else "all of them"
        parts.append(f"{who} beat{'s' * (len(winners) == 1)} {name}{by}")
        if more := len(better) - len(winners):
            parts.append(f"{more} {'other beats' if more == 1 else 'others beat'} it too")
    for stand in ("equal", "open", "worse"):
        group = stands[stand]
        if group:
            who = joined([f"{e.label} ({_difference(e, unit)})" for e in group])
            than = "" if parts else f" {WITH[stand]} {name}"
            within = f" within {_many(unit.factor * board.margin, unit)}" if stand == "equal" else ""
            parts.append(f"{who if len(group) <= SHOWN else len(group)} {_is(len(group))} {stand}{than}{within}")
    return parts


STANDS = ("better", "equal", "open", "worse")
WITH = {"equal": "to", "open": "against", "worse": "than"}


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def _many(value: float, unit: Unit) -> str:
    """'2.5 points', '1 point'."""
    return f"{value:g} {unit.name.removesuffix('s') if value == 1 else unit.name}"


def _least(entry: Entry) -> float:
    """By how much a row is better at least; 0 where its interval, which may not be its test's own, does not say."""
    found = entry.against
    assert found is not None
    if found.low is None or found.high is None or found.low <= 0 <= found.high:
        return 0.0
    return min(abs(found.low), abs(found.high))


def _difference(entry: Entry, unit: Unit) -> str:
    found = entry.against
    assert found is not None
    text = signed(unit.factor * found.difference)
    return text if found.half_width is None else f"{text} ± {unit.factor * found.half_width:.1f}"


def signed(value: float) -> str:
    """A number with its sign: '+5.1', '−0.3', '0.0'."""
    text = f"{value:+.1f}"
    return "0.0" if float(text) == 0 else text.replace("-", "−")


def _needed(opened: Sequence[Entry]) -> str:
    """What would settle what is open."""
    known = [(e.against.seeds_needed, e.label) for e in opened if e.against and e.against.seeds_needed]
    if not known:
        return ""
    half, label = sorted(known)[(len(known) - 1) // 2]
    which = "half of them" if len(known) > 1 else "this" if len(opened) == 1 else label
    able = f"not even {MOST_SEEDS:,} seeds would" if half >= MOST_SEEDS else f"{half:,} seeds should"
    return f"Open is not equal: if differences and spreads stay so, {able} settle {which}."


def _controls(board: Leaderboard, methods: Sequence[Entry], lower: bool) -> str:
    """Say where a control stands above every method."""
    sign = -1 if lower else 1
    best = max((sign * e.against.difference for e in methods if e.against), default=None)
    above = [
        e for e in board.of_role("control") if best is not None and e.against and sign * e.against.difference > best
    ]
    what = "a control" if len(above) == 1 else "controls"
    return f"Above every method by its mean: {listed(above)}, {what}." if above else ""


def _lost(entries: Sequence[Entry]) -> str:
    lost = [entry for entry in entries if entry.diverged or entry.spoilt]
    if not lost:
        return ""
    if len(lost) == len(entries):
        return "Every row diverged, collapsed or is unstable: no number here means anything."
    if len(lost) > SHOWN:
        return f"{len(lost)} rows diverged, collapsed or are unstable, and take no part."
    names = joined([f"{entry.label} ({entry.state})" for entry in lost])
    return f"{names} take{'s' * (len(lost) == 1)} no part."


def listed(entries: Sequence[Entry]) -> str:
    """Labels as in a sentence."""
    return joined([entry.label for entry in entries])


def _few(entries: Sequence[Entry]) -> str:
    """Labels, or of many how many."""
    return listed(entries) if len(entries) <= SHOWN else f"{len(entries)} methods"


def joined(texts: Sequence[str]) -> str:
    """Words as in a sentence: 'a, b and c'."""
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"
