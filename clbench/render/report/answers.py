"""The picture that carries a board's answer, once for each reference that a reader may choose: places and texts.

The page moves marks to these places; what is better than what is decided here alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from clbench.analysis.boards import Entry, Leaderboard, Method, Role
from clbench.analysis.compare import leaderboards
from clbench.analysis.overall import AcrossBoards
from clbench.analysis.runs import Run
from clbench.render.axes import Axis, Tick, around
from clbench.render.leaderboards import answer, difference, heading, number, shown_factor, state_of

MOST = 12  # references
MOST_ROWS = 1500  # of all references together: a page must stay small
SHAPES: Mapping[Role, str] = {"bound": "squares", "control": "diamonds"}
STANDS = ("better", "equal", "open", "worse")
QUICK = ("moderated", "t")  # tests; by others rows are compared with the reference asked for alone


@dataclass(frozen=True)
class Choice:
    """A board with one reference, or with means where it has none.

    ``heading``: what the numbers are. ``zero``: where no difference is; ``equal``: from where to where there is none
    for practical purposes. ``rows``, by the board's entries: middle and ends in per cent, which ends are cut, texts of
    number and state, and the number. ``groups``: titles of what may be said of rows, with their places.
    """

    name: str
    heading: str
    answer: str
    ticks: Sequence[Tick]
    zero: float | None
    equal: tuple[float, float] | None
    rows: Sequence[Sequence[Any] | None]
    groups: Sequence[tuple[str, Sequence[int]]]

    def as_data(self) -> Mapping[str, Any]:
        """What the page needs to show it."""
        return {
            "heading": self.heading, "answer": self.answer, "ticks": self.ticks,
            "zero": self.zero, "equal": self.equal, "rows": self.rows, "groups": self.groups,
        }  # fmt: skip


def choices(board: Leaderboard, runs: Sequence[Run], method: Method) -> list[Choice]:
    """The board as it is, then with others of its rows as the reference: controls, bounds and what may be the best."""
    mine = [run for run in runs if (run.scenario, run.kind) == (board.scenario, board.kind)]
    found = [_choice(board)]
    if method.test not in QUICK or method.by is not None:
        return found
    able = [e for e in board.entries if not e.diverged and not e.spoilt and e.estimates[board.metrics[0]] is not None]
    wanted = [e for e in able if e.role != "method"] + [e for e in able if e.may_be_best]
    most = max(1, min(MOST, MOST_ROWS // len(board.entries)))
    for entry in wanted:
        if len(found) < most and entry.against is not None:
            asked = replace(method, columns=board.metrics, against=entry.label)
            (other,) = leaderboards(mine, asked)
            if other.reference == entry.label:
                found.append(_choice(other))
    return found


def _choice(board: Leaderboard) -> Choice:
    """Differences to the board's reference; without one, means."""
    column, referred = board.metrics[0], bool(board.reference)
    factor = shown_factor(column)
    values = [_values(entry, column, factor, referred) for entry in board.entries]
    known = [value for value in values if value is not None]
    middles = [middle for middle, _, _ in known]
    ends = [end for _, *both in known for end in both if end is not None]
    axis = around(middles, ends, zero=referred) if known else Axis(0.0, 1.0)
    margin = factor * board.margin
    return Choice(
        name=board.reference or "nothing: means",
        heading=f"Δ {board.reference}" if referred else heading(column),
        answer=answer(board),
        ticks=axis.ticks() if known else [],
        zero=axis.place(0.0) if referred and known else None,
        equal=(axis.place(-margin), axis.place(margin)) if referred and known else None,
        rows=[_row(*pair, axis, board, referred) for pair in zip(board.entries, values, strict=True)],
        groups=_groups(board),
    )


Values = tuple[float, float | None, float | None]


def _values(entry: Entry, column: str, factor: float, referred: bool) -> Values | None:
    """Middle and ends of a row's interval, as shown."""
    if referred:
        if entry.against is None:
            return None
        three = entry.against.difference, entry.against.low, entry.against.high
    else:
        found = entry.estimates[column]
        if found is None or entry.spoilt:
            return None
        three = found.mean, found.low, found.high
    middle, low, high = three
    return factor * middle, _times(factor, low), _times(factor, high)


def _row(entry: Entry, values: Values | None, axis: Axis, board: Leaderboard, referred: bool) -> Sequence[Any] | None:
    """What ``Choice.rows`` has of one entry."""
    column = board.metrics[0]
    state = state_of(entry) if referred else entry.state
    if values is None:
        if referred and state == "–" and entry.estimates[column] is not None:
            state = "reference"
        return [None, None, None, 0, "–", state, None]
    text = difference(entry.against, column) if referred else number(entry.estimates[column], column, board.interval)
    return [*_placed(values, axis), text, state, round(values[0], 4)]


def _placed(values: Values, axis: Axis) -> list[Any]:
    """Places of middle and ends, and which ends lie beyond the axis: 1 the low one, 2 the high one, 3 both."""
    middle, low, high = values
    cut = (1 if low is not None and low < axis.low else 0) + (2 if high is not None and high > axis.high else 0)
    return [axis.place(middle), *(None if end is None else axis.place(end) for end in (low, high)), cut]


def _times(factor: float, value: float | None) -> float | None:
    return None if value is None else factor * value


def together(found: AcrossBoards, column: str) -> Mapping[str, Any]:
    """The same picture of what holds over all boards."""
    factor = shown_factor(column)
    ones = [row.against for row in found.rows]
    ends = [factor * end for one in ones for end in (one.low, one.high) if end is not None]
    axis = around([factor * one.difference for one in ones], ends, zero=True)
    rows = []
    for row, one in zip(found.rows, ones, strict=True):
        placed = _placed((factor * one.difference, _times(factor, one.low), _times(factor, one.high)), axis)
        rows.append((row.label, [*placed, difference(one, column), one.stand], f"{100 * row.improvement:.0f} %"))
    return {"ticks": axis.ticks(), "zero": axis.place(0.0), "equal": None, "rows": rows, "reference": found.reference}


def _groups(board: Leaderboard) -> list[tuple[str, list[int]]]:
    """Methods by what may be said of them, and whatever was lost."""
    numbered = list(enumerate(board.entries))
    methods = [(place, entry) for place, entry in numbered if entry.rank is not None]
    stands = {stand: [n for n, e in methods if e.against and e.against.stand == stand] for stand in STANDS}
    return [
        ("may be the best", [place for place, entry in methods if entry.may_be_best]),
        *stands.items(),
        ("diverged or learnt nothing", [place for place, entry in numbered if entry.diverged or entry.spoilt]),
    ]


def shapes(board: Leaderboard) -> str:
    """What the shapes of marks mean, of those that a board's pictures have."""
    text = ", ".join(f"{shape} are {role}s" for role, shape in SHAPES.items() if board.of_role(role))
    return f"{text.capitalize()}." if text else ""


def any_cut(found: Sequence[Choice]) -> bool:
    """Whether an interval goes beyond the picture."""
    return any(row and row[3] for choice in found for row in choice.rows)
