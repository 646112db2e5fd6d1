"""Colours, marks and sizes: readable in print, and by people who see few colours."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from clbench.analysis.boards import Entry, Role

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito 2008: distinguishable with any kind of colour vision.
BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
GREY = "#808080"
INK = "#262626"
SEQUENTIAL = "cividis"  # even in lightness, made for colour-vision deficiency
WIDTHS = {"column": 3.3, "full": 6.8}  # inches, of a page with two columns
WIDTH = WIDTHS["full"]
SMALL = 6.5  # points, of what stands in a picture beside its title; 6 can still be read
MARKERS: dict[Role, str] = {"method": "o", "bound": "s", "control": "D"}

STYLE: dict[str, Any] = {
    "font.size": 9,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # matplotlib's own; an SVG names all of them at each text
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "lines.linewidth": 1.2,
    "legend.frameon": False,
    "pdf.fonttype": 42,  # text stays text
    "svg.fonttype": "none",
    "svg.hashsalt": "clbench",  # the same picture is the same file
    "savefig.dpi": 200,
}


@contextmanager
def styled(**more: Any) -> Iterator[None]:
    """Use this style, and no other that a user may have set."""
    import matplotlib

    params: Any = STYLE | more
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(params)
        yield


def mark(entry: Entry, colour: str, filled: bool) -> dict[str, Any]:
    """How a row is marked: methods, bounds and controls by shape, so that grey print tells; crosses learnt nothing."""
    if entry.spoilt:
        return {"marker": "x", "color": colour, "markersize": 4.5}
    face = colour if filled else "white"
    size = 4.5 if entry.role == "method" else 4
    return {"marker": MARKERS[entry.role], "color": colour, "markerfacecolor": face, "markersize": size}


def titled(axes: Axes, title: str, notes: Sequence[str], width: float) -> None:
    """A title, and below it what the picture leaves out."""
    axes.set_title(_head(title, notes, width), fontsize=SMALL + 1, linespacing=1.3)


def headed(figure: Figure, title: str, notes: Sequence[str], width: float) -> None:
    """The same above a figure of several panels."""
    figure.suptitle(_head(title, notes, width), x=0.01, ha="left", fontsize=SMALL + 1, linespacing=1.3)


def _head(title: str, notes: Sequence[str], width: float) -> str:
    letters = int(0.85 * width * 72 / (0.55 * (SMALL + 1)))
    lines = [line for note in notes for line in textwrap.wrap(note.replace("$", r"\$"), letters)]
    return "\n".join([shortened(title, letters), *lines])


def shortened(text: str, length: int = 34) -> str:
    """A long label with its middle left out, and nothing in it that matplotlib reads as mathematics."""
    if len(text) > length:
        text = f"{text[: length // 2]}…{text[-(length // 2 - 1) :]}"
    return text.replace("$", r"\$")
