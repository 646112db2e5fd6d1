"""One run of a sweep, as a piece of work that can be sent to a worker."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from clbench.sweeps.executor import Stopping

if TYPE_CHECKING:
    from clbench.config import RunConfig
    from clbench.data.sources import DataPlace
    from clbench.engine.run import Machine
    from clbench.progress import Reporter
    from clbench.store import Result


@dataclass(frozen=True)
class Surroundings:
    """What all runs of a sweep share and no config says. ``results``: a folder or URL; ``minutes`` between checkpoints
    inside a task.
    """

    place: DataPlace
    results: str
    device: str = "auto"
    threads: int | None = None
    minutes: float = 5.0
    diagnostics: bool = False
    plugins: Sequence[Path] = ()

    def with_threads(self, threads: int) -> Surroundings:
        """With so many threads for each run, unless it was said how many."""
        return self if self.threads is not None else replace(self, threads=threads)


@dataclass(frozen=True)
class Done:
    """A run that has ended: 'ok' or 'diverged', and where its seconds went."""

    status: str
    reason: str | None
    data: float
    train: float
    evaluate: float
    write: float
    total: float


@dataclass(frozen=True)
class RunWork:
    """Run a config, or what is left of it, and write its Result.

    Boundaries of tasks are kept where they lie this many seconds apart: a shorter run is quicker run again than kept.
    """

    config: RunConfig
    surroundings: Surroundings
    SECONDS = 20.0

    def __call__(self, stopping: Stopping) -> Done:
        """Do it, in a worker. Raises StoppedError if it was asked to stop, UserError as a run does."""
        from clbench import store
        from clbench.checkpoints.checkpoint import Checkpoints
        from clbench.checkpoints.moments import CannotContinueError, discard, folder_of
        from clbench.engine.run import Machine, run

        around = self.surroundings
        for path in around.plugins:
            _know(path)
        begun = time.perf_counter()
        folder = store.open_folder(around.results)
        machine = Machine(around.place, around.device, around.threads, around.diagnostics)
        begun_before = bool(folder.names(folder_of(self.config)))
        keeping = Checkpoints(folder, around.minutes, self.SECONDS, begun_before, stopping)
        try:
            result = run(self.config, machine, None, keeping)
        except CannotContinueError:  # what is there is of no use any more
            discard(self.config, folder)
            result = run(self.config, machine, None, replace(keeping, resume=False))
        ended = time.perf_counter()
        store.write_to(result, folder)
        discard(self.config, folder)
        train = sum(cost.train_seconds for cost in result.cost)
        evaluate = sum(cost.evaluate_seconds for cost in result.cost)
        written = time.perf_counter()
        data = max(ended - begun - train - evaluate, 0.0)
        return Done(result.status, result.reason, data, train, evaluate, written - ended, written - begun)


@dataclass(frozen=True)
class RealRun:
    """Run a config and keep nothing of it: a trial."""

    machine: Machine

    def __call__(self, config: RunConfig, reporter: Reporter, stopping: Stopping) -> Result:
        """Return the Result."""
        from clbench.checkpoints.checkpoint import Checkpoints
        from clbench.engine.run import run

        return run(config, self.machine, reporter, Checkpoints(stopping=stopping))


@cache
def _know(plugin: Path) -> None:
    """Make a plugin file's units known, once in each worker."""
    from clbench import registry

    registry.add_plugin(plugin)
