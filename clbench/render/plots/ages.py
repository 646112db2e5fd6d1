"""The picture of age: how accuracy falls with the periods between a model's last training data and its use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from clbench.analysis.ages import AgeCurve
from clbench.errors import UserError
from clbench.render.plots.diagnosis import COLOURS, LINES
from clbench.render.plots.style import GREY, SMALL, shortened, titled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEIGHT = 2.6  # inches


def ages(title: str, found: Sequence[AgeCurve], width: float, notes: Sequence[str]) -> Figure:
    """A line per row with its 95 % interval, over ages in periods; what is right of 0 is what deployment sees.

    Raises UserError if the board's tasks are no periods.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    if not found:
        raise UserError(f"--picture ages: the tasks of {title} are no periods in time. Take --picture curves.")
    figure = Figure(figsize=(width, HEIGHT + 0.12 * len(notes)), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color=GREY, linewidth=0.6)
    for index, one in enumerate(found):
        colour, line = COLOURS[index % len(COLOURS)], LINES[index % len(LINES)]
        x, values = list(one.accuracy), list(one.accuracy.values())
        means = [100 * value.mean for value in values]
        axes.plot(x, means, line, color=colour, marker=".", markersize=4, label=shortened(one.label, 26))
        if all(value.low is not None and value.high is not None for value in values):
            low = [max(0.0, 100 * (value.low or 0.0)) for value in values]
            high = [min(100.0, 100 * (value.high or 0.0)) for value in values]
            axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.grid(alpha=0.3)
    axes.tick_params(labelsize=SMALL)
    axes.set_xlabel("age of the model (periods)", fontsize=SMALL)
    axes.set_ylabel("accuracy (%)", fontsize=SMALL)
    titled(axes, title, notes, width)
    figure.legend(loc="outside lower left", ncols=2 if width < 4 else 4, fontsize=SMALL)
    return figure
