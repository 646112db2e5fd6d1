"""Checkpoints of one run: how far it is, as JSON, beside its tensors in a safetensors file.

A run keeps at most two: the last task boundary, and a moment inside the task that follows, which builds on it. The
JSON file names the tensors by sha256 and carries a checksum, so that it alone decides: it is written last, and what
does not match is passed over.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save

from clbench import store
from clbench.config import RunConfig
from clbench.engine.state import StateError, Tree
from clbench.errors import Remark, UserError
from clbench.store.folders import Folder

FORMAT = 1
FOLDER = ".checkpoints"
BEGINNING = "beginning"  # what the first task's moments build on: a run that has just been made
NAME = re.compile(r"(\d{6})-(\d{9})\.json")


class StoppedError(Exception):
    """The run was asked to stop; what it had is kept, if it keeps checkpoints."""


class CannotContinueError(UserError):
    """There is a checkpoint, but not for this run as it is now."""


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


@dataclass(frozen=True)
class Moment:
    """A checkpoint that was read: the stages that are finished, steps of the next, its state, and R so far."""

    stage: int
    step: int
    tree: Tree
    progress: dict[str, Any]
    checksum: str


class Keeper:
    """Writes and reads one run's checkpoints. ``identity``: what must be the same for a run to go on."""

    def __init__(self, config: RunConfig, identity: Mapping[str, Any], settings: Checkpoints) -> None:
        self.config = config
        self.identity = dict(identity)
        self.settings = settings
        self.folder = settings.folder
        self._last = time.monotonic()
        self._boundary = (0, BEGINNING)  # the latest that is kept: its stage and checksum
        self._own = folder_of(config)

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
            checksum = self._write(f"{stage:06}-{step:09}", capture(), progress | {"stage": stage, "step": step})
            self._boundary = self._boundary if step else (stage, checksum)
            self._remove(keep={f"{stage:06}-{step:09}", f"{stage:06}-{0:09}"})
        except StateError as error:
            self._give_up(f"{error}, which no checkpoint can hold")
        except OSError as error:
            self._give_up(f"the folder {self.folder} cannot be written ({error.strerror or error})")
        self._last = time.monotonic()

    def _write(self, name: str, tree: Tree, progress: dict[str, Any]) -> str:
        assert self.folder is not None
        tensors = save({key: value.cpu() for key, value in tree.memory.items()} or {"none": _nothing()})
        content = {
            "format": FORMAT,
            "identity": self.identity,
            "config": self.config.model_dump(mode="json", exclude={"tuned"}),
            "tensors": hashlib.sha256(tensors).hexdigest(),
            "boundary": self._boundary[1] if progress["step"] else None,
            "progress": progress,
            "root": tree.root,
            "nodes": tree.nodes,
        }
        content["checksum"] = store.digest(content)
        self.folder.write(f"{self._own}/{name}.safetensors", tensors)
        self.folder.write(f"{self._own}/{name}.json", json.dumps(content, ensure_ascii=False).encode())
        return str(content["checksum"])

    def _give_up(self, why: str) -> None:
        warnings.warn(Remark(f"this run goes on without checkpoints: {why}."), stacklevel=2)
        self.folder = None

    def _remove(self, keep: set[str]) -> None:
        assert self.folder is not None
        for name in self.folder.names(self._own):
            if name.rpartition("/")[2].partition(".")[0] not in keep:
                self.folder.remove(name)

    # Reading.

    def read(self) -> tuple[Moment | None, Moment | None]:
        """Return the last task boundary and the moment after it, of those that are whole.

        Raises UserError if they are another version's, or if only another config has some.
        """
        if self.folder is None or not self.settings.resume:
            return None, None
        found = [self._moment(name) for name in self.folder.names(self._own) if name.endswith(".json")]
        known = [one for one in found if one is not None]
        if not known:
            self._refuse_others()
        last = max((moment for moment, _ in known if not moment.step), key=lambda one: one.stage, default=None)
        if last is not None:
            self._boundary = (last.stage, last.checksum)
        inside = [moment for moment, base in known if moment.step and base == self._boundary[1]]
        return last, max(inside, key=lambda one: one.step, default=None)

    def _moment(self, name: str) -> tuple[Moment, str | None] | None:
        """A checkpoint, and the checksum of the one that it builds on; None if it is damaged."""
        assert self.folder is not None
        content = _json(self.folder, name)
        if content is None:
            return None
        self._check(content)
        try:
            raw = self.folder.read(name.removesuffix(".json") + ".safetensors")
            if hashlib.sha256(raw).hexdigest() != content["tensors"]:
                return None
            tree = Tree(content["root"], content["nodes"], load(raw))
        except (OSError, SafetensorError):
            return None
        progress = content["progress"]
        moment = Moment(progress["stage"], progress["step"], tree, progress, content["checksum"])
        return moment, content["boundary"]

    def _check(self, content: Mapping[str, Any]) -> None:
        """Refuse what another version wrote, with the difference."""
        theirs = {"checkpoint format": content["format"], **content["identity"]}
        ours = {"checkpoint format": FORMAT, **self.identity}
        different = _differences(ours, theirs)
        if different:
            raise CannotContinueError(
                f"The checkpoint in {self.folder}/{self._own} cannot be continued: {different}. Its R would not be "
                "that of an unbroken run. Use what began it, or leave --resume out to begin anew."
            )

    def _refuse_others(self) -> None:
        """Say so if the same strategy, scenario and seed were begun with other settings."""
        assert self.folder is not None
        mine = self.config.model_dump(mode="json", exclude={"tuned"})
        for name in self.folder.names(FOLDER):
            content = _json(self.folder, name) if NAME.fullmatch(name.rpartition("/")[2]) else None
            if content is None or not all(_named(content["config"], key) == _named(mine, key) for key in SAME):
                continue
            raise CannotContinueError(
                "There is no checkpoint of this run, but one of the same strategy, scenario and seed with other "
                f"settings: {_differences(store.flat(mine), store.flat(content['config']))}. Give the same settings, "
                "or leave --resume out to begin anew."
            )


def folder_of(config: RunConfig) -> str:
    """Where a run's checkpoints are in its results folder."""
    return f"{FOLDER}/{config.run_id[:16]}"


def discard(config: RunConfig, folder: Folder) -> None:
    """Remove the checkpoints of a run whose Result is written."""
    for name in folder.names(folder_of(config)):
        folder.remove(name)


SAME = ("strategy", "scenario", "seed")


def _named(config: Mapping[str, Any], key: str) -> Any:
    value = config.get(key)
    return value["name"] if isinstance(value, dict) else value


def _differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    keys = [key for key in {**theirs, **ours} if ours.get(key) != theirs.get(key)]
    return ", ".join(f"{key} is {ours.get(key)} here and {theirs.get(key)} there" for key in keys)


def _json(folder: Folder, name: str) -> dict[str, Any] | None:
    """A checkpoint's JSON, if it is whole."""
    try:
        content = json.loads(folder.read(name))
        checksum = content.pop("checksum")
        if checksum != store.digest(content):
            return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return {**content, "checksum": checksum}


def _nothing() -> Any:
    import torch

    return torch.zeros(1)
