"""Each sample's gradient of a layer's weights, in closed form: from what went into the layer and what came back.

The layer may have run several times in a pass, as on tokens: a sample's gradient is the sum over runs and places.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

CHUNK_BYTES = 64 * 2**20


def has_closed_form(module: nn.Module) -> bool:
    """Whether ``of_samples`` knows this kind of layer."""
    if isinstance(module, nn.Conv2d):
        return module.groups == 1 and module.padding_mode == "zeros" and not isinstance(module.padding, str)
    if isinstance(module, _BatchNorm):
        return module.running_mean is not None  # else samples of a batch depend on each other
    return isinstance(module, nn.Linear | nn.GroupNorm | nn.LayerNorm)


def of_samples(layer: nn.Module, inputs: list[Tensor], errors: list[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield gradients of weight [n, …] and bias [n, …] of some samples at a time.

    inputs, errors: of each run, the layer's input [n, …] and the gradient of the summed objective by its output.
    """
    assert isinstance(layer.weight, Tensor)
    chunk = max(1, CHUNK_BYTES // (4 * layer.weight.numel()))
    for start in range(0, len(inputs[0]), chunk):
        some = slice(start, start + chunk)
        runs = [_run(layer, x[some].float(), error[some].float()) for x, error in zip(inputs, errors, strict=True)]
        weights, biases = zip(*runs, strict=True)
        yield reduce(torch.add, weights), reduce(torch.add, biases)


def _run(layer: nn.Module, x: Tensor, error: Tensor) -> tuple[Tensor, Tensor]:
    n = len(x)
    if isinstance(layer, nn.Conv2d):
        assert not isinstance(layer.padding, str)
        patches = functional.unfold(x, layer.kernel_size, layer.dilation, layer.padding, layer.stride)
        error = error.flatten(2)
        return error @ patches.transpose(1, 2), error.sum(2)
    if isinstance(layer, nn.Linear):
        tokens, error = x.reshape(n, -1, x.shape[-1]), error.reshape(n, -1, error.shape[-1])
        return error.transpose(1, 2) @ tokens, error.sum(1)
    if isinstance(layer, nn.LayerNorm):
        scaled = error * functional.layer_norm(x, layer.normalized_shape, eps=layer.eps)
        places = (n, -1, *layer.normalized_shape)
        return scaled.reshape(places).sum(1), error.reshape(places).sum(1)
    scaled = error * _normalised(layer, x)
    places = (n, x.shape[1], -1)
    return scaled.reshape(places).sum(2), error.reshape(places).sum(2)


def _normalised(layer: nn.Module, x: Tensor) -> Tensor:
    """What a normalisation by channels scales and shifts."""
    if isinstance(layer, nn.GroupNorm):
        return functional.group_norm(x, layer.num_groups, eps=layer.eps)
    assert isinstance(layer, _BatchNorm)
    return functional.batch_norm(x, layer.running_mean, layer.running_var, eps=layer.eps)
