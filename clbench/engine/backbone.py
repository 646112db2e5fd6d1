"""The backbone of a run: one of clbench's own, or somebody else's network, adapted and tried."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from clbench import registry
from clbench.engine.learner import Arithmetic
from clbench.errors import Remark, UserError, in_words
from clbench.models.adapt import adapt, as_before, samples
from clbench.registry import Shape, foreign


@dataclass(frozen=True)
class Backbone:
    """A backbone and the samples that it takes. ``layer``: of a network from elsewhere, its former classifier."""

    module: nn.Module
    shape: Shape
    dtype: torch.dtype
    name: str
    layer: str | None = None


def backbone_of(
    model: Mapping[str, Any], shape: Shape, offline: bool = False, dtype: torch.dtype = torch.float32
) -> Backbone:
    """Make the backbone that a config's section ``model`` describes.

    Of a network from elsewhere a remark says what became of it. Raises UserError if it cannot be made or adapted.
    """
    options = dict(model)
    name = options.pop("name")
    options.pop("classifier", None)
    declared = registry.model.load(name)
    if declared.foreign is None:
        return Backbone(declared.make(shape, **options), shape, dtype, name)
    found = adapt(foreign.made(declared.foreign, shape, options, offline), name, shape, dtype)
    count = sum(parameter.numel() for parameter in found.backbone.parameters())
    layer = f"its layer '{found.layer}'" if found.layer else "the layer that it is"
    warnings.warn(
        Remark(
            f"{name}: classifiers replace {layer}; {found.features:,} features from {count:,} parameters before it."
        ),
        stacklevel=2,
    )
    return Backbone(found.backbone, shape, dtype, name, found.layer)


def tried(backbone: Backbone, arithmetic: Arithmetic, asked: bool) -> Arithmetic:
    """Train somebody else's network on one batch, in passing, as the run will: on its device, in its number format.

    Returns that arithmetic, or one without a memory format, or a number format that was not ``asked`` for, that the
    network cannot work in. Raises UserError with the network's own error.
    """
    if backbone.layer is None:
        return arithmetic
    ways = [arithmetic, replace(arithmetic, memory_format=torch.contiguous_format)]
    ways += [] if asked else [replace(way, precision="fp32") for way in ways]
    for one in dict.fromkeys(ways):
        backbone.module.to(memory_format=one.memory_format)
        trouble = _trouble(backbone, one)
        if trouble is None:
            return one
    raise UserError(
        f"model: the network '{backbone.name}' cannot be trained on {one.device.type} in {one.precision} "
        f"with a batch of [2, {', '.join(map(str, backbone.shape))}]: {trouble}. What it makes itself must be on the "
        "device of its input, and nothing may change what a gradient needs in place."
    )


def _trouble(backbone: Backbone, arithmetic: Arithmetic) -> str | None:
    """What goes wrong in a training step, if something does; the network stays as it was."""
    x = samples(backbone.shape, backbone.dtype).to(arithmetic.device)
    if x.dim() == 4:
        x = x.contiguous(memory_format=arithmetic.memory_format)
    half = torch.autocast(arithmetic.device.type, torch.bfloat16) if arithmetic.precision == "bf16" else nullcontext()
    module = backbone.module
    try:
        with as_before(module):
            with half:
                found = module.train()(x)
            if found.requires_grad:
                found.float().sum().backward()
    except Exception as error:
        return in_words(error)
    finally:
        module.zero_grad(set_to_none=True)
    return None
