"""Rows that are there more than once: what memory alone would answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clbench.data.dataset import Array, Dataset
from clbench.data.profile import BLOCK

ODD = np.uint64(0x9E3779B97F4A7C15)
SHIFT = np.uint64(29)


@dataclass(frozen=True)
class Repeats:
    """Share of rows whose features are those of a row that was trained on, with its label and with another.

    among: 'earlier' (of all rows, those that came before in time) or 'training' (of test rows, training rows).
    """

    among: str
    same: float
    other: float

    @property
    def share(self) -> float:
        """With either label."""
        return self.same + self.other


def repeats(data: Dataset) -> Repeats:
    """Find rows of a dataset that are there more than once, by a 64-bit hash of their features."""
    if data.train.times is not None and data.undivided:
        return among_earlier(hashes(data.train.samples), data.train.labels)
    train, test = data.rows("train"), data.rows("test")
    known = hashes(data.train.samples)
    tested = known if data.undivided else hashes(data.test.samples)
    return among_training(known[train], data.train.labels[train], tested[test], data.test.labels[test])


def hashes(samples: Array) -> Array:
    """Return uint64 [n]: equal where samples are, and by all odds only there (splitmix64's mixing, Steele et al. 2014).

    Of two different rows out of ten million the odds to agree are 3 in a million.
    """
    flat = samples.reshape(len(samples), -1)
    out = np.empty(len(flat), np.uint64)
    for start in range(0, len(flat), BLOCK):
        block = flat[start : start + BLOCK]
        values = (block + np.float32(0)).view(np.uint32) if block.dtype == np.float32 else block  # −0 is 0
        state = np.zeros(len(block), np.uint64)
        for column in np.ascontiguousarray(values.T):
            state = _mixed(state ^ column.astype(np.uint64))
        out[start : start + BLOCK] = state
    return out


def _mixed(state: Array) -> Array:
    state = (state + ODD) * np.uint64(0xBF58476D1CE4E5B9)
    mixed: Array = (state ^ (state >> SHIFT)) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(32)
    return mixed


def among_earlier(keys: Array, labels: Array) -> Repeats:
    """Of rows in order, those that repeat an earlier one; the label is compared with the latest of these."""
    order = np.argsort(keys, kind="stable")
    again = keys[order][1:] == keys[order][:-1]
    same = labels[order][1:] == labels[order][:-1]
    return Repeats("earlier", float((again & same).sum()) / len(keys), float((again & ~same).sum()) / len(keys))


def among_training(train: Array, train_labels: Array, test: Array, test_labels: Array) -> Repeats:
    """Of test rows, those that repeat a training row; with its label, if any such training row has it."""
    labelled = _mixed(train ^ train_labels.astype(np.uint64)), _mixed(test ^ test_labels.astype(np.uint64))
    again, same = np.isin(test, train), np.isin(labelled[1], labelled[0])
    return Repeats("training", float((again & same).mean()), float((again & ~same).mean()))
