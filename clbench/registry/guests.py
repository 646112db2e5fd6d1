"""Avalanche's own strategies and benchmarks by import path: which there are, and what of their signatures a run gives.

Imports Avalanche, and with it torch, only when asked for one.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clbench.errors import UserError, did_you_mean
from clbench.registry.origins import PLUGIN, run_file, told
from clbench.roles import Role

STRATEGIES = ("avalanche.training.supervised", "avalanche.training.plugins")
BENCHMARKS = "avalanche.benchmarks"
EXAMPLES = {
    "strategy": "a class, for instance avalanche.training.plugins.EWCPlugin or avalanche.training.supervised.ICaRL",
    "scenario": "a function that returns a benchmark, for instance avalanche.benchmarks.SplitMNIST",
    "model": "a class",
}

# Parameters of a strategy's constructor that the run gives, whatever their defaults.
NETWORK = frozenset({"model", "slda_model", "feature_extractor", "classifier"})
SIZES = frozenset({"num_classes", "n_classes", "input_size", "p_size"})
LOOP = frozenset({"optimizer", "train_mb_size", "train_epochs", "eval_mb_size", "device"})
BESIDE = frozenset({"plugins", "evaluator", "eval_every", "peval_mode"})
# Those that it gives where the class has no default; one that has keeps its own.
UNLESS_DEFAULT = frozenset({"criterion", "buffer_transform", "cwr_layer_name"})
# Options without a default that have one here.
DEFAULTS: Mapping[str, Any] = {"memory_size": 500, "mem_size": 500, "fixed_memory": True}
# Parameters of a function that makes a benchmark that the run gives; its data root under any name that begins so.
OF_BENCHMARKS = frozenset({"seed", "train_transform", "eval_transform"})
ROOT = "dataset_root"

# Classes of Avalanche's that no run can use, and why.
CANNOT: Mapping[str, str] = {
    "AETraining": "it trains an autoencoder, which answers nothing",
    "VAETraining": "it trains a generator, which answers nothing",
    "TrainGeneratorAfterExpPlugin": "it is the part of GenerativeReplay that trains the generator",
    "AR1": "it brings a MobileNet of its own, with weights from the network",
    "ExpertGateStrategy": "it needs Avalanche's ExpertGate of AlexNets for a network",
    "PNNStrategy": "it needs Avalanche's PNN for a network",
    "SupervisedPlugin": "it is the base of plugins",
    **dict.fromkeys(
        ["CurrentDataNCMUpdate", "MemoryNCMUpdate", "NCMOracle"], "it needs Avalanche's NCMClassifier in the network"
    ),
    **dict.fromkeys(
        ["CurrentDataFeCAMUpdate", "MemoryFeCAMUpdate", "FeCAMOracle"],
        "it needs Avalanche's FeCAMClassifier in the network",
    ),
    "CWRStarPlugin": "it is made with the network, as the strategy CWRStar is",
    "GenerativeReplayPlugin": "it needs a generator, which the strategy GenerativeReplay brings",
    "LRSchedulerPlugin": "it needs an object of torch's; optimizer.schedule does the same",
}
ROLES: Mapping[str, Role] = {"Naive": "control", "JointTraining": "bound", "Cumulative": "bound"}
# What a run on somebody's benchmark is like, unless it says otherwise.
RECIPES: Mapping[str, Any] = {
    "vectors": {
        "model": {"name": "mlp", "widths": [128, 128], "norm": "layer"},
        "optimizer": {"name": "adam", "lr": 0.001},
        "epochs": 3,
        "batch_size": 256,
    },
    "*": {
        "model": {"name": "mlp", "widths": [256, 256]},
        "optimizer": {"name": "sgd", "lr": 0.05},
        "epochs": 1,
        "batch_size": 64,
    },
}


@dataclass(frozen=True)
class Terms:
    """How somebody's class or function is run. ``supplied``: parameters that the run gives; the others are options.

    ``defaults``: of options that have none of their own. ``whole``: it is a strategy with a training loop of its own,
    not a plugin of one.
    """

    supplied: frozenset[str] = frozenset()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    role: Role = "method"
    attributes: Mapping[str, Any] = field(default_factory=dict)
    whole: bool = False


def find(kind: str, path: str) -> Callable[..., Any]:
    """Return a class or function by import path, or of a file as in ``my_benchmark.py:make``.

    Raises UserError if it cannot be imported or does not say what its options are.
    """
    from clbench import avalanche  # noqa: F401  (first, so that Avalanche comes without its optional world)

    make = _of_file(kind, path) if ".py:" in path else _of_package(kind, path)
    try:
        inspect.signature(make)
    except (TypeError, ValueError):
        raise UserError(f"{kind} '{path}' has no options that can be read. Give {EXAMPLES[kind]}.") from None
    return make


def _of_package(kind: str, path: str) -> Callable[..., Any]:
    module, _, attribute = path.rpartition(".")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
        return found
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"{kind} '{path}' cannot be imported ({error}). Give {EXAMPLES[kind]}.") from None
    except Exception as error:
        file = error.filename if isinstance(error, SyntaxError) else traceback.extract_tb(error.__traceback__)[-1][0]
        raise told(Path(file or module), error) from None


def _of_file(kind: str, path: str) -> Callable[..., Any]:
    name, _, attribute = path.rpartition(":")
    file = Path(name)
    if not file.is_file():
        raise UserError(f"{kind}: there is no file {file}. Give the path of a Python file, as in my_file.py:make.")
    run_file(file.resolve())
    known = vars(sys.modules[f"{PLUGIN}{file.stem}"])
    if attribute not in known:
        callables = [key for key, value in known.items() if callable(value)]
        raise UserError(
            f"{kind}: {file} has no '{attribute}'.{did_you_mean(attribute, callables)} Name {EXAMPLES[kind]}."
        )
    found: Callable[..., Any] = known[attribute]
    return found


def terms(kind: str, make: Callable[..., Any]) -> Terms:
    """Say how a class or function is run as a unit of a kind."""
    if make.__name__ in CANNOT and make.__module__.startswith("avalanche."):
        raise UserError(f"{kind} '{make.__name__}' cannot be run: {CANNOT[make.__name__]}. Name another.")
    parameters = inspect.signature(make).parameters.values()
    if kind == "scenario":
        given = {one.name for one in parameters if one.name in OF_BENCHMARKS or one.name.startswith(ROOT)}
        return Terms(frozenset(given), attributes={"recipes": RECIPES})
    if kind != "strategy" or not is_whole(make):
        return Terms()
    required = {one.name for one in parameters if one.default is one.empty}
    return Terms(
        NETWORK | SIZES | LOOP | BESIDE | (UNLESS_DEFAULT & required),
        {name: value for name, value in DEFAULTS.items() if name in required},
        ROLES.get(make.__name__, "method"),
        whole=True,
    )


def is_whole(make: Callable[..., Any]) -> bool:
    """Whether a class is a strategy of Avalanche's with a training loop of its own, rather than a plugin."""
    from clbench.avalanche import BaseSGDTemplate

    return inspect.isclass(make) and issubclass(make, BaseSGDTemplate)


