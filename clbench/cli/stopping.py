"""Ctrl-C while training: the first time the work stops where it can be continued, the second time at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from clbench.cli.output import note
from clbench.errors import InterruptedWorkError


class InterruptedAtOnceError(BaseException):
    """Ctrl-C; no KeyboardInterrupt, since Typer would make a bare word of that."""


class Stopping:
    """Whether the work should stop; called, it says so. ``number``: the signal that asked first."""

    def __init__(self) -> None:
        self.asked = False
        self.number: int = signal.SIGINT

    def __call__(self) -> bool:
        """Say whether the work should stop."""
        return self.asked

    def hear(self, number: int, frame: Any) -> None:
        """A signal: ask to stop, or give up waiting for it."""
        if self.asked and number == signal.SIGINT:
            raise InterruptedAtOnceError
        if not self.asked:
            note("Stopping where it can be continued; once more stops at once.")
            self.number = number
        self.asked = True

    def error(self, message: str) -> InterruptedWorkError:
        """What to raise where the work has stopped."""
        return InterruptedWorkError(message, self.number)


def at_once(*_: object) -> None:
    """Stop on the first Ctrl-C."""
    raise InterruptedAtOnceError


@contextmanager
def gently() -> Iterator[Stopping]:
    """While in here, the first Ctrl-C (or SIGTERM, as batch systems send it) only asks to stop."""
    stopping = Stopping()
    before = {number: signal.signal(number, stopping.hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
