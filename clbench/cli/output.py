"""Where the command line prints: machines read stdout; people read it too, unless it is not a terminal."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from clbench.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

UNWRAPPED = 10_000
SHOWN_NOTES = 10


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


def say(line: str, console: Console | None = None) -> None:
    """Print a line as it is, for people if no console is named."""
    (console or for_people()).print(line, markup=False, highlight=False, soft_wrap=True)


def left_out(sentences: Sequence[str]) -> None:
    """Name files that were left out; of many the first ones."""
    for sentence in sentences[:SHOWN_NOTES]:
        note(f"Left out: {sentence}")
    if len(sentences) > SHOWN_NOTES:
        note(f"Left out: {len(sentences) - SHOWN_NOTES} more files.")


def write_json(content: object) -> None:
    """Write a value to stdout as JSON."""
    sys.stdout.write(json.dumps(content, indent=1) + "\n")


def agreed(question: str, unasked: str, refused: str) -> None:
    """Ask a question; raise UserError, with ``unasked`` where nobody is there to be asked, if it is not agreed to."""
    import typer

    if not sys.stdin.isatty():
        raise UserError(unasked)
    if not typer.confirm(question, err=True):
        raise UserError(refused)
