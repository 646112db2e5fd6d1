"""Augmentation of a whole batch at once, on the device."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

PADDING = 4


class Augment:
    """Random horizontal flips and shifted crops of uint8 images [n, channels, height, width].

    crop: each image is padded with PADDING black pixels and a window of the old size is cut at a random place, drawn
    for each image. Random numbers come from ``generator``, on the images' device.
    """

    def __init__(self, flip: bool, crop: bool, generator: torch.Generator) -> None:
        self.flip = flip
        self.crop = crop
        self.generator = generator

    def __call__(self, images: Tensor) -> Tensor:
        """Return the augmented batch."""
        n, channels, height, width = images.shape
        device = images.device
        if self.flip:
            chosen = torch.rand((n, 1, 1, 1), generator=self.generator, device=device) < 0.5
            images = torch.where(chosen, images.flip(-1), images)
        if self.crop:
            padded = functional.pad(images, [PADDING] * 4)
            corner = torch.randint(2 * PADDING + 1, (2, n, 1), generator=self.generator, device=device)
            rows = (corner[0] + torch.arange(height, device=device)).reshape(n, 1, height, 1)
            columns = (corner[1] + torch.arange(width, device=device)).reshape(n, 1, 1, width)
            which = torch.arange(n, device=device).reshape(n, 1, 1, 1)
            channel = torch.arange(channels, device=device).reshape(1, channels, 1, 1)
            images = padded[which, channel, rows, columns]
        return images
