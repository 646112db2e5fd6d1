"""Many runs as one piece of work: plans, workers, choosing settings.

This package has the name of a verb: Python puts it in the place of ``clbench.sweep`` as soon as it is imported. So it
can be called, and is the verb.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Verb(ModuleType):
    def __call__(self, *arguments: Any, **settings: Any) -> Any:
        from clbench.api import sweep

        return sweep(*arguments, **settings)


sys.modules[__name__].__class__ = _Verb
