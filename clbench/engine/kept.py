"""What a strategy keeps beside the network from one stage to the next, in bytes: found, not told by the strategy."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from clbench.avalanche import SupervisedPlugin
from clbench.checkpoints.state import LIVE, Known, attributes, memory_of
from clbench.data.tensors import TaskData

PLAIN = (bool, int, float, str, bytes, *LIVE)  # what reaches no tensor of its own


@dataclass(frozen=True)
class Kept:
    """Bytes of samples, with whatever is kept of each (label, logits), and of everything else."""

    memory: int
    state: int


def kept(plugins: Sequence[SupervisedPlugin], known: Known, others: Iterable[Tensor]) -> Kept:
    """Measure the tensors that plugins reach, each block of memory once and whole, however little of it is in use.

    Samples are what a ``TaskData`` holds, or an object around one that is no plugin itself, such as a reservoir. What
    is ``known``, and what shares memory with the ``others`` – the network, the stage's data –, is not the plugins'.
    Nothing is read from the device.
    """
    walk = _Walk(known, {memory_of(tensor.detach()) for tensor in (*known.tensors.values(), *others)})
    for plugin in plugins:
        walk.look(plugin)
    memory = sum(walk.samples.values())
    return Kept(memory, sum(size for block, size in walk.blocks.items() if block not in walk.samples))


def tensors_of(module: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[Tensor]:
    """Everything of a network and of its optimiser: weights, gradients, statistics, moments."""
    for weight in module.parameters():
        yield weight
        if weight.grad is not None:
            yield weight.grad
    yield from module.buffers()
    for state in optimizer.state.values():
        yield from (value for value in state.values() if isinstance(value, Tensor))


class _Walk:
    """Goes wherever a checkpoint goes, but passes over what no checkpoint could hold."""

    def __init__(self, known: Known, others: set[int]) -> None:
        self.known = known
        self.others = others
        self.blocks: dict[int, int] = {}  # bytes of each block of memory
        self.samples: dict[int, int] = {}  # of those that hold samples
        self._passed = {id(value) for value in known.objects.values()}
        self._seen: set[tuple[int, bool]] = set()
        self._alive: list[object] = []  # so that no id is used twice

    def look(self, root: object) -> None:
        """Note every tensor that an object reaches."""
        left: deque[tuple[Any, bool]] = deque([(root, False)])
        while left:
            value, of_samples = left.popleft()
            if value is None or isinstance(value, PLAIN) or id(value) in self._passed:
                continue
            if (id(value), of_samples) in self._seen:
                continue
            self._seen.add((id(value), of_samples))
            self._alive.append(value)
            if isinstance(value, Tensor):
                self._tensor(value.detach(), of_samples)
            elif isinstance(value, np.ndarray):
                self._note(id(value if value.base is None else value.base), value.nbytes, of_samples)
            else:
                parts = self._parts(value)
                inside = of_samples or _holds_samples(value, parts)
                left.extend((part, inside) for part in parts)

    def _parts(self, value: Any) -> list[Any]:
        if isinstance(value, dict):
            return [*value.keys(), *value.values()]
        if isinstance(value, list | tuple | set | frozenset | deque):
            return [*value]
        if isinstance(value, TaskData):
            return [value.samples, value.labels, value.heads]  # the encoder is the whole stream's
        if self.known.allows(type(value).__module__) or isinstance(value, torch.optim.Optimizer | nn.Module):
            return [*attributes(value).values()]
        return []

    def _tensor(self, tensor: Tensor, of_samples: bool) -> None:
        if tensor.layout is torch.strided and memory_of(tensor) not in self.others:
            self._note(memory_of(tensor), tensor.untyped_storage().nbytes(), of_samples)

    def _note(self, block: int, size: int, of_samples: bool) -> None:
        self.blocks[block] = size
        if of_samples:
            self.samples[block] = size


def _holds_samples(value: object, parts: Sequence[object]) -> bool:
    """Whether all that an object reaches belongs to samples: a plugin may hold a memory beside much else."""
    if isinstance(value, TaskData):
        return True
    own = isinstance(value, SupervisedPlugin | dict | list | tuple | set | frozenset | deque)
    return not own and any(isinstance(part, TaskData) for part in parts)
