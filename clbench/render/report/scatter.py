"""Two columns of a board against each other: a mark per row, with names where there is room for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clbench.analysis.boards import Entry, Leaderboard
from clbench.analysis.compare import better
from clbench.render.axes import COSTS, Axis, around, of_costs
from clbench.render.leaderboards import heading, number, shown_factor

WIDTH, HEIGHT = 640.0, 380.0  # px: for which names are placed; narrower pictures show none
LETTER, LINE = 6.6, 14.0  # px: a letter's width, a line's height
Box = tuple[float, float, float, float]  # left, top, right, bottom


def scatter(board: Leaderboard, x: str, y: str, title: str, words: str) -> Mapping[str, Any] | None:
    """Return the picture's places and texts; None where fewer than two rows have both columns."""
    numbered = [
        (place, entry)
        for place, entry in enumerate(board.entries)
        if entry.estimates.get(x) is not None and entry.estimates.get(y) is not None
    ]
    xs, ys = ([_mean(entry, column) for _, entry in numbered] for column in (x, y))
    if len(numbered) < 2:
        return None
    across = of_costs(xs) if x in COSTS and min(xs) > 0 else around(xs, [])
    up = around(ys, [])
    up = Axis(up.low, up.high, down=better(y) == "higher")
    places = [(across.place(one), up.place(other)) for one, other in zip(xs, ys, strict=True)]
    points = [
        {"row": place, "x": at[0], "y": at[1], "entry": entry, "told": _told(entry, (x, y), board)}
        for (place, entry), at in zip(numbered, places, strict=True)
    ]
    return {
        "title": title, "words": words, "points": points, "x": axis_name(x), "y": axis_name(y),
        "x_ticks": across.ticks(6), "y_ticks": up.ticks(6), "names": _names(points, board.reference),
    }  # fmt: skip


def axis_name(column: str) -> str:
    """A column with its unit, and which way is better."""
    unit = " (%)" if shown_factor(column) == 100 else ""
    return f"{heading(column)}{unit}, {better(column)} is better"


def _mean(entry: Entry, column: str) -> float:
    found = entry.estimates[column]
    assert found is not None
    return found.mean * shown_factor(column)


def _told(entry: Entry, columns: Sequence[str], board: Leaderboard) -> str:
    """A mark in words."""
    rank = "" if entry.rank is None else f", rank {entry.rank}"
    role = "" if entry.role == "method" else f", a {entry.role}"
    values = "; ".join(f"{heading(one)} {number(entry.estimates[one], one, board.interval)}" for one in columns)
    state = f"; {entry.state}" if entry.state else ""
    return f"{entry.label}{rank}{role}: {values}{state}"


def _names(points: Sequence[Mapping[str, Any]], reference: str) -> list[tuple[float, float, str, str]]:
    """Names of the rows that matter, as far as they fit beside their marks: place, side, text."""
    wanted = sorted(points, key=lambda point: _weight(point["entry"], reference))
    taken = [_around(_px(point), 5) for point in points]
    found = []
    for point in wanted:
        if _weight(point["entry"], reference) == NONE:
            continue
        (x, y), text = _px(point), point["entry"].label
        own = _around((x, y), 5)
        for side in ("start", "end"):
            width = LETTER * len(text)
            left = x + 8 if side == "start" else x - 8 - width
            box = (left, y - LINE / 2, left + width, y + LINE / 2)
            inside = box[0] >= 0 and box[2] <= WIDTH
            if inside and not any(_meet(box, other) for other in taken if other != own):
                taken.append(box)
                found.append((point["x"], point["y"], side, text))
                break
    return found


NONE = 4


def _weight(entry: Entry, reference: str) -> int:
    """Whose name comes first."""
    if entry.label == reference or entry.strategy == reference:
        return 0
    return 1 if entry.may_be_best else 2 if entry.front else 3 if entry.role != "method" else NONE


def _px(point: Mapping[str, Any]) -> tuple[float, float]:
    return point["x"] * WIDTH / 100, point["y"] * HEIGHT / 100


def _around(at: tuple[float, float], radius: float) -> Box:
    return at[0] - radius, at[1] - radius, at[0] + radius, at[1] + radius


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