def listed(kind: str) -> dict[str, Callable[..., Any]]:
    """Return what Avalanche has of a kind, by import path: classes of strategies and plugins, or benchmarks."""
    from clbench.avalanche import BaseSGDTemplate, SupervisedPlugin

    found: dict[str, Callable[..., Any]] = {}
    for package in STRATEGIES if kind == "strategy" else (f"{BENCHMARKS}.classic",):
        for name, value in sorted(vars(importlib.import_module(package)).items()):
            own = getattr(value, "__module__", "").startswith(package) and not name.startswith("_")
            if kind == "strategy":
                wanted = own and inspect.isclass(value) and issubclass(value, BaseSGDTemplate | SupervisedPlugin)
            else:
                wanted = own and callable(value) and "train_transform" in inspect.signature(value).parameters
            if wanted:
                found[f"{BENCHMARKS if kind == 'scenario' else package}.{name}"] = value
    return found


def prose(make: Callable[..., Any]) -> str:
    """What a class or function says of itself, without its list of parameters."""
    return re.split(r"\n\s*:param|\n\s*:return", inspect.cleandoc(make.__doc__ or ""))[0].strip()


def words(make: Callable[..., Any]) -> dict[str, str]:
    """What it says of each parameter in its documentation, by name."""
    doc = inspect.cleandoc(make.__doc__ or "")
    if inspect.isclass(make):
        doc += "\n" + inspect.cleandoc(make.__init__.__doc__ or "")
    found = re.findall(r":param \**(\w+):(.*?)(?=\n\s*:|\n\s*\n|\Z)", doc, re.DOTALL)
    return {name: " ".join(text.split()) for name, text in found}
