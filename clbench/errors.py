"""Errors that a user can fix: one message, with the next step in it. And remarks."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from difflib import get_close_matches

LONGEST = 500  # characters of an error that is quoted


class UserError(Exception):
    """Something the user can fix. The command line prints the message as one paragraph and exits with ``exit_code``.

    The message names the key or file, says what was expected and what to do next.
    """

    exit_code = 2


class InterruptedWorkError(UserError):
    """The work was stopped on purpose, by a signal; the exit code is the shell's for it: 130 for Ctrl-C."""

    def __init__(self, message: str, number: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.exit_code = 128 + number


class UnwritableError(UserError):
    """Results cannot be written, so that there is no point in going on."""


class UnreachableError(UserError, OSError):
    """A store behind a URL does not answer, or refuses: for whoever takes care of failing files one of those."""


class Remark(UserWarning):
    """Something a user should know although the work goes on; the command line prints it as one line, once."""


def in_words(error: BaseException) -> str:
    """Return an error of somebody else's code on one line, without a full stop.

    >>> in_words(ValueError("no such width."))
    'ValueError: no such width'
    """
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:LONGEST].rstrip(". ")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the nearest of the known names, or an empty string.

    >>> did_you_mean("ewk", ["ewc", "naive"])
    " Did you mean 'ewc'?"
    """
    near = get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" Did you mean '{near[0]}'?" if near else ""
