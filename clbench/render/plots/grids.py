"""Pictures with a panel per method: the accuracy matrix, and accuracy and forgetting over stages."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from clbench.analysis.matrices import Matrices
from clbench.analysis.statistics import Estimate
from clbench.render.plots.style import INK, SEQUENTIAL, SMALL, headed, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = {True: 2, False: 4}  # at the width of a column, of a page
NUMBERED_TASKS = 5  # up to so many tasks the cells carry numbers
SHOWN_TASKS = 8


def matrix(title: str, found: Sequence[Matrices], width: float, notes: Sequence[str]) -> Figure:
    """Mean R in per cent: a row per stage, a column per task."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    def panel(axes: Axes, one: Matrices, first: bool) -> None:
        means = [[math.nan if cell is None else 100 * cell.mean for cell in row] for row in one.accuracy]
        tasks = len(means[0])
        axes.imshow(means, cmap=SEQUENTIAL, vmin=0, vmax=100, aspect="auto")
        axes.set_xticks(_ticks(tasks), [str(task + 1) for task in _ticks(tasks)])
        axes.set_yticks(_ticks(len(means)))
        if tasks <= NUMBERED_TASKS:
            for stage, row in enumerate(means):
                for task, value in enumerate(row):
                    if math.isnan(value):
                        continue
                    colour = "black" if value > 55 else "white"
                    axes.text(task, stage, f"{value:.0f}", ha="center", va="center", fontsize=SMALL, color=colour)
        if first:
            axes.set_ylabel("after stage", fontsize=SMALL)
            axes.set_xlabel("task", fontsize=SMALL)

    figure = _grid(title, found, panel, width, notes)
    shades = ScalarMappable(Normalize(0, 100), SEQUENTIAL)
    bar = figure.colorbar(shades, ax=figure.axes, location="bottom", aspect=40, shrink=0.6, pad=0.01)
    bar.set_label("accuracy on a task (%)", fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL)
    return figure


def curves(title: str, found: Sequence[Matrices], width: float, notes: Sequence[str]) -> Figure:
    """Accuracy on each task over stages with its interval, and (dashed) mean forgetting so far.

    Rows of a single stage have no course.
    """
    shown = [one for one in found if len(one.accuracy) > 2] or found
    left = [one.label for one in found if one not in shown]
    notes = [*notes, *([f"Not shown: {', '.join(left)} (a single stage)."] if left else [])]

    def panel(axes: Axes, one: Matrices, first: bool) -> None:
        import matplotlib

        tasks = len(one.accuracy[0])
        colours = matplotlib.colormaps[SEQUENTIAL]
        for task in _chosen(tasks):
            colour = colours(0.9 * task / max(tasks - 1, 1))
            known = {stage: row[task] for stage, row in enumerate(one.accuracy)}
            cells = {stage: cell for stage, cell in known.items() if cell is not None}
            _band(axes, list(cells), list(cells.values()), colour)
        if one.forgetting:
            _band(axes, range(2, 2 + len(one.forgetting)), one.forgetting, INK, "--")
        axes.set_ylim(-3, 103)
        axes.set_xticks(_ticks(len(one.accuracy)))
        if first:
            axes.set_ylabel("accuracy (%)", fontsize=SMALL)
            axes.set_xlabel("after stage", fontsize=SMALL)

    figure = _grid(title, shown, panel, width, notes)
    tasks = len(shown[0].accuracy[0])
    figure.legend(handles=_told(tasks), loc="outside lower left", ncols=4 if width < 4 else 8, fontsize=SMALL)
    return figure


def _chosen(tasks: int) -> list[int]:
    """At most eight tasks, evenly, with the first and the last."""
    return sorted({round(i * (tasks - 1) / max(SHOWN_TASKS - 1, 1)) for i in range(SHOWN_TASKS)})


def _told(tasks: int) -> list[Any]:
    """What the lines are."""
    import matplotlib
    from matplotlib.lines import Line2D

    colours = matplotlib.colormaps[SEQUENTIAL]
    lines = [
        Line2D([], [], color=colours(0.9 * task / max(tasks - 1, 1)), label=f"task {task + 1}")
        for task in _chosen(tasks)
    ]
    return [*lines, Line2D([], [], color=INK, linestyle="--", label="forgetting")]


def _band(axes: Axes, x: Sequence[int], values: Sequence[Estimate], colour: object, line: str = "-") -> None:
    axes.plot(x, [100 * v.mean for v in values], line, color=colour, marker="." if len(x) < 12 else "", markersize=4)
    if all(v.low is not None and v.high is not None for v in values):
        low = [max(0.0, 100 * (v.low or 0.0)) for v in values]
        high = [min(100.0, 100 * (v.high or 0.0)) for v in values]
        axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)


def _grid(
    title: str, found: Sequence[Matrices], panel: Callable[[Axes, Matrices, bool], None], width: float,
    notes: Sequence[str],
) -> Figure:  # fmt: skip
    from matplotlib.figure import Figure

    columns = min(COLUMNS[width < 4], len(found))
    rows = math.ceil(len(found) / columns)
    size = (max(width * columns / COLUMNS[width < 4], 3), 1.2 * rows + 1.0 + 0.12 * len(notes))
    figure = Figure(figsize=size, layout="constrained")
    headed(figure, title, notes, size[0])
    grid = figure.subplots(rows, columns, squeeze=False)
    for index, axes in enumerate(grid.flat):
        if index >= len(found):
            axes.remove()
            continue
        axes.set_title(shortened(found[index].label, 24), fontsize=SMALL)
        axes.tick_params(labelsize=SMALL)
        panel(axes, found[index], index % columns == 0 and index // columns == rows - 1)
    return figure


def _ticks(count: int) -> list[int]:
    """At most six whole numbers from 0."""
    step = max(1, math.ceil(count / 6))
    return list(range(0, count, step))
