"""What a run cost, as columns beside its metrics; the less the better."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from clbench.store import StageCost

# Of these only seconds depend on the machine and on what else it does.
Cost = Literal["samples", "memory", "state", "seconds"]
COSTS: tuple[Cost, ...] = ("samples", "memory", "state", "seconds")


def samples_of(stages: Iterable[StageCost]) -> int | None:
    """Samples that went through the network with gradients; None where an older clbench did not count them."""
    counts = [stage.samples for stage in stages]
    known = [count for count in counts if count is not None]
    return sum(known) if known and len(known) == len(counts) else None


def memory_of(stages: Iterable[StageCost]) -> int | None:
    """The most bytes of samples that were kept at any stage's end."""
    return _most([stage.memory_bytes for stage in stages])


def state_of(stages: Iterable[StageCost]) -> int | None:
    """The most bytes of anything else that were kept beside the network at any stage's end."""
    return _most([stage.state_bytes for stage in stages])


def _most(sizes: Sequence[int | None]) -> int | None:
    known = [size for size in sizes if size is not None]
    return max(known) if known and len(known) == len(sizes) else None
