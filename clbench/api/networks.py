"""Networks as objects: a class, a function that makes one, or a module with its weights; a fresh one for each seed."""

from __future__ import annotations

import copy
import hashlib
import inspect
import pickle
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from clbench import registry
from clbench.api.instances import STATE, Lent
from clbench.api.settings import plain
from clbench.api.source_text import Loaded, code_of
from clbench.errors import UserError, in_words
from clbench.registry.foreign import Found
from clbench.registry.origins import OWN, Origin

if TYPE_CHECKING:
    from pydantic import BaseModel
    from torch import nn

    Network = nn.Module | type[nn.Module] | Callable[..., nn.Module]

PLAIN = (bool, int, float, str, type(None))


@dataclass(frozen=True)
class Maker(Lent):
    """A class or function of a program that makes networks; its parameters are its options, as for one by its path."""

    @cached_property
    def schema(self) -> type[BaseModel]:
        """The parameters, and a digest of what else it is made of, if it has one."""
        from pydantic import create_model

        assert self.foreign is not None
        parameters = registry.options_model(self.name, self.foreign.signature, keyword_only=False, lenient=True)
        fixed: dict[str, Any] = {name: (Any, value) for name, value in self.options.items()}
        return create_model(self.name, __base__=parameters, **fixed)


def lent(thing: object) -> Lent:
    """Return a network as a unit: what makes one is called anew for each seed, of a module each seed has a copy.

    A module's copies begin with its weights as they are now; only the classifiers in place of its last linear layer are
    drawn. Its name is that of its class or function, its option a digest of weights and structure. Raises UserError for
    what is no network, makes none, or cannot be copied.
    """
    from torch import nn

    if isinstance(thing, nn.Module):
        return _module(thing)
    if not callable(thing) or (isinstance(thing, type) and not issubclass(thing, nn.Module)):
        got = thing.__name__ if isinstance(thing, type) else f"an object of type {type(thing).__name__}"
        raise UserError(
            "model: expected a name such as 'mlp', a mapping such as {'name': 'mlp', 'widths': [9]}, a torch.nn.Module "
            f"or what makes one, a class or function, got {got}."
        )
    declared = registry.model.made_by(thing)
    if declared is not None:
        raise UserError(f"model: that is '{declared.name}' of the catalogue. Give its name: model='{declared.name}'.")
    try:
        inspect.signature(thing)
    except (TypeError, ValueError):
        raise UserError(
            "model: what makes the network does not say which options it has. Wrap it in a function."
        ) from None
    inner = thing.func if isinstance(thing, partial) else thing
    name, inside = _name(inner), _inside(thing)

    def make(**options: Any) -> Any:
        return thing(**{key: value for key, value in options.items() if key not in inside})

    found = Found(name, make, _module_of(inner), thing, own=True)
    return Maker(name=name, make=make, foreign=found, options=inside, code=_code([inner]))


def _inside(make: Callable[..., Any]) -> Mapping[str, Any]:
    """A digest of what goes into a network and is neither parameter nor source text: what a function found around it
    when it was made, what an object holds. Two of one text must not be taken for seeds of one network.
    """
    held: list[object] = []
    inner = make
    if isinstance(make, partial):
        inner = make.func
        held += [make.args, make.keywords] if make.args or make.keywords else []
    if isinstance(inner, FunctionType):
        around = inspect.getclosurevars(inner)
        named = sorted({**around.globals, **around.nonlocals}.items())
        held += [one for one in named if not isinstance(one[1], ModuleType | type | FunctionType)]
    elif not isinstance(inner, type):
        held.append(inner)
    return {STATE: hashlib.sha256(b"".join(map(_pickled, held))).hexdigest()[:12]} if held else {}


def _module(module: nn.Module) -> Lent:
    """A module as it is."""
    kind = type(module)
    try:
        kept = copy.deepcopy(module).cpu()
    except Exception as error:  # whatever its own parts raise
        raise UserError(
            f"model: the {kind.__name__} cannot be copied ({in_words(error)}), and each seed needs a copy of its own. "
            f"Give its class, or a function that makes it: model=lambda: {kind.__name__}(…)."
        ) from None
    name = _name(kind)

    def make(**_: Any) -> nn.Module:
        return copy.deepcopy(kept)

    found = Found(name, make, _module_of(kind), make, own=True)
    kinds = list(dict.fromkeys(type(one) for one in module.modules()))
    return Lent(name=name, make=make, foreign=found, options={STATE: _digest(kept)}, code=_code(kinds))


def _name(thing: Any) -> str:
    """A class's or function's name; with its module before it, if clbench has a network of that name."""
    name = re.sub(r"[^\w]", "", getattr(thing, "__name__", type(thing).__name__))
    taken = name in registry.model or name in registry.model.listed
    return f"{_module_of(thing)}.{name}" if taken else name


def _module_of(thing: Any) -> str:
    return str(getattr(thing, "__module__", None) or "__main__")


def _digest(module: nn.Module) -> str:
    """12 hex digits of what tells two modules of a class apart: structure, plain attributes, weights, statistics."""
    import torch

    digest = hashlib.sha256(repr(module).encode())
    for name, one in module.named_modules():
        told = {key: plain(value) for key, value in sorted(vars(one).items()) if key[0] != "_" and _is_plain(value)}
        digest.update(f"{name} {told | {'training': None}}".encode())
    for name, value in module.state_dict().items():
        digest.update(name.encode())
        if isinstance(value, torch.Tensor):
            digest.update(f"{value.dtype}{tuple(value.shape)}".encode())
            flat = value.detach().contiguous().reshape(-1)
            digest.update(flat.view(torch.uint8).numpy().tobytes())
        else:
            digest.update(_pickled(value))
    return digest.hexdigest()[:12]


def _is_plain(value: Any) -> bool:
    return isinstance(value, PLAIN) or (isinstance(value, list | tuple) and all(_is_plain(one) for one in value))


def _pickled(value: object) -> bytes:
    """An object's content; where nobody can say, itself and no other."""
    try:
        return pickle.dumps(value)
    except Exception:  # each class has its own
        return uuid.uuid4().bytes


def _code(things: list[Any]) -> Origin | None:
    """Where classes or functions come from that are neither torch's nor clbench's: one of them, or all together."""
    found = list(dict.fromkeys(_origins(things)))
    if len(found) < 2:
        return next(iter(found), None)
    joined = hashlib.sha256("\n".join(sorted(one.sha256 for one in found)).encode()).hexdigest()
    return Loaded(", ".join(dict.fromkeys(one.source for one in found)), Path(found[0].file), joined)


def _origins(things: list[Any]) -> Iterator[Origin]:
    for thing in things:
        if _module_of(thing).partition(".")[0] not in (OWN, "torch"):
            known = thing if isinstance(thing, type | FunctionType) else type(thing)
            origin = code_of(known)
            if origin is not None:
                yield origin
