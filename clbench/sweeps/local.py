"""The local executor: processes that import once and do many pieces of work, one after another.

A worker that dies – a segmentation fault, the system's out-of-memory killer – costs the piece of work it was at, and
is replaced. Workers follow the process that started them into death, so that no orphan goes on computing.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import ModuleType
from typing import Any

from clbench.sweeps.executor import Executor, Outcome, Work, attempt

PRELOADED = ["clbench.engine.run"]
FORKING = sys.platform == "linux"


@dataclass(frozen=True)
class Slot:
    """What one worker may use: cores to stay on, threads, and a GPU's number."""

    cores: tuple[int, ...]
    gpu: int | None
    log: Path | None


def slots(workers: int | None, gpus: int = 0, log: Path | None = None) -> list[Slot]:
    """Divide the machine: a worker for each GPU if there are any, else one for each core, unless told."""
    available = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [*range(os.cpu_count() or 1)]
    count = workers or gpus or len(available)
    share = max(len(available) // count, 1)
    return [
        Slot(
            tuple(available[place * share % len(available) :][:share]),
            place % gpus if gpus else None,
            log,
        )
        for place in range(count)
    ]


def start_early() -> None:
    """Begin to import what workers need, beside whatever this process does meanwhile."""
    _context()
    if FORKING:
        from multiprocessing import forkserver

        forkserver.ensure_running()


def _context() -> Any:
    # Not forked from here: torch's threads do not survive that. A server that has imported and done nothing else does.
    context = multiprocessing.get_context("forkserver" if FORKING else "spawn")
    if FORKING:
        context.set_forkserver_preload(PRELOADED)
    return context


class LocalExecutor(Executor):
    """Worker processes on this machine, one for each slot; each is started when it is first needed."""

    def __init__(self, places: Sequence[Slot]) -> None:
        self.slots = len(places)
        self._context = _context()
        self._places = list(places)
        self._free: list[_Worker] = []
        self._busy: list[_Worker] = []

    def submit(self, key: str, work: Work) -> None:
        """Give a free worker its next piece of work."""
        while self._free:
            worker = self._free.pop()
            if worker.give(key, work):
                self._busy.append(worker)
                return
            self._places.append(worker.slot)  # it died while idle
        worker = _Worker(self._context, self._places.pop(0))
        worker.give(key, work)
        self._busy.append(worker)

    def wait(self, seconds: float) -> list[Outcome]:
        """Wait for workers that answer or die."""
        ready = wait([one for worker in self._busy for one in (worker.line, worker.process.sentinel)], seconds)
        found = []
        for worker in list(self._busy):
            if worker.line in ready or worker.process.sentinel in ready:
                self._busy.remove(worker)
                outcome = worker.answer()
                if outcome is None:
                    found.append(Outcome(worker.key, failure=worker.cause_of_death()))
                    self._places.append(worker.slot)
                else:
                    found.append(outcome)
                    self._free.append(worker)
        return found

    def stop(self) -> None:
        """Send SIGTERM, which workers understand."""
        for worker in self._busy:
            worker.process.terminate()

    def close(self) -> None:
        """Kill."""
        for worker in (*self._busy, *self._free):
            worker.process.kill()
            worker.process.join()
            worker.line.close()
        self._busy, self._free = [], []


class _Worker:
    """A process, the line to it, and what it works at."""

    def __init__(self, context: Any, slot: Slot) -> None:
        self.slot = slot
        self.key = ""
        self.line, theirs = context.Pipe()
        watched, self._lifeline = context.Pipe(duplex=False)
        self.process = context.Process(target=_serve, args=(theirs, watched, slot), daemon=True)
        with _without_main():
            self.process.start()
        theirs.close()
        watched.close()

    def give(self, key: str, work: Work) -> bool:
        """Hand work over; False if the process is gone."""
        self.key = key
        try:
            self.line.send((key, work))
        except OSError:
            return False
        return True

    def answer(self) -> Outcome | None:
        """What it says, or None if it died without a word."""
        try:
            outcome: Outcome = self.line.recv()
        except (EOFError, OSError):
            return None
        return outcome

    def cause_of_death(self) -> str:
        """In words."""
        self.process.join(5)
        code = self.process.exitcode
        if code is None or code >= 0:
            return f"its process ended without an answer (exit code {code})"
        name = signal.Signals(-code).name if -code in {*signal.Signals} else f"signal {-code}"
        hint = "; often the system was out of memory" if name == "SIGKILL" else ""
        return f"its process was killed ({name}{hint})"


@contextmanager
def _without_main() -> Iterator[None]:
    """Start a process that does not run the program's own file again, as Python would have it do.

    Work knows nothing of that file; a script without a guard would begin anew in each worker.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _serve(line: Connection, lifeline: Connection, slot: Slot) -> None:
    """A worker's life: prepare once, then one piece of work after another until the line is closed."""
    asked = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks workers to stop
    signal.signal(signal.SIGTERM, lambda *_: asked.set())
    threading.Thread(target=_follow, args=(lifeline,), daemon=True).start()
    if slot.log is not None:
        _write_to(slot.log)
    if slot.cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, slot.cores)
    if slot.gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(slot.gpu)
    warnings.simplefilter("ignore")  # what matters is in the outcome
    while True:
        try:
            key, work = line.recv()
        except (EOFError, OSError):
            return
        line.send(attempt(key, work, asked.is_set))


def _follow(lifeline: Connection) -> None:
    """End with the process that started this one, however it ended."""
    try:
        lifeline.recv()
    except (EOFError, OSError):
        os._exit(1)


def _write_to(log: Path) -> None:
    """Let everything that would be printed go to a file, the last words of a crash too."""
    log.parent.mkdir(parents=True, exist_ok=True)
    stream = open(log, "a", buffering=1)  # noqa: SIM115
    os.dup2(stream.fileno(), 1)
    os.dup2(stream.fileno(), 2)
    faulthandler.enable(stream)
