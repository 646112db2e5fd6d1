"""Requests to forget single images."""

from __future__ import annotations

import numpy as np

from clbench.data.dataset import Dataset
from clbench.data.streams import Stream
from clbench.errors import UserError
from clbench.registry import Count, Share, scenario

from ._forget import RECIPES, request_stream, training_rows


@scenario("forget-images", version=1, recipes=RECIPES, kind="domain")
def forget_images(data: Dataset, seed: int, *, share: Share = 0.1, images: Count | None = None) -> Stream:
    """Learn all classes; then a random share of the training images must be forgotten on request.

    Golatkar et al. 2021 (arXiv:2012.13431): what was removed should be known no better than test images,
    and everything else as well as before. R's columns: test images, the removed training images, the kept training
    images. Only strategies that answer requests run on it, and fine-tuning ('naive'), which here ignores them.
    share: of the training images that is to be forgotten, drawn by seed. images: how many training images there are,
    drawn by seed (default: all).
    """
    rows = training_rows(data, seed, images)
    count = round(share * len(rows))
    if not 0 < count < len(rows):
        raise UserError(
            f"scenario.share: {share} of {len(rows):,} training images is {count:,}, and some must go and some stay. "
            "Choose another share."
        )
    removed = np.zeros(len(rows), bool)
    removed[np.random.default_rng([seed, 12]).permutation(len(rows))[:count]] = True
    return request_stream(data, rows, removed, None)
