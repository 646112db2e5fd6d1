"""Pictures with a mark per method: the leaderboard, the stability–plasticity plane, the Pareto front."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clbench.analysis.compare import PLANE, Entry, Leaderboard, better
from clbench.analysis.costs import COSTS
from clbench.render.leaderboards import heading, shown_factor
from clbench.render.plots.style import BLUE, GREY, INK, VERMILION, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PER_CENT = " (%)"


def leaderboard(axes: Axes, board: Leaderboard) -> None:
    """Means and intervals, the best on top: filled where not significantly worse, hollow where seeds are too few or
    the numbers are spoilt.
    """
    metric = board.metrics[0]
    entries = [entry for entry in board.entries if entry.estimates[metric] is not None]
    for place, entry in enumerate(entries):
        told = entry.may_be_best is not None
        colour = BLUE if entry.may_be_best else GREY
        _cross(axes, entry, metric, None, place, colour, filled=told)
    axes.set_yticks(range(len(entries)), [shortened(entry.label) for entry in entries])
    axes.set_ylim(len(entries) - 0.5, -0.5)
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel(_axis(metric))


def plane_axes(board: Leaderboard) -> tuple[str, str] | None:
    """The plane's two columns: those that a row has both of; None if there is no such row."""
    x, *forgettings = PLANE
    for y in forgettings:
        if any(entry.estimates.get(x) is not None and entry.estimates.get(y) is not None for entry in board.entries):
            return x, y
    return None


def plane(axes: Axes, board: Leaderboard) -> None:
    """Forgetting against learning accuracy: the upper right corner learns and keeps."""
    found = plane_axes(board)
    assert found is not None
    _numbered(axes, board, *found)
    axes.invert_yaxis()


def pareto(axes: Axes, board: Leaderboard) -> None:
    """Accuracy against seconds; methods on a front that was asked for are filled."""
    _numbered(axes, board, "seconds", "average_accuracy")
    axes.set_xscale("log")
    for ticks in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        ticks("{x:g}")
    front = [(_mean(e, "seconds"), _mean(e, "average_accuracy")) for e in board.entries if e.front]
    axes.plot(*zip(*sorted(front), strict=True), color=BLUE, alpha=0.4, zorder=1) if front else None


def _numbered(axes: Axes, board: Leaderboard, x: str, y: str) -> None:
    """Crosses with the number of their row, and a legend of numbers."""
    shown = [e for e in board.entries if e.estimates.get(x) is not None and e.estimates.get(y) is not None]
    for entry in shown:
        colour = BLUE if entry.front else VERMILION
        _cross(axes, entry, x, y, None, colour, filled=entry.front)
        axes.annotate(
            _place(entry),
            (_mean(entry, x), _mean(entry, y)),
            xytext=(4, 4),
            textcoords="offset points",
            fontsize=8,
            color=INK,
        )
    handles = [axes.plot([], [], " ", label=f"{_place(entry)}  {shortened(entry.label, 26)}")[0] for entry in shown]
    if handles:
        axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1, 1), handlelength=0, fontsize=7.5)
    axes.set_xlabel(_axis(x))
    axes.set_ylabel(_axis(y))
    axes.grid(alpha=0.3)


def _place(entry: Entry) -> str:
    return "–" if entry.rank is None else str(entry.rank)


def _cross(axes: Axes, entry: Entry, x: str, y: str | None, place: int | None, colour: str, filled: bool) -> None:
    """A mark with its intervals; without ``y`` at a place of its own."""
    height = place if y is None else _mean(entry, y)
    axes.errorbar(
        _mean(entry, x),
        height,  # type: ignore[arg-type]
        xerr=_half(entry, x),
        yerr=None if y is None else _half(entry, y),
        fmt="o",
        markersize=5,
        color=colour,
        markerfacecolor=colour if filled else "white",
        elinewidth=1,
        capsize=2,
        zorder=2,
    )


def _mean(entry: Entry, column: str) -> float:
    found = entry.estimates[column]
    assert found is not None
    return found.mean * shown_factor(column)


def _half(entry: Entry, column: str) -> list[list[float]] | None:
    """Distances down and up to the interval's ends."""
    found = entry.estimates[column]
    if found is None or found.low is None or found.high is None:
        return None
    low = max(found.low, found.mean * 0.05) if column == "seconds" else found.low  # a logarithm needs more than 0
    return [[(found.mean - low) * shown_factor(column)], [(found.high - found.mean) * shown_factor(column)]]


def _axis(column: str) -> str:
    unit = " of the whole run" if column in COSTS else PER_CENT
    name = "learning accuracy" if column == "learning_accuracy" else heading(column)
    return name + unit + (", lower is better" if better(column) == "lower" else "")
