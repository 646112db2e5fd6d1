"""Running what an entry still lacks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from clbench import store
from clbench.config import RunConfig, resolve
from clbench.data.sources import DataPlace
from clbench.reproduce.entry import Entry


@dataclass(frozen=True)
class Job:
    """One run: an arm of an entry with one seed. ``images``: are those of the reverse pass shown, and so kept?"""

    entry: str
    arm: str
    config: RunConfig
    folder: Path
    diagnostics: bool
    images: bool = False


def jobs(entry: Entry, folder: Path, seeds: int | None = None) -> list[Job]:
    """Every run of an entry, seed by seed, so that what was stopped has whole seeds."""
    count = seeds or entry.seeds
    configs = {arm: resolve(entry.setting, layer, {"seeds": count}) for arm, layer in entry.arms.items()}
    place = folder / entry.name
    return [
        Job(
            entry.name,
            arm,
            configs[arm][seed],
            place / store.slug(arm),
            entry.diagnostics and (entry.diagnosed is None or seed < entry.diagnosed),
            images="backwards" in entry.pictures,
        )
        for seed in range(count)
        for arm in entry.arms
    ]


def missing(found: Sequence[Job]) -> list[Job]:
    """The runs that have no Result yet."""
    return [job for job in found if not store.has(job.config.result_name, store.LocalFolder(job.folder))]


def run_all(found: Sequence[Job], place: DataPlace, processes: int) -> Iterator[tuple[Job, store.Result]]:
    """Run jobs side by side, one thread each, and write their Results; yield each as it is done."""
    # Spawned: torch's threads do not survive a fork.
    with ProcessPoolExecutor(max(1, min(processes, len(found))), mp_context=get_context("spawn")) as pool:
        running = {pool.submit(_run, job, place): job for job in found}
        try:
            for done in as_completed(running):
                yield running[done], done.result()
        except BaseException:
            for left in running:
                left.cancel()
            raise


def _run(job: Job, place: DataPlace) -> store.Result:
    from clbench.engine.run import Machine, run

    result = run(job.config, Machine(place, "cpu", threads=1, diagnostics=job.diagnostics))
    if not job.images:
        kept = {name: measured for name, measured in result.diagnostics.items() if name != "pictures"}
        result = result.model_copy(update={"diagnostics": kept})
    store.write(result, job.folder)
    return result
