"""Copies of networks."""

from __future__ import annotations

import copy
from collections import OrderedDict

from torch import nn

HOOKS = ("_forward_hooks", "_forward_pre_hooks")


def bare_copy(model: nn.Module) -> nn.Module:
    """Return a copy of a model without the hooks that others have put on it, which would be copied with them."""
    own = [(module, name, vars(module)[name]) for module in model.modules() for name in HOOKS]
    for module, name, _ in own:
        vars(module)[name] = OrderedDict()
    try:
        return copy.deepcopy(model)
    finally:
        for module, name, hooks in own:
            vars(module)[name] = hooks
