"""Two columns of a board against each other, a numbered mark per row: stability–plasticity plane, Pareto front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from clbench.analysis.boards import Entry, Leaderboard
from clbench.analysis.compare import PLANE
from clbench.errors import UserError
from clbench.render.axes import COSTS, Axis, around, of_costs, text
from clbench.render.leaderboards import heading, shown_factor
from clbench.render.plots.numbers import number
from clbench.render.plots.points import unit
from clbench.render.plots.style import BLUE, GREY, INK, SMALL, mark, shortened, titled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEGEND_LINE = 0.118  # inches


def plane_axes(board: Leaderboard) -> tuple[str, str] | None:
    """The plane's two columns: those that a row has both of; None if there is no such row."""
    x, *forgettings = PLANE
    for y in forgettings:
        if any(entry.estimates.get(x) is not None and entry.estimates.get(y) is not None for entry in board.entries):
            return x, y
    return None


def plane(board: Leaderboard, width: float, notes: Sequence[str]) -> Figure:
    """Forgetting against learning accuracy: the upper right corner learns and keeps.

    Raises UserError where nothing can be forgotten.
    """
    found = plane_axes(board)
    if found is None:
        raise UserError(
            f"--picture plane: in {board.title} nothing can be forgotten, or every run has diverged. "
            "Use --picture pareto or leaderboard."
        )
    return _numbered(board, *found, width, notes, "no forgetting is defined, or diverged")


def pareto(board: Leaderboard, width: float, notes: Sequence[str]) -> Figure:
    """Accuracy against the first cost that is known; rows that no other is as good as in all objectives of the front
    and better in one are filled.
    """
    known = [cost for cost in COSTS if any(entry.estimates.get(cost) is not None for entry in board.entries)]
    return _numbered(board, known[0] if known else "seconds", "average_accuracy", width, notes, "diverged")


def _numbered(board: Leaderboard, x: str, y: str, width: float, notes: Sequence[str], why: str) -> Figure:
    """Marks with the number of their row, and a legend of numbers below."""
    from matplotlib.figure import Figure

    shown = [e for e in board.entries if e.estimates.get(x) is not None and e.estimates.get(y) is not None]
    left = [e.label for e in board.entries if e not in shown]
    if not shown:
        raise UserError(f"--picture: no row of {board.title} has both {heading(x)} and {heading(y)}.")
    notes = [*notes, *([f"Not shown: {', '.join(left)} ({why})."] if left else [])]
    columns = 2 if width < 4 else 4
    height = 0.72 * min(width, 5.0) + 0.5 + LEGEND_LINE * math.ceil((len(shown) + 4) / columns) + 0.12 * len(notes)
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    _scaled(axes, [_mean(e, x) for e in shown], [_mean(e, y) for e in shown], x, y, 5 if width < 4 else 9)
    names = _numbers(shown)
    handles = [_mark(axes, entry, x, y, name) for entry, name in zip(shown, names, strict=True)]
    for handle, entry, name in zip(handles, shown, names, strict=True):
        handle.set_label(f"{name}  {shortened(entry.label, 22)}")
    titled(axes, board.title, notes, width)
    kinds = _kinds(axes, shown)
    figure.legend(
        handles=[*handles, *kinds], loc="outside lower left", ncols=columns, fontsize=SMALL, labelspacing=0.15,
        handlelength=0.8, columnspacing=1.0,
    )  # fmt: skip
    number(figure, axes, [(_mean(e, x), _mean(e, y)) for e in shown], names)
    return figure


def _scaled(axes: Axes, xs: Sequence[float], ys: Sequence[float], x: str, y: str, most: int) -> None:
    """Axes with room around the marks, and ticks that do not collide."""
    across = of_costs(xs) if x in COSTS and min(xs) > 0 else around(xs, [])
    up = around(ys, [])
    if across.log:
        axes.set_xscale("log")
    axes.set_xlim(*_wider(across))
    axes.set_ylim(*_wider(up)[:: -1 if y in PLANE[1:] else 1])
    ticks = across.values(most)
    axes.set_xticks(ticks, [text(tick) for tick in ticks], fontsize=SMALL)
    axes.set_xticks([], minor=True)
    heights = up.values(8)
    axes.set_yticks(heights, [text(tick) for tick in heights], fontsize=SMALL)
    axes.grid(alpha=0.3)
    axes.set_xlabel(_name(x), fontsize=SMALL + 0.5)
    axes.set_ylabel(_name(y), fontsize=SMALL + 0.5)


def _wider(axis: Axis) -> tuple[float, float]:
    """The ends, with room for numbers beside the outermost marks."""
    if axis.log:
        return axis.low / 1.1, axis.high * 1.1
    room = 0.06 * (axis.high - axis.low)
    return axis.low - room, axis.high + room


def _name(column: str) -> str:
    return f"{'learning accuracy' if column == 'learning_accuracy' else heading(column)}{unit(column)}"


def _numbers(shown: Sequence[Entry]) -> list[str]:
    """Ranks of methods, letters for whatever has none."""
    others = [entry for entry in shown if entry.rank is None]
    letters = {entry.label: _letters(place) for place, entry in enumerate(others)}
    return [letters.get(entry.label, str(entry.rank)) for entry in shown]


def _letters(place: int) -> str:
    return (_letters(place // 26 - 1) if place >= 26 else "") + chr(ord("a") + place % 26)


def _mark(axes: Axes, entry: Entry, x: str, y: str, name: str) -> Any:
    """A mark with its intervals."""
    at = _mean(entry, x), _mean(entry, y)
    for column, horizontal in ((x, True), (y, False)):
        found = entry.estimates[column]
        if found is None or found.low is None or found.high is None:
            continue
        low = max(found.low, found.mean * 0.05) if column in COSTS else found.low  # a logarithm needs more than 0
        ends = [low * shown_factor(column), found.high * shown_factor(column)]
        axes.plot(
            *((ends, [at[1]] * 2) if horizontal else ([at[0]] * 2, ends)), color="#BBBBBB", linewidth=0.5, zorder=1
        )
    colour = BLUE if entry.front else GREY
    return axes.plot(*at, linestyle="", zorder=2, gid=f"mark-{name}", **mark(entry, colour, entry.front))[0]


def _kinds(axes: Axes, shown: Sequence[Entry]) -> list[Any]:
    """What shapes and filling mean, of those that are there."""
    said: dict[str, Entry] = {}
    for entry in shown:
        said.setdefault("learnt nothing" if entry.spoilt else entry.role, entry)
    parts = [
        axes.plot([], [], linestyle="", label=words, **mark(entry, INK, False))[0] for words, entry in said.items()
    ]
    if any(entry.front for entry in shown):
        parts += axes.plot([], [], "o", color=BLUE, markersize=4.5, label="filled: on the Pareto front")
    return parts


def _mean(entry: Entry, column: str) -> float:
    found = entry.estimates[column]
    assert found is not None
    return found.mean * shown_factor(column)
