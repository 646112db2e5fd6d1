"""Pictures of how weights are held: importances, shares of the way back, likeness of features, stability."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from clbench.analysis.diagnosis import Diagnosis
from clbench.analysis.instability import Map
from clbench.errors import UserError
from clbench.render.plots.diagnosis import COLOURS, LINES, grid, legend
from clbench.render.plots.style import INK, SEQUENTIAL, VERMILION, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def importance(title: str, found: Sequence[Diagnosis]) -> Figure:
    """A panel per method: mean (dot) and largest (cross) importance of each layer in the last stage."""
    shown = _chosen("importance", [one for one in found if one.held])
    figure, panels = grid(title, len(shown))
    layers = list(dict.fromkeys(layer for one in shown for layer in one.held))
    for axes, one in zip(panels, shown, strict=True):
        places = [place for place, layer in enumerate(layers) if layer in one.held]
        held = [one.held[layers[place]] for place in places]
        axes.plot([layer.mean for layer in held], places, "o", color=COLOURS[0], markersize=4, label="mean")
        axes.plot([layer.largest for layer in held], places, "x", color=COLOURS[1], markersize=5, label="largest")
        axes.set_xscale("log")
        axes.set_yticks(range(len(layers)), [_short(layer) for layer in layers])
        axes.invert_yaxis()
        axes.set_title(shortened(one.label, 26), fontsize=8)
        axes.grid(alpha=0.3)
    panels[0].set_xlabel("importance A")
    legend(figure, panels[0], 2)
    return figure


def shares(title: str, found: Sequence[Diagnosis]) -> Figure:
    """A panel per method: histograms by layer of the way back that a step goes, R or ηλA; 1 and 2 dashed."""
    shown = _chosen("shares", [one for one in found if one.held])
    figure, panels = grid(title, len(shown))
    for axes, one in zip(panels, shown, strict=True):
        for index, (layer, held) in enumerate(one.held.items()):
            bins = len(held.histogram)
            explicit = one.kind == "explicit"
            edges = [place / bins if explicit else 10 ** (-8 + 11 * place / bins) for place in range(bins + 1)]
            parts = [100 * count / max(sum(held.histogram), 1) for count in held.histogram]
            colour, line = COLOURS[index % len(COLOURS)], LINES[index % len(LINES)]
            axes.stairs(parts, edges, color=colour, linestyle=line, label=_short(layer))
        if one.kind == "penalty":
            axes.set_xscale("log")
            for limit in (1.0, 2.0):
                axes.axvline(limit, color=INK, linestyle="--", linewidth=0.8)
        axes.set_xlabel("R" if one.kind == "explicit" else "ηλA")
        axes.set_title(shortened(one.label, 26), fontsize=8)
    panels[0].set_ylabel("weights (%)")
    legend(figure, panels[0], 5)
    return figure


def cka(title: str, found: Sequence[Diagnosis]) -> Figure:
    """A panel per method: CKA of each layer's features with what they were after the first stage, over stages."""
    from matplotlib.ticker import MaxNLocator

    shown = _chosen("cka", [one for one in found if one.cka])
    figure, panels = grid(title, len(shown))
    for axes, one in zip(panels, shown, strict=True):
        for index, (layer, series) in enumerate(one.cka.items()):
            colour, line = COLOURS[index % len(COLOURS)], LINES[index % len(LINES)]
            means = [value.mean for value in series.values()]
            name = _short(layer)
            axes.plot(list(series), means, line, color=colour, marker=".", markersize=4, label=name)
        axes.set_ylim(-0.05, 1.05)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_title(shortened(one.label, 26), fontsize=8)
        axes.grid(alpha=0.3)
    panels[0].set_xlabel("after stage")
    panels[0].set_ylabel("CKA with the first")
    legend(figure, panels[0], 5)
    return figure


def instability(title: str, found: Sequence[Map]) -> Figure:
    """A panel per method: mean accuracy over λ and η, × where it diverged, lines where ηλ·max A is 1 and 2."""
    figure, panels = grid(title, len(_chosen("map", found)), height=2.2)
    for axes, one in zip(panels, found, strict=True):
        _map(axes, one)
    image = panels[0].images[0]
    figure.colorbar(image, ax=panels, shrink=0.8, label="average accuracy (%)")
    return figure


def _map(axes: Axes, one: Map) -> None:
    rows = [[one.accuracy.get((lam, eta)) for lam in one.lams] for eta in one.etas]
    values = [[math.nan if value is None else 100 * value for value in row] for row in rows]
    axes.imshow(values, cmap=SEQUENTIAL, vmin=0, vmax=100, aspect="auto", origin="lower")
    for row, eta in enumerate(one.etas):
        for column, lam in enumerate(one.lams):
            if (lam, eta) in one.accuracy and one.accuracy[lam, eta] is None:
                axes.plot(column, row, "x", color=VERMILION, markersize=6)
    known = [lam for lam in one.lams if lam]
    if len(known) > 1:
        for limit, line in ((1, "--"), (2, ":")):
            measured = [(row, eta) for row, eta in enumerate(one.etas) if eta in one.limits]
            places = [_place(known, limit * one.limits[eta]) for _, eta in measured]
            axes.plot(places, [row for row, _ in measured], line, color=VERMILION, linewidth=1.5)
        axes.set_xlim(-0.5, len(one.lams) - 0.5)
    names = ["none" if lam is None else f"{lam:,.0f}" if lam >= 10 else f"{lam:g}" for lam in one.lams]
    axes.set_xticks(range(len(one.lams)), names, fontsize=6, rotation=90)
    axes.set_yticks(range(len(one.etas)), [f"{eta:.2g}" for eta in one.etas], fontsize=6)
    axes.set_xlabel("λ")
    axes.set_ylabel("learning rate η")
    axes.set_title("\n".join(textwrap.wrap(shortened(one.label, 78), 28)), fontsize=7)
    axes.set_ylim(-0.5, len(one.etas) - 0.5)


def _short(layer: str) -> str:
    name = layer.removeprefix("backbone.")
    return f"layer {name}" if name.isdigit() else shortened(name, 14)


def _place(lams: Sequence[float], lam: float) -> float:
    """Where a λ lies between columns that are even by order of magnitude."""
    step = (math.log(lams[-1]) - math.log(lams[0])) / (len(lams) - 1)
    return (math.log(lam) - math.log(lams[0])) / step


def _chosen(picture: str, shown: Sequence[Diagnosis] | Sequence[Map]) -> Sequence[Diagnosis]:
    if not shown:
        raise UserError(
            f"--picture {picture}: these runs have not measured it. It needs a method that holds weights, run with "
            "--diagnostics (map: with several strategy.lam and optimizer.lr)."
        )
    return shown  # type: ignore[return-value]
