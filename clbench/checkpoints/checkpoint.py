"""When a run's checkpoints are written, and which of them are kept.

A run keeps at most two: the last task boundary, and a moment inside the task that follows, which builds on it.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from clbench.checkpoints import moments
from clbench.checkpoints.moments import Moment
from clbench.checkpoints.state import StateError, Tree
from clbench.config import RunConfig
from clbench.errors import Remark
from clbench.store.folders import Folder

BEGINNING = "beginning"  # what the first task's moments build on: a run that has just been made


class StoppedError(Exception):
    """The run was asked to stop; what it had is kept, if it keeps checkpoints."""


@dataclass
class Checkpoints:
    """Where a run's checkpoints go and how often they are written.

    minutes: time between two inside a task. seconds: least time between two at task boundaries. ``stopping`` is asked
    before each step whether the run should stop; it then writes a last one. Without a folder nothing is written.
    """

    folder: Folder | None = None
    minutes: float = 5.0
    seconds: float = 0.0
    resume: bool = False
    stopping: Callable[[], bool] = field(default=lambda: False)


class Keeper:
    """Writes and reads one run's checkpoints. ``identity``: what must be the same for a run to go on."""

    def __init__(self, config: RunConfig, identity: Mapping[str, Any], settings: Checkpoints) -> None:
        self.config = config
        self.identity = dict(identity)
        self.settings = settings
        self.folder = settings.folder
        self._last = time.monotonic()
        self._boundary = (0, BEGINNING)  # the latest that is kept: its stage and checksum

    # When.

    def due_at_boundary(self) -> bool:
        """Whether a task boundary is kept."""
        return self.folder is not None and time.monotonic() - self._last >= self.settings.seconds

    def due_inside(self) -> bool:
        """Whether a moment inside a task is kept; also when the run is about to stop."""
        if self.settings.stopping():
            return True
        return self.folder is not None and time.monotonic() - self._last >= 60 * self.settings.minutes

    # Writing.

    def write(self, stage: int, step: int, capture: Callable[[], Tree], progress: dict[str, Any]) -> None:
        """Write a checkpoint and remove those that it replaces; a remark, and no more of them, if that fails."""
        if self.folder is None:
            return
        if step and self._boundary[0] != stage:
            return  # nothing to build on: strategies prepare a stage from where the last one ended
        try:
            moment = Moment(stage, step, capture(), progress, self._boundary[1] if step else None)
            checksum = moments.write(self.folder, self.config, self.identity, moment)
            self._boundary = self._boundary if step else (stage, checksum)
            moments.keep(self.folder, self.config, {(stage, step), (stage, 0)})
        except StateError as error:
            self._give_up(f"{error}, which no checkpoint can hold")
        except OSError as error:
            self._give_up(f"the folder {self.folder} cannot be written ({error.strerror or error})")
        self._last = time.monotonic()

    def _give_up(self, why: str) -> None:
        warnings.warn(Remark(f"this run goes on without checkpoints: {why}."), stacklevel=2)
        self.folder = None

    def read(self) -> tuple[Moment | None, Moment | None]:
        """Return the last task boundary and the moment after it, of those that are whole.

        Raises CannotContinueError if they are another version's, or if only another config has some.
        """
        if self.folder is None or not self.settings.resume:
            return None, None
        known = moments.read(self.folder, self.config, self.identity)
        if not known:
            moments.refuse_others(self.folder, self.config)
        last = max((one for one in known if not one.step), key=lambda one: one.stage, default=None)
        if last is not None:
            self._boundary = (last.stage, last.checksum)
        inside = [one for one in known if one.step and one.base == self._boundary[1]]
        return last, max(inside, key=lambda one: one.step, default=None)
