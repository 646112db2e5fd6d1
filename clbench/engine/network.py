"""From a configuration to who trains: the network, its optimiser, and the learner or guest that trains it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from clbench import optimizers, store
from clbench.avalanche import SupervisedPlugin
from clbench.config import RunConfig, components
from clbench.data.dataset import Shape
from clbench.data.inputs import Encoder
from clbench.data.streams import Stream
from clbench.engine import pretrain, supplies
from clbench.engine.backbone import backbone_of, tried
from clbench.engine.guest import Guest
from clbench.engine.learner import Arithmetic, ResidentLearner, Training
from clbench.engine.plugins import guest_of, stages_of
from clbench.engine.precision import choose_precision, is_convolutional
from clbench.errors import UserError
from clbench.models import network
from clbench.strategy import Ahead, Strategy


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
        choose_precision(config.precision, device, model, (config.batch_size, *shape)),
        torch.channels_last if convolutional else torch.contiguous_format,
    )
    model = model.to(device)
    arithmetic = tried(backbone, arithmetic, asked=config.precision != "auto")
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
