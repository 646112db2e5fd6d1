"""Where numbers lie on a picture, on a page in per cent of its width or height, so that it fits every screen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

COSTS = ("samples", "memory", "state", "seconds")  # columns that differ by orders of magnitude
Tick = tuple[float, str, int]
BEYOND = 0.35  # of the span of the middles: how far intervals may widen an axis before they are cut


@dataclass(frozen=True)
class Axis:
    """From ``low`` to ``high``; ``log``: by orders of magnitude; ``down``: the low end at 100 %."""

    low: float
    high: float
    log: bool = False
    down: bool = False

    def place(self, value: float) -> float:
        """Return a value's place in per cent, that of the nearer end for one beyond the ends."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        inside = min(max(self._scaled(value), low), high)
        share = (inside - low) / (high - low)
        return round(100 * (1 - share if self.down else share), 2)

    def ticks(self, most: int = 8) -> list[Tick]:
        """Places and texts of round numbers, and which of them a narrow screen does without.

        On a logarithmic axis 1, 2 and 5 of each order, as far as there is room.
        """
        values = self.values(most)
        zero = values.index(0.0) if 0.0 in values else 0
        shown = enumerate(values)
        return [(self.place(v), text(v), int((n - zero) % 2)) for n, v in shown]

    def values(self, most: int) -> list[float]:
        """At most so many round numbers between the ends."""
        return _orders(self.low, self.high, most) if self.log else _round(self.low, self.high, most)

    def _scaled(self, value: float) -> float:
        return math.log10(max(value, self.low)) if self.log else value


def text(value: float) -> str:
    """A number at an axis."""
    return f"{value:g}".replace("-", "−")


def around(middles: Sequence[float], ends: Sequence[float], *, zero: bool = False) -> Axis:
    """An axis that shows all middles, with 0 if asked, and of their intervals' ``ends`` what leaves those readable."""
    shown = [*middles, 0.0] if zero else list(middles)
    low, high = min(shown), max(shown)
    widths = sorted(abs(end) for end in _beyond(ends, low, high))
    span = max(high - low, 2 * widths[len(widths) // 2] if widths else 0.0, 1e-9)
    least = max(min([low, *ends]), low - BEYOND * span)
    most = min(max([high, *ends]), high + BEYOND * span)
    pad = 0.03 * max(most - least, span)
    return Axis(least - pad, most + pad)


def of_costs(values: Sequence[float]) -> Axis:
    """A logarithmic axis for numbers above 0."""
    return Axis(min(values) / 1.15, max(values) * 1.15, log=True)


def _beyond(ends: Sequence[float], low: float, high: float) -> list[float]:
    return [end - high if end > high else end - low for end in ends if end > high or end < low]


def _round(low: float, high: float, most: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / most
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first = math.ceil(low / step)
    return [round(number * step, 10) for number in range(first, math.floor(high / step) + 1)]


def _orders(low: float, high: float, most: int) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        found = [factor * 10.0**power for power in powers for factor in factors if low <= factor * 10.0**power <= high]
        if len(found) <= most:
            return found
    return found[:: math.ceil(len(found) / most)]
