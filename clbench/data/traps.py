"""What makes numbers of a benchmark look better or worse than they are: each trap with its numbers and a way out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from clbench.data.easy import Alone, Reached
from clbench.data.profile import CategoryColumn, Column, NumberColumn
from clbench.data.repeats import Repeats

TELLS = 0.9  # share of the commonest class's errors that a column alone does not make, from which it tells the label
STANDS_OUT = 0.5, 3.0  # or so much, and so many times that of the second best
REPEATED = 0.05  # share of rows
ORDERED = 0.05  # by which the label before beats chance, where nobody has said that rows are in order
OWN = 0.1  # share of rows that have a value of their own, from which a category looks like a key
MANY = 50  # values that a key has at least
MOVED = 1.0  # standard deviations
UNSEEN = 0.05  # share of rows
NAMED = 6  # columns that are named together


@dataclass(frozen=True)
class Trap:
    """What is wrong, in a word; the numbers; and what to do. ``columns``: those that it is about."""

    kind: str
    finding: str
    advice: str
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """All that traps are looked for in.

    before: accuracy of the label of the row before, and what it would be by chance. timed: rows are in order of time.
    ordered: they may be in some order that nobody has told. grouped: they have groups.
    """

    columns: Sequence[Column]
    alone: Sequence[Alone]
    repeats: Repeats
    reached: Sequence[Reached]
    before: tuple[float, float]
    timed: bool
    ordered: bool
    grouped: bool
    rows: int


def traps(found: Evidence) -> list[Trap]:
    """Return what to beware of, the gravest first."""
    looks: list[Callable[[Evidence], list[Trap]]] = [_telling, _persistent, _unlearned, _ordered, _repeated]
    return [trap for look in [*looks, _keys, _constant, _moving, _unseen] for trap in look(found)]


def _telling(found: Evidence) -> list[Trap]:
    """A column that alone tells the label, or tells it far better than any other."""
    ranked = sorted(found.alone, key=lambda one: -one.removed)
    telling = [one for one in ranked if one.removed >= TELLS]
    if (
        not telling
        and len(ranked) > 1
        and ranked[0].removed >= max(STANDS_OUT[0], STANDS_OUT[1] * max(ranked[1].removed, 0))
    ):
        telling = ranked[:1]
    return [
        Trap(
            "tells the label",
            f"'{one.column}' alone is right in {_percent(one.accuracy)} of rows that its rule has not seen, and makes "
            f"{_percent(one.removed)} fewer errors than the commonest class.",
            f"Is it known when the prediction is made? If not: --set data.drop=[{one.column}].",
            (one.column,),
        )
        for one in telling
    ]


def _persistent(found: Evidence) -> list[Trap]:
    reached = {one.way: one.accuracy for one in found.reached}
    if "persistence" not in reached:
        return []
    before, learned = reached["persistence"], reached["logistic regression"]
    if before <= reached["majority"] + ORDERED:
        return []
    better = learned > before
    return [
        Trap(
            "the label before",
            f"The label of the row before is right in {_percent(before)} of the next period; the commonest class in "
            f"{_percent(reached['majority'])}, a logistic regression in {_percent(learned)}.",
            "A learned model beats it here: keep it beside every method, as strategy 'persistence'."
            if better
            else "An accuracy below it is poor: compare with strategy 'persistence', not with chance, and ask whether "
            "the label before is known in time.",
        )
    ]


def _unlearned(found: Evidence) -> list[Trap]:
    reached = {one.way: one for one in found.reached}
    majority, learned = reached.get("majority"), reached.get("logistic regression")
    if majority is None or learned is None or learned.accuracy > majority.accuracy:
        return []
    return [
        Trap(
            "the commonest class",
            f"It is right in {_percent(majority.accuracy)}, a logistic regression in {_percent(learned.accuracy)}; as "
            f"the mean over classes, {_percent(majority.balanced)} and {_percent(learned.balanced)}.",
            "Accuracy hides what is learnt here: compare the mean over classes, and with strategy 'majority'.",
        )
    ]


def _ordered(found: Evidence) -> list[Trap]:
    before, chance = found.before
    if not found.ordered or before < chance + ORDERED:
        return []
    return [
        Trap(
            "rows in order",
            f"The label of the row before in the file is right in {_percent(before)}, by chance in {_percent(chance)}: "
            "rows that are near in the file are alike, and test rows drawn at random have neighbours in training.",
            "If the order is that of time: --set data.time=row."
            + ("" if found.grouped else " If rows come from places: --set data.group=…."),
        )
    ]


def _repeated(found: Evidence) -> list[Trap]:
    one = found.repeats
    if one.share < REPEATED:
        return []
    rows, others = ("rows", "an earlier row") if one.among == "earlier" else ("test rows", "a training row")
    return [
        Trap(
            "repeated rows",
            f"{_percent(one.share)} of {rows} have the features of {others}, {_percent(one.same)} with its label and "
            f"{_percent(one.other)} with another.",
            "Remembering answers the first and nothing the second: remove repeats, or add what tells them apart.",
        )
    ]


def _keys(found: Evidence) -> list[Trap]:
    keys = [column.name for column in found.columns if _is_key(column, found.rows)]
    counters = [
        column.name
        for column in found.columns
        if isinstance(column, NumberColumn) and found.timed and column.rising and column.low != column.high
    ]
    traps = []
    if keys:
        finding = f"{_listed(keys)}: nearly every row has a value of its own."
        traps.append(Trap("looks like a key", finding, _drop(keys), tuple(keys)))
    counters = [name for name in counters if name not in keys]
    if counters:
        finding = f"{_listed(counters)}: never falls from one row to the next, as time does."
        traps.append(Trap("counts with time", finding, _drop(counters), tuple(counters)))
    return traps


def _is_key(column: Column, rows: int) -> bool:
    if isinstance(column, CategoryColumn):
        return column.values >= max(MANY, OWN * rows)
    return column.whole and rows >= MANY and column.distinct > 0.99


def _constant(found: Evidence) -> list[Trap]:
    names = [
        column.name
        for column in found.columns
        if (column.values < 2 if isinstance(column, CategoryColumn) else column.low == column.high)
    ]
    finding = f"{_listed(names)}: the same in every row."
    return [Trap("never changes", finding, _drop(names), tuple(names))] if names else []


def _moving(found: Evidence) -> list[Trap]:
    moved = [
        (abs(column.moved), column)
        for column in found.columns
        if isinstance(column, NumberColumn) and column.moved is not None and abs(column.moved) >= MOVED
    ]
    if not moved:
        return []
    ranked = [column for _, column in sorted(moved, key=lambda one: -one[0])]
    words = [f"'{column.name}' by {column.moved:+.1f}" for column in ranked]
    return [
        Trap(
            "moves with time",
            f"From the first period to the last the mean moves, in standard deviations: {_first(words)}.",
            "Inputs are scaled by the past alone, so this is drift that a method must bear; what only grows says the "
            "time and is better left out.",
            tuple(column.name for column in ranked),
        )
    ]


def _unseen(found: Evidence) -> list[Trap]:
    late = [one for one in found.columns if isinstance(one, CategoryColumn) and one.unseen >= UNSEEN]
    if not late:
        return []
    words = [f"'{one.name}' in {_percent(one.unseen)}" for one in late]
    return [
        Trap(
            "unseen values",
            f"Of the later half's rows, so many have a value that the earlier half has not: {_first(words)}.",
            "Such rows share one input: group rare values beforehand if they can be grouped.",
            tuple(one.name for one in late),
        )
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _listed(names: Sequence[str]) -> str:
    return _first([f"'{name}'" for name in names])


def _first(words: Sequence[str]) -> str:
    more = len(words) - NAMED
    return ", ".join(words[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _drop(names: Sequence[str]) -> str:
    listed = ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")
    return f"Leave {'it' if len(names) == 1 else 'them'} out: --set data.drop=[{listed}]."
