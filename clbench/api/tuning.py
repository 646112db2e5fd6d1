"""``clbench.tune``: settings chosen on the first tasks of a stream, and what ``clbench tune`` does."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from clbench.api.audience import Program, interruptible
from clbench.api.caller import undisturbed
from clbench.api.results import frame
from clbench.api.settings import Given, Seeds, layers_of, plain, seeds_of
from clbench.config import layers
from clbench.config.layers import Section
from clbench.errors import InterruptedWorkError, UserError

if TYPE_CHECKING:
    import pandas as pd

    from clbench.api.carry import Stop
    from clbench.sweeps.executor import Executor
    from clbench.sweeps.study import Trial

Told = Callable[[int, int, "Trial"], None]


@dataclass(frozen=True)
class Tuned:
    """Settings that were chosen. ``recipe``: a config that runs them on the tasks that had no say in it.

    ``value``: the mean of ``metric`` that they reached on held-out images. ``file``: where the recipe was written, the
    study with every trial beside it; None if nothing was. ``doubts``: what speaks against the choice, sentence by
    sentence: others that reached the same, values at the end of what was tried.
    """

    settings: Mapping[str, Any]
    value: float
    metric: str
    trials: Sequence[Trial]
    recipe: Section
    file: Path | None
    doubts: Sequence[str] = ()

    def __str__(self) -> str:
        from clbench.render.tuning import chosen

        return "\n".join([chosen(self.settings, self.metric, self.value), *self.doubts])

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each trial: its settings, the mean over seeds, and whether it was given up.

        Raises UserError if pandas is not installed.
        """
        rows = [{**trial.settings, "value": trial.mean, "pruned": trial.pruned is not None} for trial in self.trials]
        return frame(rows, ["value"])


@dataclass(frozen=True)
class TuneOrder:
    """What to choose for, how (``block``: the keys of 'tune'), where to run trials, and the folder for the choice."""

    given: Section
    block: Section
    output: Path
    executor: Literal["local", "ray"] = "local"
    workers: int | None = None
    address: str | None = None
    threads: int | None = None
    data_root: str | Path | None = None
    offline: bool = False


def choose(order: TuneOrder, told: Told, stopping: Stop) -> Tuned:
    """Search, and write recipe and study; ``told`` hears of each trial: its number, of how many, and what it reached.

    Raises UserError for what can be corrected, and what ``stopping`` raises where it has stopped.
    """
    from clbench.data.sources import DataPlace
    from clbench.engine.run import Machine
    from clbench.sweeps import space as spaces
    from clbench.sweeps.study import recipe, write_recipe
    from clbench.sweeps.tune import in_one_order, search
    from clbench.sweeps.work import RealRun

    if "name" not in order.given.get("strategy", {}):
        raise UserError("No strategy is named. Use --strategy ewc, or see 'clbench list strategies'.")
    asked = spaces.read(order.block, order.given["strategy"])
    given = layers.merge(*in_one_order([order.given], asked))
    place = order.output / given.get("scenario", {}).get("name", "split-digits")
    study_file = place / f"{given['strategy']['name']}.study.json"
    root = None if order.data_root is None else Path(order.data_root)
    machine = Machine(DataPlace.default(root, order.offline), threads=order.threads or 1)
    with _executor(order, machine.threads, stopping) as workers:
        try:
            study = search([given], asked, study_file, workers, RealRun(machine), told, stopping)
        except InterruptedWorkError as error:
            raise stopping.error(str(error)) from None
    best = study.best()
    assert best.mean is not None
    file = study_file.with_name(study_file.name.replace(".study.json", ".yaml"))
    made = recipe([given], asked, study, study_file)
    write_recipe(file, made)
    return Tuned(best.settings, best.mean, asked.metric, study.trials, made, file, study.doubts())


def _executor(order: TuneOrder, threads: int | None, stopping: Stop) -> Executor:
    """Where trials are run; a single worker is this process."""
    from clbench.sweeps.executor import InlineExecutor
    from clbench.sweeps.local import LocalExecutor, slots

    if order.executor == "ray":
        from clbench.sweeps.on_ray import RayExecutor

        return RayExecutor(order.address, order.workers, threads or 1, 0, [])
    found = slots(order.workers)
    return InlineExecutor(stopping) if len(found) == 1 else LocalExecutor(found)


def tune(
    strategy: Given | None = None,
    scenario: Given | None = None,
    *,
    tasks: int | None = None,
    space: Mapping[str, Any] | None = None,
    sampler: Literal["grid", "tpe", "random", "gp", "cmaes"] | None = None,
    trials: int | None = None,
    pruner: Literal["none", "median", "halving"] | None = None,
    seeds: Seeds | None = None,
    metric: str | None = None,
    config: str | Path | Mapping[str, Any] | None = None,
    output: str | Path | None = None,
    executor: Literal["local", "ray"] = "local",
    workers: int | None = None,
    address: str | None = None,
    threads: int | None = None,
    data_root: str | Path | None = None,
    offline: bool = False,
    quiet: bool = False,
    **settings: Any,
) -> Tuned:
    """Choose learning rate, strength or anything else on the first tasks of a stream, as ``clbench tune`` does.

    ``space``: keys with lists of values, or ranges ``{"low": 0.001, "high": 0.1, "log": True}``. ``tasks``: the first
    so many choose, by a tenth of their training images that is held out (3 where nothing says so; 0: all). ``settings``
    and ``config`` as for ``run``; a config's block 'tune' has the same keys. Nothing is written without ``output``, a
    folder; with it a search that was stopped goes on. Run the choice with ``run(config=tuned.recipe, seeds=5)``.
    Raises UserError for what can be corrected.
    """
    from clbench.analysis.columns import resolve

    given = layers.merge(*layers_of(config, {"strategy": strategy, "scenario": scenario}, settings))
    chosen: Section = {
        "sampler": sampler,
        "trials": trials,
        "pruner": pruner,
        "seeds": None if seeds is None else seeds_of(seeds),
        "metric": resolve(metric) if metric else None,
        "space": plain(space) if space else None,
    }
    block = dict(given.pop("tune", {})) | {key: value for key, value in chosen.items() if value is not None}
    block |= {} if tasks is None else {"tasks": tasks or None}
    audience = Program(quiet)
    with undisturbed(), _optuna_unchanged(), ExitStack() as stack:
        folder = output or stack.enter_context(tempfile.TemporaryDirectory(prefix="clbench-"))
        order = TuneOrder(
            given, block, Path(folder), executor, workers, address, threads, data_root=data_root, offline=offline
        )
        found = choose(order, audience.trial, stack.enter_context(interruptible(audience.note)))
    return found if output else replace(found, file=None)


@contextmanager
def _optuna_unchanged() -> Iterator[None]:
    """Optuna's loudness is the program's own; a search makes it quiet."""
    try:
        import optuna
    except ModuleNotFoundError:  # said in words where it is needed
        yield
        return
    before = optuna.logging.get_verbosity()
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
