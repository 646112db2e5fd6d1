"""Which shapes of samples a network takes."""

from __future__ import annotations

from clbench.errors import UserError
from clbench.registry import Shape


def image_shape(name: str, shape: Shape) -> tuple[int, int, int]:
    """Return (channels, height, width); UserError for samples that are no images, which network ``name`` needs."""
    if len(shape) != 3:
        raise UserError(
            f"model: '{name}' needs images [channels, height, width]; the stream's samples are {list(shape)}. For "
            "vectors use --model linear or --model mlp."
        )
    channels, height, width = shape
    return channels, height, width
