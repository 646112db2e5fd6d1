"""Who is told of runs by the command line: the people in front of it, or a machine that wants silence."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from clbench.api.carry import Audience, Stop
from clbench.cli.output import complain, for_people
from clbench.cli.stopping import gently
from clbench.render.progress import shown, waiting

if TYPE_CHECKING:
    from clbench.config import RunConfig
    from clbench.progress import Reporter
    from clbench.store import Result


class People(Audience):
    """A live bar on a terminal, lines elsewhere; Ctrl-C and SIGTERM stop where it can be continued."""

    again = "The same command with --resume"

    def __init__(self, silent: bool) -> None:
        self.silent = silent

    def waiting(self, what: str) -> AbstractContextManager[None]:
        """Say so on a terminal."""
        return nullcontext() if self.silent else waiting(for_people(), what)

    def progress(self, config: RunConfig, place: int, count: int) -> list[Reporter]:
        """Show the run."""
        console = for_people()
        return [] if self.silent else [shown(console, console.is_terminal, config, place, count)]

    def gently(self, keeps: bool) -> AbstractContextManager[Stop]:
        """Stop gently in any case: without checkpoints at the next step."""
        return gently()

    def ended(self, result: Result) -> None:
        """Complain of a run that diverged."""
        if result.status == "diverged":
            complain(f"Seed {result.seed} diverged: {result.reason}. Lower optimizer.lr, or the strategy's strength.")
