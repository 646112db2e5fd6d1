"""What runs pieces of work, wherever that is."""

from __future__ import annotations

import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from clbench.errors import UnwritableError, UserError

Stopping = Callable[[], bool]
Work = Callable[[Stopping], Any]  # picklable; asks now and then whether it should stop


@dataclass(frozen=True)
class Outcome:
    """How a piece of work ended: with a value, with a failure in words, or stopped because it was asked to.

    ``hopeless``: other work would fail in the same way.
    """

    key: str
    value: Any = None
    failure: str | None = None
    stopped: bool = False
    hopeless: bool = False


class Executor(ABC):
    """Runs up to ``slots`` pieces of work at once; each has a key.

    A context: leaving it ends everything that still runs, at once.
    """

    slots: int

    @abstractmethod
    def submit(self, key: str, work: Work) -> None:
        """Begin a piece of work; the caller keeps to ``slots``."""

    @abstractmethod
    def wait(self, seconds: float) -> list[Outcome]:
        """Return what has ended, after so many seconds at the latest."""

    @abstractmethod
    def stop(self) -> None:
        """Ask all work to stop where it can be continued; it is still waited for."""

    @abstractmethod
    def close(self) -> None:
        """End everything at once."""

    def __enter__(self) -> Executor:
        """Nothing to prepare."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End what is left."""
        self.close()


def attempt(key: str, work: Work, stopping: Stopping) -> Outcome:
    """Do a piece of work and say how it ended; only what ends the process gets past this."""
    from clbench.checkpoints.checkpoint import StoppedError

    try:
        return Outcome(key, work(stopping))
    except StoppedError:
        return Outcome(key, stopped=True)
    except UserError as error:
        return Outcome(key, failure=str(error), hopeless=isinstance(error, UnwritableError))
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{last.filename.rpartition('/')[2]}, line {last.lineno}"
        return Outcome(key, failure=f"{type(error).__name__}: {error} ({where})")


class InlineExecutor(Executor):
    """Works in this process, one piece at a time: no other process to start."""

    slots = 1

    def __init__(self, stopping: Stopping) -> None:
        self._stopping = stopping
        self._ended: list[Outcome] = []

    def submit(self, key: str, work: Work) -> None:
        """Do it, now."""
        self._ended.append(attempt(key, work, self._stopping))

    def wait(self, seconds: float) -> list[Outcome]:
        """What has been done since."""
        found, self._ended = self._ended, []
        return found

    def stop(self) -> None:
        """Work asks by itself."""

    def close(self) -> None:
        """Nothing is left."""
