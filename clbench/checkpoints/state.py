"""The state of live objects as plain values and tensors, and back: what a checkpoint holds.

As with pickle, one object that is found twice stays one, and tensors that share memory go on sharing it. Unlike
pickle, reading cannot run anything: objects are made of classes of a few packages without calling them, and functions
are never read – they stay those that the program itself has put there (``restore.py``). Of modules whose classes are
somebody else's only numbers, words and tensors are written, and such a module is never made: where a strategy has kept
a copy of the network, a copy of the network that the program has made itself takes the state.

A tree is a list of nodes; a value is written as itself if JSON has it, else as ``{"node": index}``.
"""

from __future__ import annotations

import random
import re
import types
import weakref
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

Node = dict[str, Any]
CONTAINERS: dict[str, type] = {one.__name__: one for one in (list, tuple, set, dict, OrderedDict, defaultdict, deque)}
FACTORIES: dict[str, type] = {one.__name__: one for one in (list, dict, set, int, float)}
FUNCTIONS: dict[str, Any] = {one.__name__: one for one in (torch.zeros, torch.ones, torch.empty)}  # harmless ones
LIVE = (types.FunctionType, types.MethodType, types.BuiltinFunctionType, type, types.ModuleType, weakref.ref)
PACKAGES = ("clbench", "avalanche", "timm", "torch.nn")
OPTIMIZER = ("state", "param_groups")
MODULE = ("_parameters", "_buffers", "_modules", "training")  # what every module has
INSIDE = re.compile(r"(?:\._modules\['[^']*'\])*$")  # the end of a path: where in a network a module is


class StateError(Exception):
    """Something that cannot be written, or cannot be put back."""


@dataclass
class Tree:
    """Nodes and the memory that their tensors lie in; ``memory`` has one flat tensor for each block of it."""

    root: Any
    nodes: list[Node]
    memory: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class Known:
    """What is not written but named: objects, and tensors whose memory everything else may share.

    ``packages``: where classes may come from, besides clbench's own and Avalanche's. ``modules``: those of the network
    itself, by name.
    """

    objects: Mapping[str, object]
    tensors: Mapping[str, Tensor]
    packages: Iterable[str] = ()
    modules: Mapping[str, nn.Module] = field(default_factory=dict)

    def like(self, value: nn.Module, path: str) -> str | None:
        """The name of the network's own module that one is a copy of, going by its place in a network.

        A network that grows has such copies inside: what they are part of does not count there.
        """
        inside = re.findall(r"'([^']*)'", INSIDE.findall(path)[0])
        places = [".".join(inside[start:]) for start in range(len(inside) + 1)]
        names = [places[0], *(f"backbone.{place}" if place else "backbone" for place in places)]
        return next((name for name in names if type(self.modules.get(name)) is type(value)), None)

    def allows(self, module: str) -> bool:
        """Whether objects of a module's classes may be written and made."""
        return any(module == one or module.startswith(f"{one}.") for one in (*PACKAGES, *self.packages))


def attributes(value: Any) -> dict[str, Any]:
    """Return what makes up an object's state; a module's hooks are the program's business."""
    found = {name: getattr(value, name) for name in slots(type(value)) if hasattr(value, name)}
    found |= getattr(value, "__dict__", {})
    if isinstance(value, torch.optim.Optimizer):
        return {name: found[name] for name in OPTIMIZER}
    if isinstance(value, nn.Module):
        return {name: one for name, one in found.items() if not name.endswith(("_hooks", "_hooks_with_kwargs"))}
    return found


def held(module: nn.Module) -> dict[str, Any]:
    """Return what makes up the state of a module of any class, as far as a file can hold it."""
    return {name: one for name, one in attributes(module).items() if name in MODULE or _plain(one)}


def _plain(value: Any) -> bool:
    """Whether a value is a number, a word, a tensor, or made of such."""
    if isinstance(value, dict):
        return type(value) in CONTAINERS.values() and all(_plain(one) for pair in value.items() for one in pair)
    if type(value) in CONTAINERS.values():
        return all(map(_plain, value))
    return type(value) in (type(None), bool, int, float, str) or isinstance(value, Tensor | np.ndarray | torch.Size)


def slots(kind: type) -> list[str]:
    """Return the names of attributes that a class keeps outside of ``__dict__``."""
    return [name for base in kind.__mro__ for name in getattr(base, "__slots__", ()) if not name.startswith("__")]


def memory_of(tensor: Tensor) -> int:
    """A number that tensors share if they share memory."""
    return int(tensor.untyped_storage()._cdata)


