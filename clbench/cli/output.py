"""Where the command line prints: machines read stdout; people read it too, unless it is not a terminal."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

UNWRAPPED = 10_000


def for_people() -> Console:
    """Return a console on stdout if that is a terminal, else on stderr."""
    from rich.console import Console

    return Console(stderr=not sys.stdout.isatty())


def for_tables() -> Console:
    """Return a console for a table that was asked for: stdout in any case; no terminal is as wide as $COLUMNS says, or
    as any table.
    """
    from rich.console import Console

    if sys.stdout.isatty():
        return Console()
    columns = os.environ.get("COLUMNS", "")
    return Console(width=int(columns) if columns.isdigit() and int(columns) > 0 else UNWRAPPED)


def complain(message: str) -> None:
    """Print one paragraph to stderr."""
    from rich.console import Console

    Console(stderr=True).print(f"clbench: {message}", style="red", markup=False, highlight=False, soft_wrap=True)


def note(message: str) -> None:
    """Print one remark to stderr."""
    from rich.console import Console

    Console(stderr=True).print(message, style="yellow", markup=False, highlight=False, soft_wrap=True)
