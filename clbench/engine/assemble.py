"""Everything that a run needs, made from its configuration and put together: the first of its three parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from clbench import store
from clbench.avalanche import CLScenario, SupervisedPlugin
from clbench.checkpoints.checkpoint import Checkpoints, Keeper
from clbench.checkpoints.state import Known
from clbench.config import RunConfig
from clbench.data.benchmark import make_benchmark
from clbench.data.dataset import Dataset
from clbench.data.sources import DataPlace
from clbench.data.streams import Stream
from clbench.data.tensors import ResidentStream
from clbench.engine import environment, pretrain, removal
from clbench.engine.guest import Guest
from clbench.engine.guest import check as check_guest
from clbench.engine.learner import ResidentLearner
from clbench.engine.network import guest_learner_of, learner_of
from clbench.engine.plugins import guest_of, plugins_of, stages_of
from clbench.engine.precision import choose_device, choose_threads
from clbench.engine.seeding import prepare_process, seed_everything
from clbench.engine.stream import beside, resident_of, stream_of
from clbench.engine.watch import ReportSteps
from clbench.engine.watches import Watches
from clbench.progress import Reporter

# Of the environment, what a run must find again to go on as if nothing had been.
SAME = ("clbench", "commit", "torch", "avalanche", "device", "threads", "precision", "memory_format", "upstream")


@dataclass(frozen=True)
class Machine:
    """What a run may use of the machine; none of it is part of the config. ``threads`` None: chosen by the work.

    diagnostics: also measure the network between stages, and train what a removal is compared with; R is the same with
    and without.
    """

    place: DataPlace
    device: str = "auto"
    threads: int | None = None
    diagnostics: bool = False


@dataclass(frozen=True)
class Assembled:
    """A run that can begin.

    ``stages``: the tasks whose data each trains on. ``weights``: what the network begins with, if it was pretrained.
    ``known``: what its checkpoints need not hold. ``environment``: what its Result says of machine and software.
    """

    config: RunConfig
    machine: Machine
    data: Dataset
    stream: Stream
    plugins: Sequence[SupervisedPlugin]
    stages: Sequence[Sequence[int]]
    resident: ResidentStream
    benchmark: CLScenario
    watches: Watches
    weights: pretrain.Pretrained | None
    learner: ResidentLearner | Guest
    model: store.ModelInfo
    keeper: Keeper
    known: Known
    environment: Mapping[str, Any]


def assemble(config: RunConfig, machine: Machine, reporter: Reporter, checkpoints: Checkpoints) -> Assembled:
    """Make everything that a run needs. Raises UserError for whatever keeps it from beginning.

    The order is part of the numbers: what is made draws at random, one thing after another.
    """
    config.check_code()
    prepare_process()
    device, offline = choose_device(machine.device), machine.place.offline
    seed_everything(config.seed)
    data, stream = stream_of(config, machine.place)
    pretrain.check(config, stream)
    weights = pretrain.pretrained(config, machine.place, _pretraining(machine, device, reporter))
    seed_everything(config.seed)  # once more: what learns weights draws
    plugins, guest = plugins_of(config), guest_of(config)
    if guest is not None:
        check_guest(guest.name, config, machine.diagnostics)
    removal.check(config, plugins, stream, None if guest is None else guest.name)
    stages = stages_of(plugins, stream, guest)
    # Avalanche's own loaders take samples one by one on the host, and move batches.
    resident = resident_of(config, stream, data, stages, device if guest is None else torch.device("cpu"))
    benchmark, encode = make_benchmark(resident, stages, config.evaluate), resident.encode
    watches = Watches(config, stream, reporter, machine.diagnostics)
    learner: ResidentLearner | Guest
    if guest is None:
        around = watches.around(plugins)
        learner, model = learner_of(config, stream, encode.shape, device, around, weights, offline, encode.dtype)
    else:
        around = watches.of_guest
        learner, model = guest_learner_of(config, stream, encode, device, plugins, around, weights, offline)
        checkpoints = Checkpoints(stopping=checkpoints.stopping)  # nobody knows what it keeps
    upstream = _give_upstream(config, plugins, machine, data, learner, device)
    found = _environment(config, machine, device, learner) | upstream
    keeper = Keeper(config, _identity(found, machine, data, stream), checkpoints)
    known = _known(reporter, resident, plugins, learner)
    return Assembled(
        config,
        machine,
        data,
        stream,
        plugins,
        stages,
        resident,
        benchmark,
        watches,
        weights,
        learner,
        model,
        keeper,
        known,
        found,
    )


def _pretraining(machine: Machine, device: torch.device, reporter: Reporter) -> pretrain.MakeLearner:
    """How a learner that makes weights is made, should there be a need."""

    def make(recipe: RunConfig, stream: Stream, data: Dataset) -> ResidentLearner:
        seed_everything(recipe.seed)
        learner, _ = learner_of(
            recipe, stream, data.shape, device, [ReportSteps(reporter)], None, machine.place.offline
        )
        torch.set_num_threads(choose_threads(machine.threads, learner.model, recipe.batch_size))
        return learner

    return make


def _give_upstream(
    config: RunConfig,
    plugins: list[SupervisedPlugin],
    machine: Machine,
    data: Dataset,
    learner: ResidentLearner | Guest,
    device: torch.device,
) -> dict[str, str]:
    """Give the learner the other dataset that its strategy asks for, and say which it is; nothing where none does."""
    other = beside(config, plugins, machine.place, data.shape, device)
    if other is None or not isinstance(learner, ResidentLearner):
        return {}
    learner.upstream = other.data
    return {"upstream": other.fingerprint}


def _environment(
    config: RunConfig, machine: Machine, device: torch.device, learner: ResidentLearner | Guest
) -> dict[str, Any]:
    """Choose the threads, and say what the run is made with."""
    threads = choose_threads(machine.threads, learner.model, config.batch_size)
    torch.set_num_threads(threads)
    return environment.describe(device, learner.arithmetic, threads)


def _identity(found: Mapping[str, Any], machine: Machine, data: Dataset, stream: Stream) -> dict[str, Any]:
    """What a checkpoint must have been made with, so that the run can go on from it."""
    same = {key: found.get(key) for key in SAME} | {"diagnostics": machine.diagnostics}
    return same | {"data": data.fingerprint, "stream": stream.digest}


def _known(
    reporter: Reporter, resident: ResidentStream, plugins: list[SupervisedPlugin], learner: ResidentLearner | Guest
) -> Known:
    """What a checkpoint need not hold, since whoever goes on has it."""
    objects = {"reporter": reporter, "encoder": resident.encode}
    packages = {type(plugin).__module__.partition(".")[0] for plugin in plugins}
    return Known(objects, resident.samples, packages, dict(learner.model.named_modules()))
