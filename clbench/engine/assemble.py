"""From a configuration to what a run needs: stream, plugins, stages, learner."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from clbench import optimizers, registry, store
from clbench.avalanche import JointTraining, SupervisedPlugin
from clbench.config import RunConfig, components
from clbench.config.names import scenario_parts
from clbench.data import cache
from clbench.data.borrowed import borrowed
from clbench.data.columns import SLOTS
from clbench.data.dataset import Dataset, Shape
from clbench.data.inputs import Encoder
from clbench.data.sources import DataPlace
from clbench.data.streams import Stream, check_filled, stretch, whole, with_common_options
from clbench.data.tensors import ResidentStream, TaskData
from clbench.engine import pretrain, supplies
from clbench.engine.backbone import backbone_of, tried
from clbench.engine.guest import Guest
from clbench.engine.learner import Arithmetic, ResidentLearner, Training
from clbench.engine.precision import choose_precision, is_convolutional
from clbench.errors import UserError
from clbench.models import network
from clbench.strategy import Ahead, Strategy


def scenario_of(config: RunConfig) -> registry.Declared:
    """Return the scenario family of a config."""
    family, _ = scenario_parts(config.scenario["name"])
    return registry.scenario.load(family)


def stream_of(config: RunConfig, place: DataPlace) -> tuple[Dataset, Stream]:
    """Load the dataset and cut the stream of tasks from it."""
    _, source = scenario_parts(config.scenario["name"])
    options, unit = dict(config.scenario), scenario_of(config)
    size = options.pop("image_size")
    samples, validation = options.pop("samples_per_task"), options.pop("validation")
    skip, keep = options.pop("skip"), options.pop("keep")
    del options["name"], options["normalisation"]
    if unit.terms is not None:  # somebody's benchmark brings data of its own
        data, whole_stream = borrowed(source, unit.make, options, config.seed, place, size)
    else:
        data = cache.load(source, place, size, config.data)
        whole_stream = unit.make(data, config.seed, **options)
    stream = stretch(whole_stream, skip, keep)
    stream = with_common_options(stream, config.seed, samples, validation)
    check_filled(stream, data, config.evaluate)
    return data, stream


def guest_of(config: RunConfig) -> registry.Declared | None:
    """Return the part of a strategy that is a whole one of Avalanche's; UserError if there are two."""
    units = [registry.strategy.load(name) for name in store.parts(config.strategy["name"])]
    whole = [unit for unit in units if unit.terms is not None and unit.terms.whole]
    if len(whole) > 1:
        raise UserError(
            f"strategy: each of '{whole[0].name}' and '{whole[1].name}' has a training loop of its own. Keep one of "
            "them; plugins can be added to it."
        )
    return whole[0] if whole else None


def plugins_of(config: RunConfig) -> list[SupervisedPlugin]:
    """Make the strategy's parts, but for a whole one of Avalanche's; UserError if one is no plugin."""
    plugins = []
    guest = guest_of(config)
    for name, options in components(config.strategy):
        if guest is not None and name == guest.name:
            continue
        plugin = registry.strategy.load(name).make(**options)
        if not isinstance(plugin, SupervisedPlugin):
            raise UserError(
                f"strategy '{name}' makes a {type(plugin).__name__}, which is no Avalanche SupervisedPlugin. "
                "Name a plugin class, for instance avalanche.training.plugins.EWCPlugin."
            )
        if guest is not None and isinstance(plugin, Strategy):
            raise UserError(
                f"strategy: '{guest.name}' trains by a loop of its own, which '{name}' cannot work in. Compose it with "
                "plugins of avalanche.training.plugins, or run the two one by one."
            )
        plugins.append(plugin)
    if guest is not None:
        return plugins
    _check_exclusive(config.strategy["name"], plugins)
    _check_rules(config.strategy["name"], plugins)
    return plugins


def _check_exclusive(name: str, plugins: list[SupervisedPlugin]) -> None:
    """Refuse compositions of methods that would undo each other."""
    parts: dict[str, str] = {}
    for part, plugin in zip(store.parts(name), plugins, strict=True):
        does = plugin.exclusive if isinstance(plugin, Strategy) else None
        if does is not None and does in parts:
            raise UserError(
                f"strategy: '{name}' makes no sense: each of '{parts[does]}' and '{part}' {does}. Keep one of them."
            )
        if does is not None:
            parts[does] = part
    own = {part: one for part, one in zip(store.parts(name), plugins, strict=True) if isinstance(one, Strategy)}
    losses = [part for part, one in own.items() if one.own_loss]
    if len(losses) > 1:
        raise UserError(
            f"strategy: '{name}' makes no sense: each of '{losses[0]}' and '{losses[1]}' has a loss of its own for the "
            "batch. Keep one of them."
        )
    holds, rewrites = ([part for part, one in own.items() if getattr(one, what)] for what in ("holds", "rewrites"))
    if holds and rewrites:
        raise UserError(
            f"strategy: '{name}' makes no sense: '{holds[0]}' holds weights for earlier tasks, and '{rewrites[0]}' "
            "sets weights anew or freezes them. Keep one of them."
        )


