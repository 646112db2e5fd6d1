"""Images in a Result: bytes of their pixels."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import torch
from torch import Tensor


def as_pixels(images: Tensor) -> dict[str, Any]:
    """Images [n, channels, height, width] as uint8, each stretched over its own range, for JSON."""
    low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
    stretched = (images - low) / (high - low).clamp_min(1e-12) * 255
    pixels = stretched.nan_to_num().round().to(torch.uint8).cpu().contiguous()
    return {"shape": list(pixels.shape), "pixels": b64encode(pixels.numpy().tobytes()).decode()}
