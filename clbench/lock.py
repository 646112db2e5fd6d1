"""Locks between processes: files that the system locks, and unlocks when their process ends, however it does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(file: Path, wait: bool = True) -> Iterator[int | None]:
    """Hold the lock of a file, which is made, and yield its handle; None if it is taken and not to be waited for.

    Raises OSError if the file cannot be made.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield handle if _take(handle, wait) else None
    finally:
        os.close(handle)


def _take(handle: int, wait: bool) -> bool:
    try:
        import fcntl
    except ModuleNotFoundError:  # a system without such locks
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True
