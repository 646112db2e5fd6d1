"""PyTorch without its compiler, until something asks for it.

Optimisers, determinism and torchvision import ``torch._dynamo`` or ``torch._inductor`` where they are run eagerly, for
calls that then do nothing: a second before the first step. Stand-ins answer those calls; whatever else is asked of them
(``torch.compile`` is) loads the real modules, which take their places.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any


class _StandIn(ModuleType):
    """A module of the compiler: what eager code asks of it, and for all else the real module."""

    def __init__(self, name: str, answers: dict[str, Any]) -> None:
        super().__init__(name)
        vars(self).update(answers)

    def __getattr__(self, name: str) -> Any:
        wanted = name == "__path__" and self.__name__ in PACKAGES  # their other modules are looked for below it
        if name.startswith("__") and not wanted:
            raise AttributeError(name)
        return getattr(_real(self.__name__), name)


def _disable(function: Any, *args: Any, **kwargs: Any) -> Any:
    """Keep a function from being compiled: without a compiler, itself."""
    return function


def _is_compile_supported(device: str) -> bool:
    """Whether compiled code runs on a device: the real module knows."""
    supported: bool = _real("torch._dynamo.utils").is_compile_supported(device)
    return supported


ANSWERS: dict[str, dict[str, Any]] = {
    "torch._dynamo": {"disable": _disable, "graph_break": lambda: None},
    "torch._dynamo.utils": {"is_compile_supported": _is_compile_supported},
    "torch._inductor": {},
    "torch._inductor.config": {"deterministic": False},
}
PACKAGES = {name.rpartition(".")[0] for name in ANSWERS}


def without_compiler() -> None:
    """Put stand-ins where the compiler's modules would be, unless one of them is loaded."""
    if any(name in sys.modules for name in ANSWERS):
        return
    for name, answers in ANSWERS.items():
        parent, _, last = name.rpartition(".")
        sys.modules[name] = _StandIn(name, answers)
        setattr(importlib.import_module(parent), last, sys.modules[name])


def _real(name: str) -> Any:
    """Load the compiler in place of all stand-ins, as deterministic as it was asked to be, and return one module."""
    stood_in = {name: module for name in ANSWERS if isinstance(module := sys.modules.get(name), _StandIn)}
    for other in stood_in:
        del sys.modules[other]
    for parent, _, last in (other.rpartition(".") for other in stood_in):
        if parent not in stood_in:
            delattr(sys.modules[parent], last)  # torch then finds its submodules by itself
    if stood_in:
        config: Any = importlib.import_module("torch._inductor.config")
        config.deterministic = stood_in[config.__name__].deterministic
    return importlib.import_module(name)
