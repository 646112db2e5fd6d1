"""Numbers beside marks, none upon another: near where there is room, else further away at the end of a thin line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from clbench.render.plots.style import GREY, INK, SMALL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Box = tuple[float, float, float, float]  # left, bottom, right, top
RADII = (6, 10, 14, 18, 23, 28, 34, 41, 49, 58, 68, 80)  # points
DIRECTIONS = 16
MARK = 2.6  # points: half a mark
LED = 10  # points from which a line leads to the number


def number(figure: Figure, axes: Axes, at: Sequence[tuple[float, float]], texts: Sequence[str]) -> None:
    """Put texts beside points; the layout is settled first, since places are found on paper.

    Each takes the first free place on rings around its mark. Those with the fewest neighbours choose last: they find
    room anyway.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    scale = 72 / figure.dpi
    middles = [tuple(scale * axes.transData.transform(point)) for point in at]
    frame = tuple(scale * value for value in axes.get_window_extent().extents)
    taken = [_box(middle, MARK, MARK) for middle in middles]
    crowded = sorted(range(len(at)), key=lambda one: -sum(math.dist(middles[one], other) < 30 for other in middles))
    for one in crowded:
        half = (0.31 * SMALL * len(texts[one]) + 0.5, 0.42 * SMALL)
        box, radius = _free(middles[one], half, taken, frame)
        taken.append(box)
        place = (box[0] + box[2]) / 2 - middles[one][0], (box[1] + box[3]) / 2 - middles[one][1]
        line = {"arrowstyle": "-", "color": GREY, "linewidth": 0.4, "shrinkA": 1, "shrinkB": 1}
        axes.annotate(
            texts[one], at[one], xytext=place, textcoords="offset points", ha="center", va="center_baseline",
            fontsize=SMALL, color=INK, arrowprops=line if radius >= LED else None, zorder=4,
        )  # fmt: skip


def _free(
    middle: Sequence[float], half: tuple[float, float], taken: Sequence[Box], frame: Sequence[float]
) -> tuple[Box, float]:
    """The first place around a mark that nothing else has, and how far it is; the first of all if there is none."""
    places = [
        (_box(_turned(middle, radius, turn, half), *half), radius) for radius in RADII for turn in range(DIRECTIONS)
    ]
    for box, radius in places:
        inside = frame[0] <= box[0] and frame[1] <= box[1] and box[2] <= frame[2] and box[3] <= frame[3]
        if inside and not any(_meet(box, other) for other in taken):
            return box, radius
    return places[0]


def _turned(middle: Sequence[float], radius: float, turn: int, half: tuple[float, float]) -> tuple[float, float]:
    """A point on an ellipse around the mark, wider by half the text; up and to the right comes first."""
    angle = math.pi / 4 + 2 * math.pi * turn / DIRECTIONS
    return middle[0] + (radius + half[0] - 3) * math.cos(angle), middle[1] + radius * math.sin(angle)


def _box(middle: Sequence[float], width: float, height: float) -> Box:
    return middle[0] - width, middle[1] - height, middle[0] + width, middle[1] + height


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
