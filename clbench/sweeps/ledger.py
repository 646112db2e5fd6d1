"""What a sweep writes down beside the Results: what it consists of, what failed and why, how far it is.

All of it is in ``.sweeps`` in the results folder, and none of it is needed for the Results to be right: which runs are
done is decided by which Results are there.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from clbench.errors import UserError
from clbench.lock import locked
from clbench.store import Folder, LocalFolder, names, unwritable

if TYPE_CHECKING:
    from clbench.config import RunConfig

FOLDER = ".sweeps"
Note = TypeVar("Note")


@dataclass
class Failure:
    """A run that failed: how often, and why last."""

    run: str
    label: str
    attempts: int
    reason: str


@dataclass
class Progress:
    """How far a sweep is. ``seconds`` and ``ended`` are those of this sitting; ``running``: labels of runs."""

    plan: str
    total: int
    began: str
    process: str
    seconds: float = 0.0
    ended: int = 0
    running: list[str] = field(default_factory=list)
    closed: bool = False


class Ledger:
    """The notes of one plan in one results folder. ``runs``: the Result's name of each run, by run id."""

    def __init__(self, folder: Folder, plan: str) -> None:
        self.folder = folder
        self.own = f"{FOLDER}/{plan}"

    def begin(self, runs: dict[str, str]) -> None:
        """Note what the plan consists of. Raises UserError if the folder cannot be written."""
        self._write("runs.json", runs)

    def runs(self) -> dict[str, str]:
        """What was noted then."""
        return self._read("runs.json") or {}

    def present(self) -> set[str]:
        """The names of all Results in the folder, packed ones with them."""
        return set(names(self.folder))

    def failures(self) -> dict[str, Failure]:
        """The runs that failed, by run id."""
        names = [name.removeprefix(f"{self.own}/") for name in self.folder.names(f"{self.own}/failed")]
        found = [_made(Failure, self._read(name)) for name in names]
        return {one.run: one for one in found if one is not None}

    def failed(self, failure: Failure) -> None:
        """Note a failure."""
        self._write(f"failed/{failure.run[:16]}.json", asdict(failure))

    def forgive(self, run: str) -> None:
        """Forget a run's failures."""
        self.folder.remove(f"{self.own}/failed/{run[:16]}.json")

    def tell(self, progress: Progress) -> None:
        """Note how far the sweep is; a store that is away for a moment does not stop it."""
        try:
            self._write("progress.json", asdict(progress))
        except UserError:
            return

    def progress(self) -> Progress | None:
        """What was told last."""
        return _made(Progress, self._read("progress.json"))

    def _write(self, name: str, content: Any) -> None:
        try:
            self.folder.write(f"{self.own}/{name}", json.dumps(content, ensure_ascii=False, indent=1).encode())
        except OSError as error:
            raise unwritable(self.folder, error) from None

    def _read(self, name: str) -> Any:
        try:
            return json.loads(self.folder.read(f"{self.own}/{name}"))
        except (OSError, ValueError):
            return None


def _made(kind: type[Note], content: Any) -> Note | None:
    """A note from what was written down; None if it is damaged or another clbench's."""
    try:
        return kind(**content)
    except TypeError:
        return None


def label(config: RunConfig) -> str:
    """A run in a few words."""
    return f"{config.strategy['name']} on {config.scenario['name']}, seed {config.seed} ({config.run_id[:12]})"


def left(configs: Iterable[RunConfig], folder: Folder) -> list[RunConfig]:
    """Return the runs that have no Result in a folder, in order."""
    present = set(names(folder))
    return [config for config in configs if config.result_name not in present]


def known_plans(folder: Folder) -> list[str]:
    """The plans that a folder has notes of, the one that told last at the end."""
    plans = [name.split("/")[1] for name in folder.names(FOLDER) if name.endswith("/runs.json")]
    told = {plan: Ledger(folder, plan).progress() for plan in plans}
    return sorted(plans, key=lambda plan: (told[plan] is not None, getattr(told[plan], "began", "")))


def now() -> str:
    """The time, for people."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def this_process() -> str:
    """Who is writing."""
    return f"process {os.getpid()} on {socket.gethostname()}"


@contextmanager
def alone(folder: Folder, plan: str, scratch: Path) -> Iterator[None]:
    """Be the only sweep that writes to a folder, as long as this process lives; UserError if another is.

    The lock is the system's own and ends with the process, so none is ever left over. For a store behind a URL it
    lies in ``scratch`` and holds on this machine only.
    """
    if isinstance(folder, LocalFolder):
        file = folder.path / FOLDER / "lock"
    else:
        file = scratch / "locks" / hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    with ExitStack() as stack:
        try:
            handle = stack.enter_context(locked(file, wait=False))
        except OSError as error:
            raise unwritable(folder, error) from None
        if handle is None:
            other = file.read_text(errors="replace").strip() or "it does not say which"
            raise UserError(
                f"A sweep is writing to {folder} already ({other}). Wait until it has ended, or name another folder "
                "with --results."
            )
        os.ftruncate(handle, 0)
        os.write(handle, f"{plan}, {this_process()}, since {now()}".encode())
        yield


def is_running(folder: Folder) -> bool | None:
    """Whether a sweep is writing to a folder of this machine; None where that cannot be told."""
    if not isinstance(folder, LocalFolder):
        return None
    file = folder.path / FOLDER / "lock"
    if not file.exists():
        return False
    try:
        with locked(file, wait=False) as handle:
            return handle is None
    except OSError:  # a folder that can only be read
        return None
