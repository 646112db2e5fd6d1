"""Anybody's networks by name: a class of a file, a class of a package, or one of timm's. Imports torch only for these.

``my_net.py:Net`` is a file and what it is called there; ``torchvision.models.resnet18`` an import path;
``timm/resnet18`` a name of timm's. Each is a class or function that makes a network of its options; of the rest, only a
parameter called ``shape`` is given by clbench: the shape of a sample.
"""

from __future__ import annotations

import importlib
import inspect
import os
import socket
import sys
import traceback
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from clbench.errors import UserError, did_you_mean, in_words
from clbench.registry.origins import PLUGIN, run_file, told

TIMM = "timm/"
TAKEN = ("name", "classifier")  # keys of the section that are clbench's own
FETCHED = ("weights", "pretrained")  # what options that ask for learnt weights are called, or begin or end with


@dataclass(frozen=True)
class Found:
    """What makes networks, under its canonical name, the module whose code it is, and what is called for its options.

    ``signature`` is ``make`` itself, or what stands behind it. ``own``: the user's own code, not a package's.
    """

    name: str
    make: Callable[..., Any]
    module: str
    signature: Callable[..., Any]
    own: bool = False


def is_foreign(name: str) -> bool:
    """Whether a name is that of a file, an import path or one of timm's, rather than of a unit."""
    return name.startswith(TIMM) or "." in name


def find(name: str) -> Found:
    """Return what makes a network; UserError if there is no such file, package or name."""
    if name.startswith(TIMM):
        return _of_timm(name)
    if name.endswith(".py") or ".py:" in name:
        return _of_file(name)
    return _of_package(name)


def _of_file(name: str) -> Found:
    path, _, attribute = name.rpartition(":") if ".py:" in name else (name, "", "")
    file = Path(path)
    if not file.is_file():
        raise UserError(f"model: there is no file {path}. Give the path of a Python file, as in my_net.py:Net.")
    if not attribute:
        raise UserError(f"model: say which class or function of {path} makes the network, as in {path}:Net.")
    run_file(file.resolve())
    module = sys.modules[f"{PLUGIN}{file.stem}"]
    known = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
    if attribute not in vars(module):
        raise UserError(
            f"model: {path} has no '{attribute}'.{did_you_mean(attribute, known)} Name a class or function of it that "
            "makes the network."
        )
    make = _maker(name, vars(module)[attribute])
    return Found(f"{os.path.normpath(path)}:{attribute}", make, module.__name__, make, own=True)


def _of_package(name: str) -> Found:
    module, _, attribute = name.rpartition(".")
    try:
        make = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"model '{name}' cannot be imported ({error}). Give the import path of a class or function that makes a "
            "network, such as torchvision.models.resnet18, or a file and a class, my_net.py:Net."
        ) from None
    except Exception as error:
        raise told(Path(traceback.extract_tb(error.__traceback__)[-1].filename), error) from None
    make = _maker(name, make)
    return Found(name, make, getattr(make, "__module__", None) or module, make)


def _of_timm(name: str) -> Found:
    try:
        import timm
    except ModuleNotFoundError:
        raise UserError(f"model '{name}' needs timm, which is not installed. Run: pip install 'clbench[vit]'") from None
    own = name.removeprefix(TIMM)
    entry, _, tag = own.partition(".")
    if not timm.is_model(entry) or (tag and not timm.models.is_model_pretrained(own)):
        raise UserError(
            f"model: timm has no network '{own}'.{did_you_mean(own, timm.list_models())} 'python -c \"import timm; "
            "print(timm.list_models())\"' shows all."
        )

    def make(**options: Any) -> Any:
        return timm.create_model(own, **options)

    entry_point = timm.models.model_entrypoint(entry)
    return Found(name, make, entry_point.__module__, entry_point)


def _maker(name: str, value: Any) -> Callable[..., Any]:
    """The value, if something can be made with it whose options can be read."""
    if not callable(value) or (not inspect.isclass(value) and hasattr(value, "state_dict")):
        what = (
            f"a {type(value).__name__}, made already" if hasattr(value, "state_dict") else f"a {type(value).__name__}"
        )
        raise UserError(
            f"model: '{name}' is {what}. Name a class or a function that makes the network anew for each seed."
        )
    try:
        inspect.signature(value)
    except (TypeError, ValueError):
        raise UserError(
            f"model: '{name}' does not say which options it has. Wrap it in a function, in a file of your own."
        ) from None
    made: Callable[..., Any] = value
    return made


def made(found: Found, shape: tuple[int, ...], options: Mapping[str, Any], offline: bool) -> Any:
    """Call what makes the network. UserError with its own error if it raises.

    Learnt weights are fetched only where an option asks for some, and never ``offline``; code of the user's own may do
    as it likes where it is not.
    """
    asked = [key for key, value in options.items() if value and any(word in key for word in FETCHED)]
    given = {"shape": shape} if takes_shape(found) else {}
    free = not offline and (bool(asked) or found.own)
    try:
        with unconnected(free):
            return found.make(**given, **options)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"model '{found.name}' cannot be made: {in_words(error)}. {_help(asked, offline)}") from None


def _help(asked: list[str], offline: bool) -> str:
    if asked and offline:
        return f"Offline no weights are fetched: leave model.{asked[0]} out, or run once without --offline."
    if asked:
        return f"model.{asked[0]} asks for learnt weights: check its value and the network, or leave it out."
    return "Its options are set with --set model.…=…"


def takes_shape(found: Found) -> bool:
    """Whether a sample's shape is given."""
    return "shape" in inspect.signature(found.signature).parameters


@contextmanager
def unconnected(free: bool) -> Iterator[None]:
    """Find no other machine meanwhile, unless ``free``: nothing else keeps every constructor from fetching."""
    usual = socket.getaddrinfo
    hub = sys.modules.get("huggingface_hub.constants")  # which asks again and again, unless it knows
    alone = getattr(hub, "HF_HUB_OFFLINE", False)

    def refuse(*where: Any, **more: Any) -> Any:
        raise OSError("nothing is fetched from other machines unless an option asks for it")

    if not free:
        socket.getaddrinfo = refuse
        if hub is not None:
            vars(hub)["HF_HUB_OFFLINE"] = True
    try:
        yield
    finally:
        socket.getaddrinfo = usual
        if hub is not None:
            vars(hub)["HF_HUB_OFFLINE"] = alone


def is_option(parameter: inspect.Parameter) -> bool:
    """Whether a parameter can be set. Raises UserError for one that must be and that no key can name."""
    if parameter.name == "shape":
        return False
    if parameter.name not in TAKEN and not parameter.name.startswith("_"):
        return True
    if parameter.default is parameter.empty:
        raise UserError(
            f"model.{parameter.name}: the network needs a '{parameter.name}', which cannot be set: the key is "
            "clbench's own. Wrap the network in a function that gives it."
        )
    return False


def written_type(hint: Any, default: Any) -> Any:
    """The type of an option as YAML can write it; Any for what it cannot. A default of None is allowed in any case."""
    if not _writable(hint):
        return Any
    return hint | None if default is None else hint


def _writable(hint: Any) -> bool:
    if hint in (int, float, bool, str, list, tuple, dict, type(None), Ellipsis):
        return True
    kind, parts = get_origin(hint), get_args(hint)
    if kind is Literal:
        return True
    if kind is Annotated:
        return _writable(parts[0])
    return kind in (Union, types.UnionType, list, tuple, dict) and all(map(_writable, parts))
