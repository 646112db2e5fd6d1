"""What a run gives a strategy of Avalanche's: parameters of its constructor, by their names and types."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args, get_type_hints

import torch
from torch import nn

from clbench import optimizers
from clbench.avalanche import BaseSGDTemplate, PackNetModel, PackNetModule, SCRModel, SupervisedPlugin
from clbench.config import RunConfig
from clbench.data.inputs import Encoder
from clbench.engine.guest import Features, OneHead, foreign_code
from clbench.engine.learner import EVAL_BATCH, NoEvaluator
from clbench.errors import UserError
from clbench.models.network import MultiHeadNetwork, Network
from clbench.registry import Declared
from clbench.registry.foreign import unconnected
from clbench.strategy import evaluating

PROJECTED = 128  # outputs of SCR's projection (Mai et al. 2021, arXiv:2103.13885, section 4.1)


def made(
    unit: Declared,
    options: Mapping[str, Any],
    config: RunConfig,
    network: Any,
    encode: Encoder,
    outputs: int,
    device: torch.device,
    plugins: Sequence[SupervisedPlugin],
) -> BaseSGDTemplate[Any, Any, Any]:
    """Make a strategy: of its parameters those that are no options are given by the run.

    model: the network, in the wrapper that the parameter's type asks for; ``feature_extractor`` and ``slda_model`` its
    features, ``classifier`` its classifier. An optimiser over what is given; where the class has no loss of its own,
    cross-entropy; sizes, epochs and the device the run's. ``num_classes`` is the stream's; ``p_size`` the number of
    features, ``input_size`` too where it is a number, else a sample's shape. No evaluator, since the run counts. Raises
    UserError, with the strategy's own words, if it cannot be made so.
    """
    parameters = inspect.signature(unit.make).parameters
    _check(unit, network)
    features = Features(network)
    # Who asks for the size of prototypes compares features with them, not scores.
    plain = features if "p_size" in parameters else OneHead(network) if isinstance(network, Network) else network
    whole = _wrapped(_type_of(unit.make, "model"), plain, features, encode, outputs)
    size = _size(features, encode)
    settings = dict(config.optimizer)
    owner = whole if "model" in parameters else nn.ModuleList([features, network.classifier])
    supplies: dict[str, Callable[[], Any]] = {
        "model": lambda: whole,
        "slda_model": lambda: features,
        "feature_extractor": lambda: features,
        "classifier": lambda: network.classifier,
        "optimizer": lambda: optimizers.declared(settings.pop("name")).make(
            list(owner.to(device).parameters()), device, **settings
        ),
        "criterion": nn.CrossEntropyLoss,
        "train_mb_size": lambda: config.batch_size,
        "train_epochs": lambda: config.epochs or 1,
        "eval_mb_size": lambda: EVAL_BATCH,
        "device": lambda: device,
        "plugins": lambda: [*plugins],
        "evaluator": NoEvaluator,
        "num_classes": lambda: outputs,
        "n_classes": lambda: outputs,
        "p_size": lambda: size,
        "input_size": lambda: size if parameters["input_size"].default is inspect.Parameter.empty else [*encode.shape],
        "buffer_transform": lambda: None,
        "cwr_layer_name": lambda: "classifier",
    }
    assert unit.terms is not None
    given = {name: make() for name, make in supplies.items() if name in parameters and name in unit.terms.supplied}
    with (
        foreign_code(
            f"strategy '{unit.name}' cannot be made",
            f"The run gives it {', '.join(given)}; the rest is set with --set strategy.…=…",
        ),
        unconnected(free=False),
    ):
        template: BaseSGDTemplate[Any, Any, Any] = unit.make(**given, **options)
    return template


def _check(unit: Declared, network: nn.Module) -> None:
    """Refuse what is known to go wrong inside a strategy, where nobody could tell why."""
    asked = inspect.signature(unit.make).parameters
    if "classifier" in asked and isinstance(network, MultiHeadNetwork):
        raise UserError(
            f"strategy: '{unit.name}' needs one classifier for all classes, and the stream has a head for each task. "
            "Add --set scenario.incremental=class."
        )


def _type_of(make: Callable[..., Any], parameter: str) -> tuple[Any, ...]:
    """The types that a parameter may have, as far as they can be told."""
    try:
        hint = get_type_hints(make.__init__).get(parameter)
    except (NameError, TypeError):
        return ()
    return get_args(hint) or (hint,)


def _wrapped(
    types: tuple[Any, ...], network: nn.Module, features: Features, encode: Encoder, outputs: int
) -> nn.Module:
    """The network as a strategy asks for it by type; with one classifier where the wrapper tells tasks apart itself."""
    if SCRModel in types:
        size = _size(features, encode)
        projection = nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Linear(size, PROJECTED))
        contrastive: nn.Module = SCRModel(features, projection)
        return contrastive
    if PackNetModule in types:
        single = nn.Sequential(features, nn.Linear(_size(features, encode), outputs))
        pruned: nn.Module = PackNetModel(single)
        return pruned
    return network


def _size(features: Features, encode: Encoder) -> int:
    """How many features there are."""
    where = next(features.parameters(), torch.empty(0)).device
    with torch.no_grad(), evaluating(features):
        return int(features(torch.zeros(1, *encode.shape, dtype=encode.dtype, device=where)).shape[1])