def _check_rules(name: str, plugins: list[SupervisedPlugin]) -> None:
    """Refuse a rule that trains nothing beside a method: the answers would be the rule's alone."""
    parts = dict(zip(store.parts(name), plugins, strict=True))
    rules = [part for part, plugin in parts.items() if isinstance(plugin, Strategy) and not plugin.trains]
    others = [part for part, plugin in parts.items() if part not in rules and not is_fine_tuning(plugin)]
    if rules and others:
        raise UserError(
            f"strategy: '{name}' makes no sense: '{rules[0]}' trains no network and answers by itself, so "
            f"'{others[0]}' could change nothing. Run them one by one, and compare."
        )


def is_fine_tuning(plugin: SupervisedPlugin) -> bool:
    """Whether a part of a composition overrides nothing."""
    own = (
        type(plugin).__mro__[: type(plugin).__mro__.index(Strategy)] if isinstance(plugin, Strategy) else [type(plugin)]
    )
    return not any(callable(value) for one in own for value in vars(one).values())


def stages_of(
    plugins: list[SupervisedPlugin], stream: Stream, guest: registry.Declared | None = None
) -> list[list[int]]:
    """Return the stream's stages, or those that the strategy asks for; at most one part of a composition may."""
    if guest is not None and issubclass(guest.make, JointTraining):  # type: ignore[arg-type]
        return [list(range(len(stream.tasks)))]  # it trains once
    asked = [p.stages(len(stream.tasks)) for p in plugins if isinstance(p, Strategy)]
    changed = [stages for stages in asked if stages is not None]
    if len(changed) > 1:
        raise UserError(
            "strategy: at most one part of a composition may change which data a stage uses (joint, cumulative, …)."
        )
    return changed[0] if changed else stream.stages


@dataclass(frozen=True)
class Beside:
    """Training data that a strategy uses beside the stream, and their dataset's fingerprint."""

    data: TaskData
    fingerprint: str


def beside(
    config: RunConfig, plugins: list[SupervisedPlugin], place: DataPlace, shape: Shape, device: torch.device
) -> Beside | None:
    """Load the other dataset that a strategy asks for, at the stream's image size; None where none does.

    Raises UserError if it cannot be found, has too few classes, or has images of another number of channels.
    """
    asked = [wanted for p in plugins if isinstance(p, Strategy) and (wanted := p.upstream()) is not None]
    if not asked:
        return None
    (wanted,) = asked
    if len(shape) != 3:
        raise UserError("strategy.upstream: another dataset can stand beside a stream of images only.")
    data = cache.load(wanted.name, place, shape[1])
    if data.shape != shape:
        raise UserError(
            f"strategy.upstream: images of '{wanted.name}' are {_size(data.shape)}, those of the stream "
            f"{_size(shape)}. Name a dataset with as many channels."
        )
    if (wanted.classes or 0) > len(data.classes):
        raise UserError(f"strategy.classes: {data.name} has {len(data.classes)} classes, not {wanted.classes}.")
    resident = ResidentStream(whole(data, wanted.classes), data, device, config.scenario["normalisation"])
    resident.see([0])
    return Beside(resident.train(0), data.fingerprint)


def resident_of(
    config: RunConfig, stream: Stream, data: Dataset, stages: list[list[int]], device: torch.device
) -> ResidentStream:
    """Put the stream's samples on the device; what makes network input of them has seen the first stage."""
    slots = (config.data or {}).get("slots", SLOTS)
    resident = ResidentStream(stream, data, device, config.scenario["normalisation"], slots)
    resident.see(stages[0])
    if config.augment != "none" and not data.is_images:
        raise UserError(f"augment: '{config.augment}' is for images, and '{data.name}' has none. Use none.")
    return resident


def _size(shape: Shape) -> str:
    channels, height, width = shape
    return f"{height} × {width} with {channels} channel{'s' if channels > 1 else ''}"


@dataclass(frozen=True)
class _Network:
    """A network, on the device, and where and how it computes."""

    model: network.Network | network.MultiHeadNetwork
    kind: network.Classifier
    arithmetic: Arithmetic


def _prepare(config: RunConfig, stream: Stream, plugins: list[SupervisedPlugin], model: nn.Module) -> None:
    """Let the strategy refuse the stream or the network, then change the network."""

    def classes() -> list[list[int]]:
        stages = stages_of(plugins, stream)
        return [sorted({label for task in tasks for label in stream.tasks[task].classes}) for tasks in stages]

    ahead = Ahead(stream.incremental, stream.outputs, config.logits, classes)
    parts = [plugin for plugin in plugins if isinstance(plugin, Strategy)]
    for part in parts:
        part.check(model)
        part.check_stream(ahead)
    for part in parts:
        part.prepare(model)