def flat(tensor: Tensor) -> Tensor:
    """The whole block of memory that a tensor lies in, as one flat tensor of its type."""
    block = tensor.untyped_storage()
    return torch.empty(0, dtype=tensor.dtype, device=tensor.device).set_(  # type: ignore[call-overload,no-any-return]
        block, 0, (block.nbytes() // tensor.element_size(),)
    )


class _Writer:
    def __init__(self, known: Known) -> None:
        self.tree = Tree(None, [])
        self.known = known
        self.names = {id(value): name for name, value in known.objects.items()}
        self.blocks = {memory_of(tensor): name for name, tensor in known.tensors.items()}
        self.types = {name: tensor.dtype for name, tensor in known.tensors.items()}
        self.seen: dict[int, int] = {}
        self.alive: list[object] = []  # so that no id is used twice

    def write(self, value: Any, path: str) -> Any:
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float and value == value and abs(value) != float("inf"):
            return value
        if id(value) not in self.seen:
            self.alive.append(value)
            self.seen[id(value)] = len(self.tree.nodes)
            node: Node = {}
            self.tree.nodes.append(node)
            node |= self.node(value, path)
        return {"node": self.seen[id(value)]}

    def node(self, value: Any, path: str) -> Node:
        if id(value) in self.names:
            return {"kind": "known", "name": self.names[id(value)]}
        match value:
            case float():
                return {"kind": "float", "value": repr(value)}
            case Tensor():
                return self.tensor(value, path)
            case np.ndarray() | np.generic() if value.dtype != object:
                raw = torch.from_numpy(np.frombuffer(value.tobytes(), np.uint8).copy())
                at = [value.dtype.str, list(value.shape), isinstance(value, np.generic)]
                return {"kind": "array", "value": self.write(raw, path), "at": at}
            case torch.Generator():
                state = self.write(value.get_state(), path)
                return {"kind": "generator", "device": str(value.device), "value": state}
            case random.Random():
                return {"kind": "chance", "value": self.write(value.getstate(), path)}
            case torch.device() | torch.dtype():
                return {"kind": type(value).__name__, "value": str(value).removeprefix("torch.")}
            case torch.Size():
                return {"kind": "size", "value": list(value)}
            case RemovableHandle():
                return {"kind": "handle"}
        if type(value) in CONTAINERS.values():
            return self.container(value, path)
        for name, function in FUNCTIONS.items():
            if value is function:
                return {"kind": "function", "name": name}
        if isinstance(value, LIVE):
            return {"kind": "live", "type": type(value).__name__, "path": path}
        return self.object(value, path)

    def object(self, value: Any, path: str) -> Node:
        kind = type(value)
        foreign = not self.known.allows(kind.__module__) and not isinstance(value, torch.optim.Optimizer)
        if foreign and not isinstance(value, nn.Module):
            raise StateError(f"{path} is a {kind.__module__}.{kind.__qualname__}")
        own = held(value) if foreign else attributes(value)
        state = [[name, self.write(one, f"{path}.{name}")] for name, one in own.items()]
        node: Node = {"kind": "object", "class": f"{kind.__module__}:{kind.__qualname__}", "state": state}
        if isinstance(value, nn.Module):
            node |= {"foreign": foreign, "like": self.known.like(value, path)}
        return node

    def container(self, value: Any, path: str) -> Node:
        node: Node = {"kind": type(value).__name__}
        if isinstance(value, defaultdict):
            factory = getattr(value.default_factory, "__name__", None)
            if factory is not None and FACTORIES.get(factory) is not value.default_factory:
                factory = "live"
            node["factory"] = factory
        if isinstance(value, dict):
            return node | {"items": [[self.write(k, path), self.write(v, f"{path}[{k!r}]")] for k, v in value.items()]}
        return node | {"items": [self.write(one, f"{path}[{place}]") for place, one in enumerate(value)]}

    def tensor(self, value: Tensor, path: str) -> Node:
        whole = value.detach()
        number = memory_of(whole)
        if number not in self.blocks:
            name = str(len(self.tree.memory))
            self.blocks[number] = name
            self.tree.memory[name] = flat(whole)
            self.types[name] = whole.dtype
        if self.types.get(self.blocks[number], whole.dtype) is not whole.dtype:
            raise StateError(f"{path} shares its memory with a tensor of another type")
        return {
            "kind": "tensor",
            "memory": self.blocks[number],
            "device": str(whole.device),
            "at": [whole.storage_offset(), list(whole.shape), list(whole.stride())],
            "parameter": isinstance(value, nn.Parameter),
            "grad": value.requires_grad and value.is_leaf,
        }


def capture(root: Any, known: Known) -> Tree:
    """Return the state of an object and all that it refers to; tensors are not copied.

    Raises StateError that names what cannot be written.
    """
    writer = _Writer(known)
    writer.tree.root = writer.write(root, "state")
    return writer.tree
