"""What runs cost, for people: counts and bytes with a unit that suits each."""

from __future__ import annotations

from clbench.analysis.statistics import Estimate, Interval

_BYTES = 1024, (" B", " KiB", " MiB", " GiB", " TiB")
# Columns → how many of a unit make one of the next, and the units.
KINDS = {"samples": (1000, ("", " k", " M", " G", " T")), "memory": _BYTES, "state": _BYTES}


def amount(value: float, column: str) -> str:
    """A count of samples or bytes in a few digits: '120 k', '392 KiB', '7.5 MiB', '0 B'."""
    step, units = KINDS[column]
    size, place = abs(value), 0
    while size >= step - 0.5 and place < len(units) - 1:
        size, place = size / step, place + 1
    digits = 1 if 0 < size < 9.95 and place else 0
    return f"{'-' if value < 0 and round(size, digits) else ''}{size:.{digits}f}{units[place]}"


def estimated(found: Estimate, column: str, interval: Interval = "t") -> str:
    """The mean over seeds, and its interval where they differ: most methods cost the same whatever the seed."""
    mean = amount(found.mean, column)
    if found.low is None or found.high is None or found.half_width is None or found.low == found.high:
        return mean
    if interval == "t":
        return f"{mean} ± {amount(found.half_width, column)}"
    return f"{mean} [{amount(found.low, column)}, {amount(found.high, column)}]"
