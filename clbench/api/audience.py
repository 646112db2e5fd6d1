"""Who is told when a program runs something: its terminal or notebook, and whoever presses Ctrl-C."""

from __future__ import annotations

import importlib.util
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from clbench.api.carry import Audience, Never, Stop

if TYPE_CHECKING:
    from rich.console import Console

    from clbench.config import RunConfig
    from clbench.progress import Reporter
    from clbench.sweeps.study import Trial


class Program(Audience):
    """A program: a bar on a terminal or in a notebook, lines elsewhere, all on stderr; nothing if ``quiet``."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet

    def progress(self, config: RunConfig, place: int, count: int) -> list[Reporter]:
        """Show the run."""
        from clbench.render.progress import shown

        return [] if self.quiet else [shown(console(), live(console()), config, place, count)]

    def gently(self, keeps: bool) -> AbstractContextManager[Stop]:
        """Take Ctrl-C for a wish where there is a checkpoint to be written; else it is Python's own."""
        return interruptible(self.note) if keeps else nullcontext(Never())

    def trial(self, number: int, count: int, trial: Trial) -> None:
        """Hear what a trial of a search reached."""
        from clbench.render import tuning

        self.note(tuning.trial(number, count, trial.settings, trial.mean))

    def note(self, message: str) -> None:
        """Say something to people."""
        if not self.quiet:
            console().print(message, markup=False, highlight=False, soft_wrap=True)


def console() -> Console:
    """Return where a program's progress goes: stderr, or the notebook's cell."""
    from rich.console import Console

    return Console(stderr=True)


def live(place: Console) -> bool:
    """Whether a place can show a bar that moves: rich draws one in notebooks with ipywidgets only."""
    return place.is_terminal or (place.is_jupyter and importlib.util.find_spec("ipywidgets") is not None)


class _Asked:
    """A first Ctrl-C asks to stop, a second one stops at once."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self.note = note
        self.asked = False

    def __call__(self) -> bool:
        """Say whether the work should stop."""
        return self.asked

    def hear(self, number: int, frame: Any) -> None:
        """Hear Ctrl-C."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        self.note("Stopping where it can be continued; once more stops at once.")

    def error(self, message: str) -> BaseException:
        """Return Python's own exception, with what to do next."""
        return KeyboardInterrupt(message)


@contextmanager
def interruptible(note: Callable[[str], None]) -> Iterator[Stop]:
    """While in here a first Ctrl-C only asks to stop, unless the program has a way of its own or is in another thread.

    Raises KeyboardInterrupt at the end if the work ended before it noticed.
    """
    mine = threading.current_thread() is threading.main_thread()
    if not mine or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield Never()
        return
    asked = _Asked(note)
    signal.signal(signal.SIGINT, asked.hear)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if asked.asked and sys.exc_info()[0] is None:
            raise KeyboardInterrupt("Stopped: this was written, and nothing after it was begun.")
