"""clbench: a continual-learning benchmark harness for the command line and for programs.

The *doing* half trains (``clbench.engine``, torch, Avalanche); the *telling* half compares and prints
(``clbench.analysis``, ``clbench.render``) and imports no torch. A Result (``clbench.store``) is the only door
between them. ``import clbench as cl`` has the verbs of the command line: ``cl.run``, ``cl.compare``, …
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clbench.api import Board, Checked, Results, Stream, Tuned, check, compare, load, run, stream, sweep, tune
    from clbench.errors import UserError

__version__ = "0.1.0"
__all__ = [
    "Board",
    "Checked",
    "Results",
    "Stream",
    "Tuned",
    "UserError",
    "check",
    "compare",
    "load",
    "run",
    "stream",
    "sweep",
    "tune",
]


if not TYPE_CHECKING:  # a type checker that saw it would believe in every name

    def __getattr__(name: str) -> Any:
        """Import a verb when it is first used: importing clbench itself must cost nothing."""
        if name not in __all__:
            raise AttributeError(f"module 'clbench' has no attribute {name!r}")
        return getattr(importlib.import_module("clbench.errors" if name == "UserError" else "clbench.api"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
