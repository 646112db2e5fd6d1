"""An array's rows as samples: images, codes or numbers, by its type and shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from clbench.data import parts
from clbench.data.dataset import Array
from clbench.errors import UserError

CHANNELS = 4  # an image has so many at most


def samples_of(x: Array, name: str, codes: bool, room: Path | None) -> Array:
    """Return samples as they are kept: uint8 images [n, channels, height, width], int64 codes, or float32 numbers.

    What has to be converted is put into a file of the folder ``room``, or into memory. Raises UserError, which calls
    the array ``name``, for arrays of text or objects, of another shape, or with infinite numbers.
    """
    if x.dtype.kind not in "biuf" or x.ndim < 2 or not x.size:
        raise UserError(
            f"{name} is {x.dtype} of shape {x.shape}. Expected numbers, one row a sample: [n, columns], or uint8 "
            "images [n, height, width]. Text and objects must be made vectors of numbers first."
        )
    if codes:
        return _codes(x, name, room)
    if x.dtype == np.uint8 and x.ndim in (3, 4):
        return _images(x, name, room)
    out = x if x.dtype == np.float32 else parts.scratch(x.shape, np.float32, room)
    for here in parts.chunks(x):
        with np.errstate(over="ignore"):
            block = x[here].astype(np.float32)
        if np.isinf(block).any():
            row = here.start + int(np.flatnonzero(np.isinf(block).reshape(len(block), -1).any(1))[0]) + 1
            raise UserError(f"{name} is infinite in row {row:,}. Put NaN where a number is not known.")
        if out is not x:
            out[here] = block
    return out


def _codes(x: Array, name: str, room: Path | None) -> Array:
    if x.dtype.kind not in "iu" or x.min() < 0:
        raise UserError(
            f"data.codes: {name} is {x.dtype}; codes are whole numbers from 0. Give such, or leave codes out."
        )
    out = parts.scratch(x.shape, np.int64, room)
    for here in parts.chunks(x):
        out[here] = x[here]
    return out


def _images(x: Array, name: str, room: Path | None) -> Array:
    """uint8 images as [n, channels, height, width]."""
    if x.ndim == 3:
        return x[:, None]
    if x.shape[1] <= CHANNELS:
        return x
    if x.shape[3] > CHANNELS:
        raise UserError(
            f"{name} is uint8 of shape {x.shape}: neither [n, channels, height, width] nor [n, height, width, "
            f"channels] with at most {CHANNELS} channels. Reshape it, or make it float if it is no image."
        )
    out = parts.scratch((len(x), x.shape[3], *x.shape[1:3]), np.uint8, room)
    for here in parts.chunks(x, 1):
        out[here] = x[here].transpose(0, 3, 1, 2)
    return out
