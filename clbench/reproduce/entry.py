"""What an entry of the registry is: a set-up, its arms, and what a paper says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Section = dict[str, Any]


@dataclass(frozen=True)
class Published:
    """A number of a paper: an arm's mean of a metric, in [0, 1].

    ``tolerance`` is the published spread or, where none is given, how far the number can be trusted: rounding, one
    seed, read off a figure. Ours is within if it is no further away than that and the half-width of its own 95 %
    interval together.
    """

    arm: str
    metric: str
    value: float
    tolerance: float


@dataclass(frozen=True)
class Claim:
    """An order that a paper states: ``better`` beats ``worse`` in a metric, by seeds in pairs.

    ``metric`` may also be a quantity of 'clbench diagnose', of which more is better, as it is after the last stage. It
    holds if the 95 % interval of the difference lies on its side of 0, fails if on the other, and is open between.
    """

    better: str
    worse: str
    metric: str


@dataclass(frozen=True)
class Entry:
    """One reproduction.

    ``setting`` is what all arms share, ``arms`` what each adds, as in a YAML config; ``differs`` says how that is not
    the source's set-up, ``minutes`` what it takes on two cores, ``needs`` which data. ``control``
    is an arm whose mean stands beside published numbers. ``diagnostics`` are measured if asked for, of the first
    ``diagnosed`` seeds (None: of all); ``pictures`` are those of 'clbench diagnose' that are drawn beside the Results.
    """

    name: str
    source: str
    what: str
    setting: Section
    arms: Mapping[str, Section]
    published: Sequence[Published] = ()
    claims: Sequence[Claim] = ()
    seeds: int = 5
    minutes: float = 1.0
    differs: str = ""
    needs: Sequence[str] = ("mnist",)
    control: str | None = None
    diagnostics: bool = False
    diagnosed: int | None = None
    pictures: Sequence[str] = ()
