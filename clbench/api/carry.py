"""Runs carried out: what ``clbench run`` and ``clbench.run`` do, whoever asks and whoever is told."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from clbench import registry, store
from clbench.config import layers
from clbench.config.layers import Section
from clbench.config.shipped import shipped_recipe
from clbench.errors import UserError
from clbench.progress import Reporter, Reporters

if TYPE_CHECKING:
    from clbench.config import RunConfig
    from clbench.engine.run import Machine

WRITABLE = ".writable"


@dataclass(frozen=True)
class Order:
    """What to run, as layers of a configuration, on what, and where to keep it.

    ``tuned``: below them, the settings that clbench ships. Without ``results``, a folder or URL, nothing is written.
    ``minutes`` between checkpoints inside a task, 0: none are kept. ``resume``: finished runs are read, others go on.
    ``weights``: the final ones are kept beside each Result.
    """

    layers: Sequence[Section]
    tuned: bool = False
    device: str = "auto"
    threads: int | None = None
    results: str | Path | None = None
    resume: bool = False
    minutes: float = 5.0
    data_root: str | Path | None = None
    offline: bool = False
    plugins: Sequence[str | Path] = ()
    trackers: Sequence[str] = ()
    log_dir: str | Path = "logs"
    diagnostics: bool = False
    weights: bool = False


class Stop(Protocol):
    """Whether work should stop, and what is raised where it has."""

    def __call__(self) -> bool:
        """Say whether it should."""

    def error(self, message: str) -> BaseException:
        """Return what to raise; the message says how the work goes on."""


class Never:
    """Work that nobody stops gently."""

    def __call__(self) -> bool:
        """Say no."""
        return False

    def error(self, message: str) -> BaseException:
        """Return something, though it never comes to that."""
        return KeyboardInterrupt(message)


class Audience:
    """Who hears of runs, and may stop them: nobody."""

    again = "The same call with resume=True"

    def waiting(self, what: str) -> AbstractContextManager[None]:
        """Say what takes a while."""
        return nullcontext()

    def progress(self, config: RunConfig, place: int, count: int) -> list[Reporter]:
        """Return listeners to a run, the ``place``-th of so many."""
        return []

    def gently(self, keeps: bool) -> AbstractContextManager[Stop]:
        """Let somebody ask for an end where the work can be continued, if the run ``keeps`` checkpoints."""
        return nullcontext(Never())

    def ended(self, result: store.Result) -> None:
        """Hear of a run that has ended, well or not."""


@dataclass(frozen=True)
class Ended:
    """A run's Result, and where it was written: a path or URL; None if it was not. Its weights, if they were."""

    result: store.Result
    where: str | None
    weights: str | None = None


def carry_out(order: Order, audience: Audience) -> list[Ended]:
    """Run a configuration, seed by seed; write each Result, if there is where to.

    Raises UserError for what can be corrected, and what ``audience`` raises where it has stopped the work.
    """
    from clbench.analysis.load import uncollected
    from clbench.config import resolve

    for path in order.plugins:
        registry.add_plugin(Path(path))
    base = _shipped(order.layers) if order.tuned else {}
    if order.resume and order.results is None:
        raise UserError(
            "resume: nothing is kept without a folder. Name the one that was written to: results='results'."
        )
    if order.weights and order.results is None:
        raise UserError("save_model: weights are kept beside Results. Name a folder for both: results='results'.")
    folder = None if order.results is None else store.open_folder(order.results)
    if folder is not None:
        _check_writable(folder)
    # torch makes many lasting objects; collecting garbage meanwhile would look at them again and again
    with uncollected(), audience.waiting("loading torch and Avalanche"):
        from clbench.data.sources import DataPlace

        place = DataPlace.default(None if order.data_root is None else Path(order.data_root), order.offline)
        configs = resolve(base, *order.layers, place=place)

        from clbench.engine.run import Machine
        from clbench.trackers import check_installed

    for name in order.trackers:
        check_installed(name)
    machine = Machine(place, order.device, order.threads, order.diagnostics)
    return [
        _one(config, machine, order, folder, audience, number, len(configs))
        for number, config in enumerate(configs, start=1)
    ]


def _one(
    config: RunConfig,
    machine: Machine,
    order: Order,
    folder: store.Folder | None,
    audience: Audience,
    number: int,
    count: int,
) -> Ended:
    """Run one seed, with everybody told, or read what is there of it."""
    from clbench.checkpoints.checkpoint import Checkpoints, StoppedError
    from clbench.engine.run import complete, run
    from clbench.trackers import open_tracker

    finished = config.result_name
    if folder is not None and order.resume and store.has(finished, folder):
        there = _ended(store.parsed(store.raw(finished, folder), f"{folder}/{finished}"), finished, folder, order)
        if there.weights is None or folder.exists(store.weights_name(finished)):
            return there
    kept = folder if order.minutes else None
    listeners: list[Reporter] = [
        open_tracker(name, config, Path(order.log_dir), order.offline) for name in order.trackers
    ]
    listeners += audience.progress(config, number, count)
    with closing(Reporters(listeners)) as reporter, audience.gently(kept is not None) as stopping:
        checkpoints = Checkpoints(kept, order.minutes, resume=order.resume, stopping=stopping)
        try:
            if folder is None:
                done = Ended(run(config, machine, reporter, checkpoints), None)
            else:
                written = complete(config, machine, folder, reporter, checkpoints, order.weights)
                done = _ended(*written, folder, order)
        except StoppedError:
            then = "goes on" if kept else "begins this seed anew: without checkpoints nothing of it is kept"
            raise stopping.error(f"Stopped in seed {config.seed}. {audience.again} {then}.") from None
    audience.ended(done.result)
    return done


def _ended(result: store.Result, name: str, folder: store.Folder, order: Order) -> Ended:
    """A run that has left a Result of this name, and weights if they are wanted and worth keeping."""
    kept = order.weights and result.status == "ok"
    return Ended(result, f"{folder}/{name}", f"{folder}/{store.weights_name(name)}" if kept else None)


def _shipped(given: Sequence[Section]) -> Section:
    """Settings that clbench ships for the strategy and scenario of layers."""
    told = layers.merge(*given)
    names = [str(told.get(section, {}).get("name") or "") or None for section in ("strategy", "scenario")]
    return shipped_recipe(names[0], names[1] or "split-digits")


def _check_writable(folder: store.Folder) -> None:
    """Find out before training whether the Result can be written."""
    try:
        folder.write(WRITABLE, b"")
        folder.remove(WRITABLE)
    except OSError as error:
        raise store.unwritable(folder, error) from None
