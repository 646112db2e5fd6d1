"""Putting a state back into live objects: ``state.capture`` the other way round."""

from __future__ import annotations

import random
import sys
from collections import defaultdict
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from clbench.checkpoints.state import (
    CONTAINERS,
    FACTORIES,
    FUNCTIONS,
    Known,
    Node,
    StateError,
    Tree,
    attributes,
    flat,
    memory_of,
)
from clbench.models.copies import bare_copy


def restore(tree: Tree, root: Any, known: Known) -> None:
    """Put a state back into live objects, in place wherever there is one of the same kind.

    Raises StateError for what cannot be put back; the objects are not to be used then.
    """
    with torch.no_grad():
        _Reader(tree, known).read(tree.root, root)


class _Reader:
    def __init__(self, tree: Tree, known: Known) -> None:
        self.tree = tree
        self.known = known
        self.done: dict[int, Any] = {}
        self.blocks: dict[str, Tensor] = {name: flat(tensor) for name, tensor in known.tensors.items()}
        self.taken = {memory_of(block) for block in self.blocks.values()}

    def read(self, value: Any, live: Any = None) -> Any:
        if not isinstance(value, dict):
            return value
        index = value["node"]
        if index not in self.done:
            self.done[index] = self.node(index, self.tree.nodes[index], live)
        return self.done[index]

    def node(self, index: int, node: Node, live: Any) -> Any:
        match node["kind"]:
            case "known":
                return self.known.objects[node["name"]]
            case "float":
                return float(node["value"])
            case "tensor":
                return self.tensor(node, live)
            case "array":
                kind, shape, single = node["at"]
                array = np.frombuffer(self.read(node["value"]).numpy().tobytes(), kind).reshape(shape).copy()
                return array[()] if single else array
            case "generator":
                same = isinstance(live, torch.Generator) and str(live.device) == node["device"]
                generator = live if same else torch.Generator(node["device"])
                return generator.set_state(self.read(node["value"]).clone())
            case "chance":
                drawing = live if isinstance(live, random.Random) else random.Random()
                drawing.setstate(self.read(node["value"]))
                return drawing
            case "device":
                return torch.device(node["value"])
            case "dtype":
                return getattr(torch, node["value"])
            case "size":
                return torch.Size(node["value"])
            case "function":
                return FUNCTIONS[node["name"]]
            case "handle":
                return live
            case "live":
                if live is None:
                    raise StateError(f"{node['path']} is a {node['type']}, which no file can hold")
                return live
            case "object":
                return self.object(index, node, live)
        return self.container(index, node, live)

    def container(self, index: int, node: Node, live: Any) -> Any:
        kind, items = CONTAINERS[node["kind"]], node["items"]
        if kind is tuple:
            old = live if isinstance(live, tuple) and len(live) == len(items) else [None] * len(items)
            return tuple(self.read(item, one) for item, one in zip(items, old, strict=True))
        found: Any = live if type(live) is kind else kind()
        self.done[index] = found
        if kind is defaultdict and node["factory"] != "live":
            found.default_factory = FACTORIES.get(node["factory"])
        if isinstance(found, dict):
            before = dict(found)
            found.clear()
            for item in items:
                key = self.read(item[0])
                found[key] = self.read(item[1], before.get(key))
            return found
        old = [*found] if kind is not set else []
        found.clear()
        new = (self.read(item, old[place] if place < len(old) else None) for place, item in enumerate(items))
        found.update(new) if isinstance(found, set) else found.extend(new)
        return found

    def object(self, index: int, node: Node, live: Any) -> Any:
        module, _, name = node["class"].partition(":")
        if live is None or f"{type(live).__module__}:{type(live).__qualname__}" != node["class"]:
            like = self.known.modules.get(str(node.get("like")))
            live = self.made(module, name) if like is None else bare_copy(like)
        self.done[index] = live
        own = attributes(live)
        state = {key: self.read(value, own.get(key)) for key, value in node["state"]}
        handles = {key for key, value in node["state"] if _kind(self.tree, value) == "handle"}
        for key, value in state.items():
            if value is not None or key not in handles:
                object.__setattr__(live, key, value)  # past what frozen dataclasses and modules make of it
        if not node.get("foreign"):
            for key in own.keys() - state.keys():
                object.__delattr__(live, key)
        return live

    def made(self, module: str, name: str) -> Any:
        """An empty object of a class that is loaded already; nothing of it is called."""
        found: Any = sys.modules.get(module) if self.known.allows(module) else None
        for part in name.split("."):
            found = getattr(found, part, None)
        if not isinstance(found, type) or found.__module__ != module:
            raise StateError(f"{module}.{name} is no class that a checkpoint may have")
        value: Any = object.__new__(found)
        if isinstance(value, nn.Module):
            nn.Module.__init__(value)
        return value

    def tensor(self, node: Node, live: Any) -> Tensor:
        """A tensor in its block of memory: the live one's, if that stood in the same relation to all others."""
        name, (offset, shape, stride) = node["memory"], node["at"]
        if name not in self.blocks:
            content = self.tree.memory[name]
            block = flat(live.detach()) if isinstance(live, Tensor) else None
            fits = (
                block is not None
                and block.dtype == content.dtype
                and block.shape == content.shape
                and str(block.device) == node["device"]
                and memory_of(block) not in self.taken
            )
            self.blocks[name] = (
                block if fits and block is not None else torch.empty_like(content, device=node["device"])
            )
            self.blocks[name].copy_(content)
            self.taken.add(memory_of(self.blocks[name]))
        block = self.blocks[name]
        same = (
            isinstance(live, Tensor)
            and memory_of(live.detach()) == memory_of(block)
            and [live.storage_offset(), list(live.shape), list(live.stride())] == node["at"]
            and (live.requires_grad and live.is_leaf) == node["grad"]
            and isinstance(live, nn.Parameter) == node["parameter"]
        )
        if same:
            return live  # type: ignore[no-any-return]
        found = torch.empty(0, dtype=block.dtype, device=block.device)
        found.set_(block.untyped_storage(), offset, shape, stride)
        if node["parameter"]:
            return nn.Parameter(found, requires_grad=node["grad"])
        return found.requires_grad_(node["grad"]) if node["grad"] else found


def _kind(tree: Tree, value: Any) -> str | None:
    return tree.nodes[value["node"]]["kind"] if isinstance(value, dict) else None
