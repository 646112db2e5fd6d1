"""Pictures of diagnostics: quantities over stages, and where gradients point."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from clbench.analysis.diagnosis import QUANTITIES, Diagnosis
from clbench.errors import UserError
from clbench.render.plots.style import BLUE, GREEN, GREY, INK, ORANGE, VERMILION, WIDTH, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 3
# Strategies are told apart by colour and by line, so that print and colour-blind readers lose nothing.
COLOURS = (BLUE, VERMILION, GREEN, ORANGE, GREY, "#CC79A7", "#56B4E9", INK)
LINES = ("-", "--", "-.", ":")


def stages(title: str, found: Sequence[Diagnosis]) -> Figure:
    """A panel per quantity, a line per strategy with its 95 % interval."""
    shown = [quantity for quantity in QUANTITIES if any(quantity.name in one.series for one in found)]
    figure, panels = grid(title, len(shown))
    for axes, quantity in zip(panels, shown, strict=True):
        factor = 100.0 if quantity.share else 1.0
        for index, one in enumerate(found):
            series = one.series.get(quantity.name, {})
            colour, line = COLOURS[index % len(COLOURS)], LINES[index % len(LINES)]
            means = [factor * value.mean for value in series.values()]
            mark = "." if len(series) < 12 else ""
            axes.plot(
                list(series), means, line, color=colour, marker=mark, markersize=4, label=shortened(one.label, 26)
            )
            if all(value.low is not None for value in series.values()):
                # no quantity is negative, no share above 100 %, whatever an interval of few seeds says
                low = [max(0.0, factor * (value.low or 0.0)) for value in series.values()]
                high = [factor * (value.high or 0.0) for value in series.values()]
                high = [min(100.0, value) for value in high] if quantity.share else high
                axes.fill_between(list(series), low, high, color=colour, alpha=0.15, linewidth=0)
        axes.set_title(quantity.name + (" (%)" if quantity.share else ""), fontsize=8)
        axes.grid(alpha=0.3)
    panels[-1].set_xlabel("stage")
    legend(figure, panels[0], 3)
    return figure


def cosines(title: str, found: Sequence[Diagnosis]) -> Figure:
    """A panel per layer: the share of its groups of weights by cos(−∇L, w) at the last boundary; DASH's λ dashed.

    Raises UserError if no run has measured them.
    """
    layers = [layer for one in found[:1] for layer in one.cosines]
    if not layers:
        raise UserError("--picture cosines: these runs did not measure gradients. Run with --diagnostics.")
    figure, panels = grid(title, len(layers))
    for axes, layer in zip(panels, layers, strict=True):
        for index, one in enumerate(found):
            counts = one.cosines.get(layer, [])
            edges = [-1 + 2 * bin_ / max(len(counts), 1) for bin_ in range(len(counts) + 1)]
            shares = [100 * count / max(sum(counts), 1) for count in counts]
            line = LINES[index % len(LINES)]
            axes.stairs(
                shares, edges, color=COLOURS[index % len(COLOURS)], linestyle=line, label=shortened(one.label, 26)
            )
        axes.axvline(0.3, color=INK, linestyle="--", linewidth=0.8)
        axes.set_title(shortened(layer, 26), fontsize=8)
    panels[0].set_xlabel("cos(−∇L, w)")
    panels[0].set_ylabel("groups (%)")
    legend(figure, panels[0], 3)
    return figure


def legend(figure: Figure, axes: Axes, columns: int) -> None:
    """Put one panel's legend below all of them."""
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=columns, fontsize=7.5)


def grid(title: str, count: int, height: float = 1.5) -> tuple[Figure, list[Axes]]:
    """Return a figure with so many panels, three in a row, ``height`` inches each."""
    from matplotlib.figure import Figure

    rows = math.ceil(count / COLUMNS)
    figure = Figure(figsize=(WIDTH, height * rows + 1.2), layout="constrained")
    figure.suptitle(shortened(title, 80), x=0.01, ha="left", fontsize=10)
    panels = figure.subplots(rows, COLUMNS, squeeze=False)
    for axes in list(panels.flat)[count:]:
        axes.remove()
    return figure, list(panels.flat)[:count]
