"""The critical-difference diagram."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clbench.analysis.ranking import Ranking
from clbench.render.plots.style import BLUE, INK, SMALL, shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def ranks(found: Ranking, width: float) -> Figure:
    """Mean ranks on a line, best on the left; bars join methods that are not told apart (Demšar 2006, figure 1)."""
    from matplotlib.figure import Figure

    labels, places = list(found.ranks), list(found.ranks.values())
    highest = len(labels)
    half = (highest + 1) // 2
    levels = len(found.groups)
    figure = Figure(figsize=(width, 1.0 + 0.1 * levels + 0.13 * half), layout="constrained")
    axes = figure.subplots()
    axes.set_axis_off()
    narrow = width < 4
    margin = max(1.0, (1.1 if narrow else 0.35) * (highest - 1))
    longest = 16 if narrow else 24
    axes.set_xlim(1 - margin, highest + margin)
    bottom = levels + 1 + half
    axes.set_ylim(bottom, -3.2)
    axes.plot([1, highest], [0, 0], color=INK)
    step = max(1, round(highest / (5 if narrow else 10)))
    for rank in range(1, highest + 1, step):
        axes.plot([rank, rank], [0, -0.25], color=INK)
        axes.text(rank, -0.4, str(rank), ha="center", va="bottom", fontsize=SMALL)
    reach = min(found.critical, highest - 1)
    axes.plot([1, 1 + reach], [-1.7, -1.7], color=BLUE, linewidth=2)
    beyond = "" if found.critical <= highest - 1 else " (more than the whole scale)"
    axes.text(1 + reach / 2, -2.0, f"critical difference {found.critical:.2f}{beyond}", ha="center", fontsize=SMALL)
    for level, group in enumerate(found.groups):
        ends = [found.ranks[group[0]] - 0.05, found.ranks[group[-1]] + 0.05]
        axes.plot(ends, [level + 0.6] * 2, color=BLUE, linewidth=3, solid_capstyle="butt")
    for index, (label, place) in enumerate(zip(labels, places, strict=True)):
        left = index < half
        depth = levels + 0.8 + (index if left else highest - 1 - index)
        edge = 1 - 0.02 * margin if left else highest + 0.02 * margin
        axes.plot([place, place, edge], [0, depth, depth], color=INK, linewidth=0.7)
        text = f"{shortened(label, longest)}  {place:.2f}" if left else f"{place:.2f}  {shortened(label, longest)}"
        axes.text(edge, depth, f" {text} ", ha="right" if left else "left", va="center", fontsize=SMALL)
    return figure
