"""Plans carried out: what ``clbench sweep`` and ``clbench.sweep`` do, whoever asks and whoever is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from clbench import registry, store
from clbench.errors import UserError
from clbench.sweeps import local
from clbench.sweeps.plan import Plan

if TYPE_CHECKING:
    from clbench.config import RunConfig
    from clbench.sweeps.conduct import Tally
    from clbench.sweeps.estimate import Estimate
    from clbench.sweeps.executor import Executor
    from clbench.sweeps.on_ray import GivenData
    from clbench.sweeps.work import Surroundings


@dataclass(frozen=True)
class SweepOrder:
    """What to run, where, and where to keep it: a folder or URL.

    ``gpus``: local, how many are shared out; ray, how many a run takes. ``forgive``: what failed too often is tried
    again. ``minutes`` between checkpoints inside a task.
    """

    plan: Plan
    name: str
    results: str
    executor: Literal["local", "ray"] = "local"
    workers: int | None = None
    threads: int | None = None
    device: str = "auto"
    gpus: float = 0
    address: str | None = None
    forgive: bool = False
    minutes: float = 5.0
    data_root: str | Path | None = None
    offline: bool = False
    plugins: Sequence[str | Path] = ()
    diagnostics: bool = False

    @property
    def around(self) -> Surroundings:
        """What all runs share and no config says."""
        from clbench.data.sources import DataPlace
        from clbench.sweeps.work import Surroundings

        return Surroundings(
            DataPlace.default(None if self.data_root is None else Path(self.data_root), self.offline),
            self.results if "://" in self.results else str(Path(self.results).absolute()),
            self.device,
            self.threads,
            self.minutes,
            self.diagnostics,
            tuple(Path(path).absolute() for path in self.plugins),
        )


def expanded(order: SweepOrder, starting: bool = True) -> list[RunConfig]:
    """Return the runs of a plan; if they are to be started, workers begin to import meanwhile.

    Raises UserError for what no run can be made of, and if there is none.
    """
    from clbench.sweeps.expand import expand

    for path in order.plugins:
        registry.add_plugin(Path(path))
    if starting and order.executor == "local":
        local.start_early()
    configs = expand(order.plan, order.around.place)
    if not configs:
        raise UserError(f"{order.name}: 'exclude' leaves no run. Narrow its patterns.")
    return configs


def conduct(
    order: SweepOrder, configs: list[RunConfig], told: Callable[[Tally], None], stopping: Callable[[], bool]
) -> Tally:
    """Run what is left of a plan and say how that went; ``told`` hears of every change.

    Raises UserError if another sweep is writing to the folder, or Results cannot be written.
    """
    from clbench.sweeps.conduct import Sweep
    from clbench.sweeps.ledger import Ledger, alone
    from clbench.sweeps.work import RunWork

    folder = store.open_folder(order.results)
    executor, around = _executor(order, configs, folder)
    with executor() as workers, alone(folder, order.name, around.place.cache):
        sweep = Sweep(configs, Ledger(folder, order.plan.digest[:12]), order.plan.retries, order.forgive)
        return sweep.conduct(workers, lambda config: RunWork(config, around), order.name, told, stopping)


def left(order: SweepOrder, configs: list[RunConfig]) -> list[RunConfig]:
    """Return the runs of a plan that have no Result yet."""
    from clbench.sweeps.ledger import left

    return left(configs, store.open_folder(order.results))


def estimated(order: SweepOrder, configs: list[RunConfig]) -> tuple[Estimate, int]:
    """Return how long runs take on this machine, from short ones that are run now, and how many workers it has."""
    from clbench.engine.run import Machine, run
    from clbench.sweeps.estimate import estimate

    around, found = order.around, local.slots(order.workers)
    machine = Machine(around.place, around.device, around.threads or len(found[0].cores))
    return estimate(configs, lambda config: run(config, machine)), len(found)


def _executor(
    order: SweepOrder, configs: list[RunConfig], folder: store.Folder
) -> tuple[Callable[[], Executor], Surroundings]:
    """How workers are begun, and what their runs share."""
    if order.executor == "local":
        found = local.slots(order.workers, int(order.gpus), _log(folder, order.plan))
        return lambda: local.LocalExecutor(found), order.around.with_threads(len(found[0].cores))
    from clbench.sweeps.on_ray import RayExecutor

    around = order.around.with_threads(1)
    datasets = _datasets(configs, around)
    return lambda: RayExecutor(order.address, order.workers, around.threads or 1, order.gpus, datasets), around


def _datasets(configs: list[RunConfig], around: Surroundings) -> list[GivenData]:
    """Every dataset that runs need, with image size and options of ``data``, for machines that may not have it."""
    from clbench.config.names import scenario_parts
    from clbench.data import cache

    own = [(scenario_parts(c.scenario["name"])[1], c.scenario["image_size"], c.data) for c in configs]
    upstream = [
        (c.pretrain["name"], c.scenario["image_size"], None)
        for c in configs
        if c.pretrain and "sha256" not in c.pretrain
    ]
    wanted = {str(one): one for one in (*own, *upstream)}
    return [
        (size, said, cache.load(name, around.place, size, said)) for _, (name, size, said) in sorted(wanted.items())
    ]


def _log(folder: store.Folder, asked: Plan) -> Path | None:
    """Where workers print to, so that it does not disturb the bar."""
    from clbench.sweeps.ledger import FOLDER

    if not isinstance(folder, store.LocalFolder):
        return None
    return folder.path.absolute() / FOLDER / asked.digest[:12] / "workers.log"
