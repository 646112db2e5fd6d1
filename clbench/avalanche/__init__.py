"""The one door to Avalanche: what clbench uses of it, imported without its optional world.

Importing Avalanche pulls in Weights & Biases, TensorBoard, torchmetrics, matplotlib, GPUtil and gdown at module level,
though only optional loggers, a few metrics and one downloader use them. While Avalanche is imported they are stood in
for by objects that import the real thing when first used; afterwards the names are free again. PyTorch's compiler is
stood in for from then on.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from clbench.avalanche.compiler import without_compiler

OPTIONAL = (
    "wandb",
    "gdown",
    "qpsolvers",
    "GPUtil",
    "matplotlib",
    "matplotlib.axes",
    "matplotlib.figure",
    "matplotlib.pyplot",
    "torch.utils.tensorboard",
    "torchmetrics",
    "torchmetrics.functional",
)


class _Deferred:
    """A class or function of an optional package, imported when called."""

    def __init__(self, module: str, name: str) -> None:
        self._module, self._name = module, name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._real()(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._real(), name)

    def __instancecheck__(self, instance: object) -> bool:
        """Nothing is an instance of a class that nobody has imported."""
        return self._module in sys.modules and isinstance(instance, self._real())

    def _real(self) -> Any:
        return getattr(importlib.import_module(self._module), self._name)


class _StandIn(ModuleType):
    """An optional package while Avalanche is imported; afterwards, attribute access reaches the real one."""

    __version__ = "0"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            return _Deferred(self.__name__, name)
        return getattr(importlib.import_module(self.__name__), name)


@contextmanager
def _optional_world_deferred() -> Iterator[None]:
    stand_ins = {name: _StandIn(name) for name in OPTIONAL if name not in sys.modules}
    sys.modules.update(stand_ins)
    for name, module in stand_ins.items():
        package, _, last = name.rpartition(".")
        if package in stand_ins:
            setattr(stand_ins[package], last, module)
    try:
        yield
    finally:
        for name, module in stand_ins.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


without_compiler()
with _optional_world_deferred(), warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its own dependencies' deprecations, which a user can do nothing about
    from avalanche.benchmarks import CLExperience, CLScenario
    from avalanche.benchmarks.scenarios.generic_scenario import EagerCLStream
    from avalanche.benchmarks.utils import _make_taskaware_classification_dataset
    from avalanche.core import SupervisedPlugin
    from avalanche.logging import TensorboardLogger
    from avalanche.models import BaseModel, IncrementalClassifier, MultiTaskModule, SCRModel
    from avalanche.models.dynamic_modules import DynamicModule
    from avalanche.models.packnet import PackNetModel, PackNetModule
    from avalanche.training.supervised import JointTraining
    from avalanche.training.templates import SupervisedTemplate
    from avalanche.training.templates.base_sgd import BaseSGDTemplate

make_classification_dataset = _make_taskaware_classification_dataset

__all__ = [
    "BaseModel",
    "BaseSGDTemplate",
    "CLExperience",
    "CLScenario",
    "DynamicModule",
    "EagerCLStream",
    "IncrementalClassifier",
    "JointTraining",
    "MultiTaskModule",
    "PackNetModel",
    "PackNetModule",
    "SCRModel",
    "SupervisedPlugin",
    "SupervisedTemplate",
    "TensorboardLogger",
    "make_classification_dataset",
]
