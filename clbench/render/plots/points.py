"""Pictures with a line per row: means with their intervals, and differences to the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clbench.analysis.boards import Entry, Leaderboard
from clbench.analysis.compare import better
from clbench.errors import UserError
from clbench.render.axes import Axis, around, text
from clbench.render.leaderboards import heading, shown_factor
from clbench.render.plots.style import BLUE, GREY, INK, SMALL, VERMILION, mark, shortened, titled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINE = 0.125  # inches for a row
GAP = 0.7  # rows between methods, bounds and controls


@dataclass(frozen=True)
class Zero:
    """Where the reference is, if there is one, and within what around it differences are none (None: not shown)."""

    at: float | None
    margin: float | None


@dataclass(frozen=True)
class Line:
    """A row of the picture: middle, interval if there is one, colour, whether filled, and what that means."""

    entry: Entry
    middle: float
    low: float | None
    high: float | None
    colour: str
    filled: bool
    meaning: str


def leaderboard(board: Leaderboard, width: float, notes: Sequence[str]) -> Figure:
    """Means and intervals, the best on top: filled where a row may be the best."""
    column = board.metrics[0]
    factor = shown_factor(column)
    told = any(entry.may_be_best is not None for entry in board.entries)
    lines = []
    for entry in board.entries:
        found = entry.estimates[column]
        if found is None:
            continue
        best = bool(entry.may_be_best)
        meaning = "may be the best" if best else "not the best" if told and entry.role == "method" else ""
        ends = (_times(factor, found.low), _times(factor, found.high))
        lines.append(Line(entry, factor * found.mean, *ends, BLUE if best else GREY, best, meaning))
    left = [entry.label for entry in board.entries if entry.estimates[column] is None]
    more = [f"Not shown: {', '.join(left)} (diverged)."] if left else []
    reference = next(
        (line.middle for line in lines if board.reference in (line.entry.label, line.entry.strategy)), None
    )
    return _rows(board, lines, [*notes, *more], width, Zero(reference, None))


def difference(board: Leaderboard, width: float, notes: Sequence[str]) -> Figure:
    """Differences to the reference with their intervals: filled where better, worse or equal, hollow where open.

    Raises UserError without a reference.
    """
    if not board.reference:
        raise UserError(f"--picture difference: in {board.title} {board.missing}. Name a row with --against.")
    column = board.metrics[0]
    factor, sign = shown_factor(column), -1 if better(column) == "lower" else 1
    lines = []
    for entry in board.entries:
        found = entry.against
        if found is None:
            continue
        told = found.stand != "open"
        colour = INK if found.stand in ("open", "equal") else BLUE if sign * found.difference > 0 else VERMILION
        ends = (_times(factor, found.low), _times(factor, found.high))
        lines.append(Line(entry, factor * found.difference, *ends, colour, told, found.stand))
    left = [e for e in board.entries if e.against is None and (e.spoilt or e.diverged)]
    more = [f"Not shown: {', '.join(f'{e.label} ({e.state})' for e in left)}."] if left else []
    return _rows(board, lines, [*notes, *more], width, Zero(0.0, factor * board.margin))


def _rows(board: Leaderboard, lines: Sequence[Line], notes: Sequence[str], width: float, zero: Zero) -> Figure:
    """The picture, with what it leaves out said in ``notes``."""
    from matplotlib.figure import Figure

    if not lines:
        raise UserError(f"--picture: no row of {board.title} has a number to show.")
    places = _places(lines)
    axis = around(
        [line.middle for line in lines], [end for line in lines for end in _ends(line)], zero=zero.margin is not None
    )
    figure = Figure(figsize=(width, 1.15 + LINE * places[-1] + 0.12 * len(notes)), layout="constrained")
    axes = figure.subplots()
    if zero.margin is not None:
        axes.axvspan(-zero.margin, zero.margin, color="#DDDDDD", linewidth=0, label="equal for practical purposes")
    if zero.at is not None:
        axes.axvline(zero.at, color=INK, linewidth=0.8, zorder=1, label=f"reference: {shortened(board.reference, 24)}")
    for place, line in zip(places, lines, strict=True):
        _draw(axes, place, line, axis)
    axes.set_yticks(places, [shortened(line.entry.label, 20 if width < 4 else 34) for line in lines], fontsize=SMALL)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(places[-1] + 0.7, -0.7)
    axes.set_xlim(axis.low, axis.high)
    ticks = axis.values(7 if width < 4 else 10)
    axes.set_xticks(ticks, [text(tick) for tick in ticks], fontsize=SMALL)
    axes.grid(axis="x", alpha=0.3)
    what = f"Δ {heading(board.metrics[0])}" if zero.margin is not None else heading(board.metrics[0])
    axes.set_xlabel(f"{what}{unit(board.metrics[0])}", fontsize=SMALL + 0.5)
    titled(axes, board.title, notes, width)
    _legend(figure, axes, lines, 2 if width < 4 else 4)
    return figure


def _places(lines: Sequence[Line]) -> list[float]:
    """One below the other, with a gap between roles."""
    places: list[float] = []
    for number, line in enumerate(lines):
        apart = number > 0 and line.entry.role != lines[number - 1].entry.role
        places.append(places[-1] + 1 + (GAP if apart else 0) if places else 0.0)
    return places


def _draw(axes: Axes, place: float, line: Line, axis: Axis) -> None:
    low, high = line.low, line.high
    if low is not None and high is not None:
        axes.plot([max(low, axis.low), min(high, axis.high)], [place] * 2, color=line.colour, linewidth=0.9)
        ends = ((low < axis.low, axis.low, "<"), (high > axis.high, axis.high, ">"))
        for cut, end, arrow in ends:
            if cut:
                axes.plot(end, place, arrow, color=line.colour, markersize=3, clip_on=False)
    axes.plot(line.middle, place, linestyle="", zorder=3, **mark(line.entry, line.colour, line.filled))


def _legend(figure: Figure, axes: Axes, lines: Sequence[Line], columns: int) -> None:
    """Every kind of mark that the picture has."""
    kinds: dict[str, Line] = {}
    for line in lines:
        role = "learnt nothing" if line.entry.spoilt else line.entry.role
        kinds.setdefault(f"{role}: {line.meaning}" if line.meaning else role, line)
    handles: list[Any] = [
        axes.plot([], [], linestyle="", label=words, **mark(line.entry, line.colour, line.filled))[0]
        for words, line in kinds.items()
    ]
    known, _ = axes.get_legend_handles_labels()
    others = [one for one in known if one not in handles]
    figure.legend(handles=[*handles, *others], loc="outside lower left", ncols=columns, fontsize=SMALL)


def unit(column: str) -> str:
    """What stands behind a column's name at an axis."""
    shown = " (s)" if column == "seconds" else " (%)" if shown_factor(column) == 100 else ""
    return f"{shown}, lower is better" if better(column) == "lower" else shown


def _ends(line: Line) -> list[float]:
    return [end for end in (line.low, line.high) if end is not None]


def _times(factor: float, value: float | None) -> float | None:
    return None if value is None else factor * value
