"""A picture of a dataset's stream: rows and class shares of each period or group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from clbench.data.described import Described
from clbench.data.outline import Section
from clbench.render.plots.diagnosis import COLOURS
from clbench.render.plots.style import BLUE, GREY, INK, SMALL, WIDTH, headed, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CLASSES = 7  # with a colour of their own; the rest share one
TICKS = 16
REST = "#D9D9D9"


def stream(found: Described) -> Figure:
    """Above how many rows each period or group has, below the shares of its classes; ▲ where one is new, ▽ gone.

    A dataset without periods and groups has one bar.
    """
    from matplotlib.figure import Figure

    counts = [round(share * found.rows["train"]) for share in found.classes.values()]
    sections = found.sections or [Section("all", found.rows["train"], counts, [], [])]
    figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[1, 2.4])
    places = range(len(sections))
    above.bar(places, [section.rows for section in sections], width=0.9, color=GREY)
    above.set_ylabel("rows")
    above.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    _shares(below, sections, list(found.classes))
    _marks(below, sections)
    step = -(-len(sections) // TICKS)
    below.set_xticks(list(places)[::step], [shortened(section.name, 18) for section in sections[::step]])
    below.tick_params(axis="x", labelsize=SMALL, rotation=30 if len(sections) > 6 else 0)
    for label in below.get_xticklabels() if len(sections) > 6 else []:
        label.set_horizontalalignment("right")
        label.set_rotation_mode("anchor")
    kind = f"{len(sections)} periods" if found.periods else f"{len(sections)} groups" if found.groups else "all rows"
    of = f" of '{found.label}'" if found.label else ""
    headed(
        figure, f"{found.name}: {sum(found.rows.values()):,} rows, {kind}, {len(found.classes)} classes{of}", [], WIDTH
    )
    handles, labels = below.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda place: labels[place].startswith("a class is"))  # marks come last
    figure.legend(
        [handles[one] for one in order],
        [labels[one] for one in order],
        loc="outside lower left",
        ncols=4,
        fontsize=SMALL,
    )
    return figure


def _shares(axes: Axes, sections: Sequence[Section], names: Sequence[str]) -> None:
    """Bars of 100 %, the most frequent class at the bottom."""
    totals = [sum(section.counts[place] for section in sections) for place in range(len(names))]
    ranked = sorted(range(len(names)), key=lambda place: -totals[place])
    shown = ranked if len(ranked) <= CLASSES + 1 else ranked[:CLASSES]
    bottom = [0.0] * len(sections)
    colours = (BLUE, *(colour for colour in COLOURS if colour not in (BLUE, GREY, INK)), GREY, INK)
    for place, colour in zip(shown, colours, strict=False):
        heights = [100 * section.shares[place] for section in sections]
        axes.bar(range(len(sections)), heights, 0.9, bottom, color=colour, label=shortened(names[place], 24))
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
    if len(shown) < len(ranked):
        label = f"{len(ranked) - len(shown)} others"
        axes.bar(range(len(sections)), [100 - low for low in bottom], 0.9, bottom, color=REST, label=label)
    axes.set_ylim(0, 100)
    axes.set_ylabel("class shares (%)")


def _marks(axes: Axes, sections: Sequence[Section]) -> None:
    """Above the bars: where classes come that were not there before, and where some are gone."""
    new = [place for place, section in enumerate(sections) if section.new and place]
    gone = [place for place, section in enumerate(sections) if section.gone]
    for places, height, marker, face, label in (
        (new, 104, "^", INK, "a class is new"),
        (gone, 110, "v", "white", "a class is gone"),
    ):
        if places:
            heights = [height] * len(places)
            axes.plot(
                places, heights, marker, color=INK, markerfacecolor=face, markersize=4, clip_on=False, label=label
            )
