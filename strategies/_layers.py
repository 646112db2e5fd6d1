"""Layers and fresh weights, for methods that act on the network itself."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from clbench.errors import Remark
from clbench.models.copies import bare_copy
from clbench.strategy import Learner

NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm)


def weight_layers(model: nn.Module, include_head: bool = True) -> list[nn.Linear | nn.Conv2d]:
    """Return the linear and convolutional layers, in the model's order; remark on kinds that methods leave alone."""
    if unknown := unknown_layers(model):
        warnings.warn(Remark(f"the strategy leaves layers alone that it does not know: {unknown}."), stacklevel=2)
    return [
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d) and (include_head or not name.startswith("classifier"))
    ]


def used_layers(learner: Learner, include_head: bool = True) -> list[nn.Linear | nn.Conv2d]:
    """Return those of ``weight_layers`` that the stage trains: of heads of their own, only those that its data use."""
    layers = weight_layers(learner.model, include_head)
    classifier = getattr(learner.model, "classifier", None)
    if not isinstance(classifier, nn.ModuleList):
        return layers
    used = set(learner.data.told[1].unique().tolist())
    others = {id(part) for head, one in enumerate(classifier) if head not in used for part in one.modules()}
    return [layer for layer in layers if id(layer) not in others]


def head_layers(model: nn.Module) -> list[nn.Linear]:
    """The linear layers of the classifier: one for each head."""
    classifier: Any = model.classifier
    return [module for module in classifier.modules() if isinstance(module, nn.Linear)]


def unknown_layers(model: nn.Module) -> str:
    """Kinds of modules with weights that are neither linear nor convolutional nor a normalisation."""
    known = (nn.Linear, nn.Conv2d, *NORMS)
    own = [m for m in model.modules() if not isinstance(m, known) and list(m.parameters(recurse=False))]
    return ", ".join(sorted({type(module).__name__ for module in own}))


def norm_parameters(model: nn.Module) -> set[int]:
    """Return the ids of normalisation layers' parameters."""
    return {id(p) for module in model.modules() if isinstance(module, NORMS) for p in module.parameters(recurse=False)}


def as_matrix(weight: Tensor) -> Tensor:
    """A layer's weight as [out, in], a convolution's kernels laid out along the inputs."""
    return weight.flatten(1)


def fresh_copy(learner: Learner, purpose: str) -> nn.Module:
    """Return a copy of the model with newly drawn weights and unused statistics; the model's own draws go on as before.

    The draw depends on the run's seed, the stage and the purpose alone; it is made on the host, so that it is the same
    on every device.
    """
    fresh = bare_copy(learner.model).cpu()
    if kept := _never_redrawn(fresh):
        warnings.warn(
            Remark(f"what has no reset_parameters keeps its own weights where others are drawn anew: {kept}."),
            stacklevel=2,
        )
    seed = learner.random(f"{purpose} of stage {learner.stage}").initial_seed()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in fresh.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
    return fresh.to(learner.device)


def _never_redrawn(model: nn.Module) -> str:
    """Kinds of modules with weights of their own and no way to draw them."""
    known = [m for m in model.modules() if not callable(getattr(m, "reset_parameters", None))]
    return ", ".join(sorted({type(m).__name__ for m in known if list(m.parameters(recurse=False))}))


def begin_anew(learner: Learner) -> None:
    """Draw every weight anew, and let the optimiser begin anew."""
    renew(learner, [learner.model], "cold start")
    forget_optimizer(learner)


@torch.no_grad()
def renew(learner: Learner, modules: Sequence[nn.Module], purpose: str) -> None:
    """Draw the weights of modules anew, with unused statistics, and forget the optimiser's state of them."""
    chosen = {id(module) for module in modules}
    for module, fresh in zip(learner.model.modules(), fresh_copy(learner, purpose).modules(), strict=True):
        if id(module) in chosen:
            for mine, new in zip(module.parameters(), fresh.parameters(), strict=True):
                mine.copy_(new)
                learner.optimizer.state.pop(mine, None)
            for buffer, unused in zip(module.buffers(), fresh.buffers(), strict=True):
                buffer.copy_(unused)


def forget_optimizer(learner: Learner) -> None:
    """Drop momentum and other state of every weight."""
    learner.optimizer.state.clear()
