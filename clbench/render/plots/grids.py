"""Pictures with a panel per method: the accuracy matrix, and accuracy and forgetting over stages."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from clbench.analysis.matrices import Matrices
from clbench.analysis.statistics import Estimate
from clbench.render.plots.style import INK, SEQUENTIAL, WIDTH, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 4
NUMBERED_TASKS = 5  # up to so many tasks the cells carry numbers
SHOWN_TASKS = 8


def matrix(title: str, found: Sequence[Matrices]) -> Figure:
    """Mean R in per cent: a row per stage, a column per task."""

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
                    axes.text(task, stage, f"{value:.0f}", ha="center", va="center", fontsize=7, color=colour)
        if first:
            axes.set_ylabel("after stage")
            axes.set_xlabel("accuracy on task (%)")

    return _grid(title, found, panel)


def curves(title: str, found: Sequence[Matrices]) -> Figure:
    """Accuracy on each task over stages with its interval, and (dashed) mean forgetting so far."""

    def panel(axes: Axes, one: Matrices, first: bool) -> None:
        import matplotlib

        tasks = len(one.accuracy[0])
        chosen = sorted({round(i * (tasks - 1) / max(SHOWN_TASKS - 1, 1)) for i in range(SHOWN_TASKS)})
        colours = matplotlib.colormaps[SEQUENTIAL]
        for task in chosen:
            colour = colours(0.9 * task / max(tasks - 1, 1))
            known = {stage: row[task] for stage, row in enumerate(one.accuracy)}
            cells = {stage: cell for stage, cell in known.items() if cell is not None}
            _band(axes, list(cells), list(cells.values()), colour)
        if one.forgetting:
            _band(axes, range(2, 2 + len(one.forgetting)), one.forgetting, INK, "--")
        axes.set_ylim(-3, 103)
        axes.set_xticks(_ticks(len(one.accuracy)))
        if first:
            axes.set_ylabel("accuracy (%)\nforgetting (dashed)")
            axes.set_xlabel("after stage")

    return _grid(title, found, panel)


def _band(axes: Axes, x: Sequence[int], values: Sequence[Estimate], colour: object, line: str = "-") -> None:
    axes.plot(x, [100 * v.mean for v in values], line, color=colour, marker="." if len(x) < 12 else "", markersize=4)
    if all(v.low is not None and v.high is not None for v in values):
        low = [max(0.0, 100 * (v.low or 0.0)) for v in values]
        high = [min(100.0, 100 * (v.high or 0.0)) for v in values]
        axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)


def _grid(title: str, found: Sequence[Matrices], panel: Callable[[Axes, Matrices, bool], None]) -> Figure:
    from matplotlib.figure import Figure

    rows = math.ceil(len(found) / COLUMNS)
    columns = min(COLUMNS, len(found))
    figure = Figure(figsize=(max(WIDTH * columns / COLUMNS, 3), 1.6 * rows + 0.8), layout="constrained")
    figure.suptitle(shortened(title, 80), x=0.01, ha="left", fontsize=10)
    grid = figure.subplots(rows, columns, squeeze=False)
    for index, axes in enumerate(grid.flat):
        if index >= len(found):
            axes.remove()
            continue
        axes.set_title(shortened(found[index].label, 22), fontsize=8)
        panel(axes, found[index], index % columns == 0 and index // columns == rows - 1)
    return figure


def _ticks(count: int) -> list[int]:
    """At most six whole numbers from 0."""
    step = max(1, math.ceil(count / 6))
    return list(range(0, count, step))
