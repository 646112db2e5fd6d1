"""Pictures of what a network holds: inputs run backwards, and what its first layer looks for."""

from __future__ import annotations

import math
from base64 import b64decode
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from clbench.analysis.diagnosis import Diagnosis
from clbench.errors import UserError
from clbench.render.plots.style import WIDTH, shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 2
ROWS = {"inputs": "inputs", "regenerated": "regenerated", "vectors": "singular vectors"}


def backwards(title: str, found: Sequence[Diagnosis]) -> Figure:
    """A panel per method: images, what the reverse pass makes of their logits, and the first right singular vectors of
    the first layer, each stretched over its own range; of the first seed after the last stage.

    Raises UserError if no run has kept them.
    """
    from matplotlib.figure import Figure

    shown = [one for one in found if one.pictures]
    if not shown:
        raise UserError("--picture backwards: these runs did not keep images. Run with --diagnostics.")
    rows = math.ceil(len(shown) / COLUMNS)
    figure = Figure(figsize=(WIDTH, 1.3 * rows + 0.5), layout="constrained")
    figure.suptitle(shortened(title, 80), x=0.01, ha="left", fontsize=10)
    for axes, one in zip(figure.subplots(rows, COLUMNS, squeeze=False).flat, [*shown, *[None] * rows], strict=False):
        if one is None:
            axes.remove()
            continue
        kept = {words: _pixels(one.pictures[key]) for key, words in ROWS.items() if key in one.pictures}
        axes.imshow(_mosaic(list(kept.values())), cmap="gray", vmin=0, vmax=255, interpolation="none")
        places = [(place + 0.5) * axes.get_ylim()[0] / len(kept) for place in range(len(kept))]
        axes.set_yticks(places, list(kept), fontsize=7)
        axes.set_xticks([])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_title(shortened(one.label, 30), fontsize=8)
    return figure


def _pixels(picture: Any) -> Any:
    """Images [n, height, width, channels] of a Result; grey ones, and those of other than three channels, have one."""
    import numpy as np

    images = np.frombuffer(b64decode(picture["pixels"]), dtype=np.uint8).reshape(picture["shape"])
    return images.transpose(0, 2, 3, 1) if images.shape[1] == 3 else images.mean(1, keepdims=True).transpose(0, 2, 3, 1)


def _mosaic(rows: Sequence[Any]) -> Any:
    """Images beside and above each other, all as large as the largest, on white."""
    import numpy as np

    size = max(max(images.shape[1:3]) for images in rows)
    count = max(len(images) for images in rows)
    gap = max(1, size // 14)
    canvas = np.full((len(rows) * (size + gap), count * (size + gap), 3), 255, dtype=np.uint8)
    for row, images in enumerate(rows):
        factor = size // max(images.shape[1:3])
        for column, image in enumerate(images):
            large = image.repeat(factor, 0).repeat(factor, 1)
            top, left = row * (size + gap), column * (size + gap)
            canvas[top : top + large.shape[0], left : left + large.shape[1]] = large
    return canvas
