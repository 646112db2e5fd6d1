"""Colours, marks and sizes: readable in print, and by people who see few colours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Okabe and Ito 2008: distinguishable with any kind of colour vision.
BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
GREY = "#808080"
INK = "#262626"
SEQUENTIAL = "cividis"  # even in lightness, made for colour-vision deficiency
WIDTH = 6.4  # inches

STYLE: dict[str, Any] = {
    "font.size": 9,
    "font.family": "sans-serif",
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


def shortened(text: str, length: int = 34) -> str:
    """A long label with its middle left out, and nothing in it that matplotlib reads as mathematics."""
    if len(text) > length:
        text = f"{text[: length // 2]}…{text[-(length // 2 - 1) :]}"
    return text.replace("$", r"\$")
