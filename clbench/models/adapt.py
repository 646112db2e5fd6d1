"""Anybody's network as a backbone: its last linear layer goes, and a classifier of ours takes its place.

Found by looking: a batch of two goes through the network in evaluation and in training mode, and what its linear layers
return is compared with what it returns itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from clbench.errors import UserError, in_words
from clbench.registry import Shape

TRIED = 2  # samples of the batch: batch normalisation cannot train on one
WRAP = "Wrap it in a class, in a file of your own (--model my_net.py:Net)"


@dataclass(frozen=True)
class Adapted:
    """A backbone, the name of the layer that was its classifier, and how many features that read."""

    backbone: nn.Module
    layer: str
    features: int


def adapt(network: object, name: str, shape: Shape, dtype: torch.dtype = torch.float32) -> Adapted:
    """Take the classifier from a network for samples of a shape, in place; ``name`` is what errors call it.

    Weights, statistics, modes and the global random numbers stay as they are; what makes its layers when it is first
    called has them afterwards. Operations that activations do in place are no longer: hooks must see what went in.

    Raises UserError if the network cannot be called with such samples, in either mode, changes them, does not return
    logits [n, classes], or returns anything but the output of a linear layer.
    """
    if not isinstance(network, nn.Module):
        raise UserError(f"model: '{name}' makes a {type(network).__name__}; it must make a torch.nn.Module.")
    for module in network.modules():
        if getattr(module, "inplace", False) is True:
            module.inplace = False  # type: ignore[assignment]
    trial = _Trial(network, name, samples(shape, dtype))
    layer = trial.classifier()
    parent, _, attribute = layer.rpartition(".")
    features = int(network.get_submodule(layer).in_features)  # type: ignore[arg-type]
    if attribute:
        setattr(network.get_submodule(parent), attribute, nn.Identity())
    else:  # the network is one layer
        trial.network = network = nn.Identity()
    trial.state = f", without its last linear layer '{layer}',"
    for training in (False, True):
        found = trial.output(training)
        if found.shape != (TRIED, features):
            raise trial.refusal(
                f"returns {list(found.shape)}, not features [n, {features}], so that the layer is not all that it ends "
                f"with. {WRAP} that ends in one"
            )
    return Adapted(network, layer, features)


class _Trial:
    """A batch that a network is called with."""

    def __init__(self, network: nn.Module, name: str, samples: Tensor) -> None:
        self.network = network
        self.name = name
        self.samples = samples
        self.state = ""

    def classifier(self) -> str:
        """The name of the linear layer whose output is the network's own."""
        self.output(training=False)  # what is made at the first call is made now
        self.output(training=True)
        names: dict[nn.Module, str] = {
            module: name for name, module in self.network.named_modules() if isinstance(module, nn.Linear)
        }
        called: list[tuple[str, Tensor]] = []

        def note(module: nn.Module, inputs: object, output: Tensor) -> None:
            called.append((names[module], output.clone()))

        hooks = [module.register_forward_hook(note) for module in names]
        try:
            found = self.output(training=False)
        finally:
            for hook in hooks:
                hook.remove()
        if not called:
            raise self.refusal(
                "calls no linear layer, and its last one is what classifiers replace. "
                f"{WRAP} that ends in torch.nn.Linear(features, classes)"
            )
        layer, output = called[-1]
        if not (output.shape == found.shape and torch.allclose(output, found, equal_nan=True)):
            raise self.refusal(
                f"does something to the output of its last linear layer '{layer}' ({list(output.shape)}; it returns "
                f"{list(found.shape)}), such as a softmax; the loss is computed from logits. {WRAP} that returns what "
                "the layer returns"
            )
        if [name for name, _ in called].count(layer) > 1:
            raise self.refusal(
                f"calls its last linear layer '{layer}' more than once and cannot be rid of it. {WRAP} that ends "
                "in a layer of its own"
            )
        return layer

    def output(self, training: bool) -> Tensor:
        """What the network returns, [n, features]; UserError if it raises, or if it returns anything else."""
        mode = "training" if training else "evaluation"
        given = self.samples.clone()
        try:
            with torch.no_grad(), as_before(self.network, draws=not training):
                found: Any = self.network.train(training)(given)
        except Exception as error:
            kind = str(given.dtype).removeprefix("torch.")
            raise self.refusal(
                f"cannot be called in {mode} mode with a batch {list(given.shape)} of {kind}: "
                f"{in_words(error)}. Give its constructor what fits with --set model.…=…, or change the samples, "
                "images for instance with --set scenario.image_size"
            ) from None
        if not isinstance(found, Tensor):
            raise self.refusal(
                f"returns a {type(found).__name__} in {mode} mode; it must return one tensor of logits [n, classes]. "
                f"{WRAP} that returns one, or switch off what makes the others with --set model.…=…"
            )
        if found.dim() != 2 or len(found) != TRIED:
            raise self.refusal(
                f"returns {list(found.shape)} in {mode} mode for {TRIED} samples; it must return logits [n, classes]. "
                f"{WRAP} that does"
            )
        if not torch.equal(given, self.samples):
            raise self.refusal(
                "changes its input in place, which strategies use again. Begin its forward with x = x.clone()"
            )
        return found

    def refusal(self, what: str) -> UserError:
        """What the network does, and what to do then, as a paragraph."""
        return UserError(f"model: the network '{self.name}'{self.state} {what}.")


@contextmanager
def as_before(network: nn.Module, draws: bool = False) -> Iterator[None]:
    """Afterwards each module's mode and buffers, and the global random numbers, are as they were.

    ``draws``: random numbers that are drawn stay drawn, so that a layer that is made when it is first called has others
    than what is made later.
    """
    modes = [(module, module.training) for module in network.modules()]
    kept = [
        (module, name, buffer, buffer.detach().clone())
        for module in network.modules()
        for name, buffer in module.named_buffers(recurse=False)
        if not nn.parameter.is_lazy(buffer)
    ]
    devices = sorted({one.device.index for one in network.parameters() if one.is_cuda})
    try:
        with torch.random.fork_rng(devices, enabled=not draws):
            yield
    finally:
        for module, training in modes:
            module.training = training
        for module, name, buffer, value in kept:
            buffer.detach().copy_(value)
            module._buffers[name] = buffer


def samples(shape: Shape, dtype: torch.dtype) -> Tensor:
    """A batch: of drawn numbers, so that no two outputs are equal by chance; of codes, zeros."""
    if not dtype.is_floating_point:
        return torch.zeros(TRIED, *shape, dtype=dtype)
    return torch.randn(TRIED, *shape, dtype=dtype, generator=torch.Generator().manual_seed(0))
