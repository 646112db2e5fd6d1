"""Data that a program has in memory: known to runs by their fingerprint while the program lends them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from clbench.data.dataset import Dataset, Raw

FINGERPRINT = "fingerprint"  # the option of ``data`` that says which data a run is of
WITH = (FINGERPRINT, "slots")  # the options that data in memory may have


@dataclass(frozen=True)
class Held:
    """A dataset in memory as it is, and as images of other sizes, which are made when they are asked for."""

    data: Dataset
    raw: Raw
    _sized: dict[int, Dataset] = field(default_factory=dict)

    def at(self, image_size: int | None, scaled: Callable[[str, Raw, int], Dataset]) -> Dataset:
        """Return it at an image size; ``scaled`` makes images of another."""
        if image_size is None:
            return self.data
        if image_size not in self._sized:
            self._sized[image_size] = scaled(self.data.name, self.raw, image_size)
        return self._sized[image_size]


_lent: dict[str, Held] = {}


def held(said: Mapping[str, Any]) -> Held | None:
    """Return what options of ``data`` name, if a program lends it now."""
    return _lent.get(str(said.get(FINGERPRINT)))


@contextmanager
def lent(one: Held) -> Iterator[None]:
    """Let runs find a dataset by its fingerprint for a while."""
    before = _lent.get(one.data.fingerprint)
    _lent[one.data.fingerprint] = one
    try:
        yield
    finally:
        if before is None:
            del _lent[one.data.fingerprint]
        else:
            _lent[one.data.fingerprint] = before
