"""The model of warm starts as a table and a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from clbench.data.feature_model import Round
from clbench.render.plots.style import BLUE, INK, VERMILION, WIDTH
from clbench.render.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Rounds = Mapping[str, Sequence[Round]]


def table(found: Rounds, shown: int) -> Table:
    """Accuracy, features and memorised points at a few rounds, evenly spread, and all steps up to there."""
    rounds = len(next(iter(found.values())))
    chosen = sorted({1 + round(i * (rounds - 1) / max(shown - 1, 1)) for i in range(shown)})
    rows = [
        [
            start,
            str(number),
            f"{100 * course[number - 1].accuracy:.1f}",
            str(course[number - 1].learnt),
            f"{course[number - 1].memorised:,}",
            f"{sum(one.steps for one in course[:number]):,}",
        ]
        for start, course in found.items()
        for number in chosen
    ]
    header = ["start", "round", "accuracy, %", "features learnt", "points memorised", "steps so far"]
    return Table("", header, rows, right=frozenset(range(1, 6)))


def figure(found: Rounds) -> Figure:
    """Accuracy, features, memorised points and steps over rounds, a line per way to start."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(WIDTH, 4.2), layout="constrained")
    quantities: dict[str, Callable[[Sequence[Round]], list[float]]] = {
        "accuracy (%)": lambda course: [100 * one.accuracy for one in course],
        "features learnt": lambda course: [one.learnt for one in course],
        "points memorised": lambda course: [one.memorised for one in course],
        "steps so far": lambda course: list(accumulate(one.steps for one in course)),
    }
    panels = drawn.subplots(2, 2).flat
    for axes, (title, read) in zip(panels, quantities.items(), strict=True):
        # cold lies broad below, since ideal nearly covers it
        styles = zip(found.items(), (BLUE, VERMILION, INK), ("-", "--", ":"), (4.0, 1.4, 1.4), strict=True)
        for (start, course), colour, line, width in styles:
            alpha = 0.5 if width > 2 else 1.0
            axes.plot(
                range(1, len(course) + 1), read(course), line, color=colour, linewidth=width, alpha=alpha, label=start
            )
        axes.set_title(title)
        axes.grid(alpha=0.3)
    axes.set_xlabel("round")
    axes.legend()
    return drawn
