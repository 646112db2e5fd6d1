"""What a decoded dataset is: samples of one shape, their labels, and for tables when and where each was taken."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from clbench.errors import UserError

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]
PartName = Literal["train", "test"]
PARTS: tuple[PartName, PartName] = ("train", "test")
HELD_OUT = 0.2  # of rows that nobody has divided, for scenarios that need test samples


@dataclass(frozen=True)
class Columns:
    """What the columns of a table are: first ``numbers``, NaN where one is missing; then ``categories``, whose values
    are numbered in the order in which they come (0: missing), so that no number depends on a later row.

    ``label``, ``time`` and ``group`` name where labels, times and groups come from.
    """

    numbers: list[str]
    categories: list[str]
    label: str
    time: str | None = None
    group: str | None = None


@dataclass(frozen=True)
class Part:
    """Training or test samples [n, …], memory-mapped, with labels int64 [n]; tables may have more.

    times: of each row, ascending, float64 or seconds since 1970 as int64. groups: int64 [n]. previous: label of the row
    before in time, −1 for the first.
    """

    samples: Array
    labels: Array
    times: Array | None = None
    groups: Array | None = None
    previous: Array | None = None


@dataclass(frozen=True)
class Raw:
    """A dataset as its reader leaves it: uint8 images, or float32 samples of another shape, with their labels.

    ``test`` is None where nobody has divided the rows. ``official`` says whether these are the official release's
    bytes: True, False, or None where it cannot be told. ``coarse`` maps each class to its superclass, where the release
    has them; ``columns`` and ``groups`` are those of a table, ``calendar`` says that its times are seconds since 1970.
    """

    train: Part
    test: Part | None
    classes: list[str]
    official: bool | None
    coarse: list[int] | None = None
    columns: Columns | None = None
    groups: list[str] | None = None
    calendar: bool = False


@dataclass(frozen=True)
class Dataset:
    """A decoded dataset, memory-mapped: uint8 images [n, channels, height, width], or float32 of any one shape.

    ``mean`` and ``std`` are those of the training images (all, if undivided) per channel, in [0, 1]; other samples are
    scaled by what a stream has shown. A set that nobody has divided has all its rows in both parts (``undivided``);
    ``rows`` says which are whose. ``fingerprint`` is the sha256 of content and labels; ``official`` says whether they
    equal the official release (None: cannot be told).
    """

    name: str
    train: Part
    test: Part
    classes: list[str]
    coarse: list[int] | None
    mean: list[float]
    std: list[float]
    fingerprint: str
    official: bool | None
    columns: Columns | None = None
    groups: list[str] | None = None
    calendar: bool = False
    undivided: bool = False

    @property
    def train_samples(self) -> Array:
        """Training samples."""
        return self.train.samples

    @property
    def train_labels(self) -> Array:
        """Labels of the training samples."""
        return self.train.labels

    @property
    def test_samples(self) -> Array:
        """Test samples."""
        return self.test.samples

    @property
    def test_labels(self) -> Array:
        """Labels of the test samples."""
        return self.test.labels

    @property
    def shape(self) -> Shape:
        """Shape of a sample as it is kept: (channels, height, width) of an image, (columns,) of a table's row."""
        return tuple(self.train.samples.shape[1:])

    @property
    def is_images(self) -> bool:
        """Whether samples are images."""
        return self.train.samples.dtype == np.uint8 and len(self.shape) == 3

    def part(self, name: PartName) -> Part:
        """Return one of the two parts."""
        return self.train if name == "train" else self.test

    def rows(self, part: PartName, chosen: Array | None = None) -> Array:
        """Indices of a part's samples, ascending: all, or those of the classes c for which ``chosen[c]`` is true."""
        found = self.part(part).labels
        mine = np.ones(len(found), bool) if not self.undivided else self._held_out == (part == "test")
        return np.flatnonzero(mine if chosen is None else mine & chosen[found])

    @cached_property
    def _held_out(self) -> Array:
        """Which rows of an undivided table are test rows: of each class (in each group) a fifth, drawn once for all."""
        labels, groups = self.train.labels, self.train.groups
        kinds = labels if groups is None else labels + len(self.classes) * groups
        random = np.random.default_rng(0)
        shuffled = random.permutation(len(labels))
        order = shuffled[np.argsort(kinds[shuffled], kind="stable")]
        _, starts, counts = np.unique(kinds[order], return_index=True, return_counts=True)
        place = np.arange(len(order)) - np.repeat(starts, counts)
        chosen = np.zeros(len(labels), bool)
        chosen[order[place < np.repeat(np.ceil(counts * HELD_OUT) * (counts > 1), counts)]] = True
        return chosen

    def require_images(self, family: str) -> None:
        """Raise UserError if samples are no images."""
        if not self.is_images:
            raise UserError(
                f"scenario: '{family}' changes the pixels of images, and '{self.name}' has none. Use split, domain, "
                "time or blurry, which only choose rows."
            )
