"""Training steps that a GPU replays: recorded once as a CUDA graph, instead of launched kernel by kernel.

A small network on a GPU waits for launches alone. What lies between ``before_forward`` and ``after_update`` is recorded
where every part of the run does the same to the same tensors there in each step; the rest of a step stays as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from clbench.avalanche import SupervisedPlugin
from clbench.optimizers import ScheduleLearningRate
from clbench.strategy import REPLAYED, Strategy

WARM = 3  # steps of a shape before it is recorded: optimisers and libraries set themselves up in them
WORTH = 200  # steps of a stage from which recording pays

Shape = tuple[Any, ...]


def repeats(plugins: Sequence[SupervisedPlugin], optimizer: torch.optim.Optimizer) -> bool:
    """Say whether a run's steps may be replayed: nothing in them is decided, counted or set by the host.

    Of the optimisers plain SGD with a constant rate alone: others count their steps on the host.
    """
    constant = not any(isinstance(plugin, ScheduleLearningRate) for plugin in plugins)
    plain = type(optimizer) is torch.optim.SGD and constant
    return plain and all(watches(plugin) or _repeats(plugin) for plugin in plugins)


def watches(plugin: SupervisedPlugin) -> bool:
    """Say whether a plugin only looks at a step, so that it may do so after it."""
    return bool(getattr(plugin, "watches", False))


def _repeats(plugin: SupervisedPlugin) -> bool:
    if isinstance(plugin, Strategy):
        return plugin.repeats()
    return all(getattr(type(plugin), hook, None) is getattr(SupervisedPlugin, hook, None) for hook in REPLAYED)


@dataclass
class Recorded:
    """One step: what it reads, and what it leaves behind in the same places each time."""

    graph: torch.cuda.CUDAGraph
    batch: list[Tensor]
    output: Tensor
    loss: Tensor
    rows: int  # samples that it trains on


class Replay:
    """The steps of one stage, recorded by the shapes of their batches."""

    def __init__(self) -> None:
        self.stream = torch.cuda.Stream()
        self.seen: Counter[Shape] = Counter()
        self.recorded: dict[Shape, Recorded] = {}
        self.refused = False

    def step(self, learner: Any, middle: Callable[[], None]) -> None:
        """Run the middle of a step on ``learner.mbatch``, replaying it where it has been recorded."""
        shape = (*(part.shape for part in learner.mbatch), learner.heads if isinstance(learner.heads, int) else None)
        self.seen[shape] += 1
        if self.seen[shape] > WARM and shape not in self.recorded and not self.refused:
            self._record(learner, middle, shape)
        known = self.recorded.get(shape)
        if known is None:
            self._launched(middle)
            return
        for place, part in zip(known.batch, learner.mbatch, strict=True):
            place.copy_(part)
        known.graph.replay()
        learner.mb_output, learner.loss = known.output.clone(), known.loss.clone()
        learner.rows.count += known.rows

    def _launched(self, middle: Callable[[], None]) -> None:
        """Run it kernel by kernel, on the stream that is recorded: autograd ties weights to one."""
        now = torch.cuda.current_stream()
        self.stream.wait_stream(now)
        with torch.cuda.stream(self.stream):
            middle()
        now.wait_stream(self.stream)

    def _record(self, learner: Any, middle: Callable[[], None], shape: Shape) -> None:
        """Record a step without running it; a network that asks the host something is left as it is."""
        rows, own = learner.rows.count, learner.mbatch
        batch = [part.clone() for part in own]
        graph = torch.cuda.CUDAGraph()
        try:
            with learner.in_place_of_batch(batch), torch.cuda.graph(graph, stream=self.stream):
                middle()
        except RuntimeError:
            self.refused = True
            torch.cuda.synchronize()
        else:
            output, loss = learner.mb_output.detach(), learner.loss.detach()
            self.recorded[shape] = Recorded(graph, batch, output, loss, learner.rows.count - rows)
        learner.rows.count = rows