def learner_of(
    config: RunConfig,
    stream: Stream,
    shape: Shape,
    device: torch.device,
    plugins: list[SupervisedPlugin],
    weights: pretrain.Pretrained | None = None,
    offline: bool = False,
    dtype: torch.dtype = torch.float32,
) -> tuple[ResidentLearner, store.ModelInfo]:
    """Make network, optimiser and learner for input of a shape and type.

    Raises UserError if classifier and stream, or weights and model, do not fit.
    """
    made = _network_of(config, stream, shape, device, plugins, weights, offline, dtype)
    model = made.model
    settings = dict(config.optimizer)
    optimizer = optimizers.declared(settings.pop("name")).make(list(model.parameters()), device, **settings)
    if settings["schedule"] != "constant":
        plugins = [*plugins, optimizers.ScheduleLearningRate(settings["schedule"], settings["lr"])]
    if settings["agc"] is not None:
        plugins = [*plugins, optimizers.AdaptiveGradientClipping(settings["agc"])]
    learner = ResidentLearner(
        model=model,
        optimizer=optimizer,
        plugins=plugins,
        training=_training_of(config, stream),
        arithmetic=made.arithmetic,
        seed=config.seed,
        outputs=stream.outputs,
        classes_return=stream.classes_return,
    )
    return learner, _info(made, weights)


def guest_learner_of(
    config: RunConfig,
    stream: Stream,
    encode: Encoder,
    device: torch.device,
    plugins: list[SupervisedPlugin],
    watches: list[SupervisedPlugin],
    weights: pretrain.Pretrained | None,
    offline: bool,
) -> tuple[Guest, store.ModelInfo]:
    """Make network and optimiser, and of them the whole strategy of Avalanche's that a config names.

    Raises UserError as ``learner_of`` does, and if the strategy cannot be made of what a run has.
    """
    unit = guest_of(config)
    assert unit is not None
    plain = config.model_copy(update={"precision": "fp32"})
    made = _network_of(plain, stream, encode.shape, device, [], weights, offline, encode.dtype)
    info = _info(made, weights)
    options = dict(components(config.strategy))[unit.name]
    template = supplies.made(unit, options, config, made.model, encode, stream.outputs, device, plugins)
    training = _training_of(config, stream)
    return Guest(unit.name, template, watches, training, made.arithmetic, made.model.rows, stream.outputs), info


def _network_of(
    config: RunConfig,
    stream: Stream,
    shape: Shape,
    device: torch.device,
    plugins: list[SupervisedPlugin],
    weights: pretrain.Pretrained | None,
    offline: bool,
    dtype: torch.dtype,
) -> _Network:
    """Make the network, with weights if there are some; the strategy's parts may refuse it."""
    wanted = config.model["classifier"]
    kind: network.Classifier = ("multi" if stream.heads > 1 else "single") if wanted == "auto" else wanted
    if kind == "growing" and config.logits != "all":
        raise UserError("logits: a growing classifier has the seen classes only; use logits=all with it.")
    if (kind != "multi") == (stream.heads > 1):
        raise UserError(
            f"model.classifier: '{kind}' does not fit scenario.incremental={stream.incremental}; 'multi' is for "
            "task-incremental streams. Leave it at 'auto'."
        )
    backbone = backbone_of(config.model, shape, offline, dtype)
    if weights is not None:
        pretrain.load(backbone.module, weights, backbone.layer)
    model = network.build(backbone.module, shape, kind, stream.outputs, stream.head_outputs, backbone.dtype)
    _prepare(config, stream, plugins, model)
    convolutional = is_convolutional(model)
    arithmetic = Arithmetic(
        device,
        choose_precision(config.precision, device, model),
        torch.channels_last if convolutional else torch.contiguous_format,
    )
    model = model.to(device)
    arithmetic = tried(backbone, arithmetic)
    model.to(memory_format=arithmetic.memory_format)
    return _Network(model, kind, arithmetic)


def _training_of(config: RunConfig, stream: Stream) -> Training:
    return Training(
        config.batch_size,
        config.updates,
        config.epochs or config.max_epochs,
        config.steps,
        config.optimizer["reset"] == "each-task",
        config.logits if stream.incremental == "class" else "all",
        "flip" in config.augment,
        "crop" in config.augment,
    )


def _info(made: _Network, weights: pretrain.Pretrained | None) -> store.ModelInfo:
    return store.ModelInfo(
        parameters=sum(p.numel() for p in made.model.parameters()),
        classifier=made.kind,
        pretrained=None if weights is None else weights.fingerprint,
    )
