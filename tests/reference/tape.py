"""What a run of the real learner saw and made, for a reference to be fed with and compared to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from clbench import store
from clbench.config import RunConfig
from clbench.data.sources import DataPlace
from clbench.engine import run as engine
from clbench.engine.watches import Watches
from clbench.strategy import Strategy

Named = dict[str, Tensor]


@dataclass
class Stage:
    """One training stage: its data, its epochs of batches (inputs, labels), weights before it and after each step."""

    inputs: Tensor
    labels: Tensor
    head: int
    start: Named
    epochs: list[list[tuple[Tensor, Tensor]]] = field(default_factory=list)
    weights: list[Named] = field(default_factory=list)

    @property
    def steps(self) -> int:
        """How many steps it has."""
        return sum(len(epoch) for epoch in self.epochs)


@dataclass
class Tape:
    """A whole run. ``random`` gives the run's own generator for a purpose."""

    stages: list[Stage] = field(default_factory=list)
    random: Callable[[str], torch.Generator] = torch.Generator
    heads: bool = False  # whether each task has a head of its own


class Recorder(Strategy):
    """Turns the network to float64 and writes everything down."""

    def __init__(self, tape: Tape) -> None:
        super().__init__()
        self.tape = tape

    def before_training_exp(self, learner: Any, **kwargs: Any) -> None:
        learner.model.double()
        if not self.tape.stages:
            learner.model.register_forward_pre_hook(lambda _, given: (given[0].double(), *given[1:]))
        data = learner.data
        self.tape.random = learner.random
        self.tape.heads = any(name.startswith("classifier.1.") for name, _ in learner.model.named_parameters())
        inputs = data.inputs(data.samples).double()
        self.tape.stages.append(Stage(inputs, data.labels, int(data.heads[0]), named(learner)))

    def before_training_epoch(self, learner: Any, **kwargs: Any) -> None:
        self.tape.stages[-1].epochs.append([])

    def before_training_iteration(self, learner: Any, **kwargs: Any) -> None:
        x, y = learner.mbatch[:2]
        self.tape.stages[-1].epochs[-1].append((x.double(), y))

    def after_training_iteration(self, learner: Any, **kwargs: Any) -> None:
        self.tape.stages[-1].weights.append(named(learner))


def named(learner: Any) -> Named:
    """Copies of all weights by name."""
    return {name: weight.detach().clone() for name, weight in learner.model.named_parameters()}


def record(config: RunConfig, root: Path | None = None) -> tuple[Tape, store.Result]:
    """Run a config in float64 on the real engine."""
    tape = Tape()
    with pytest.MonkeyPatch.context() as patch:
        around = Watches.around
        patch.setattr(Watches, "around", lambda self, plugins: [Recorder(tape), *around(self, plugins)])
        # The learner hands logits on as float32.
        patch.setattr(torch.Tensor, "float", lambda one: one if one.dtype == torch.float64 else one.to(torch.float32))
        return tape, engine.run(config, engine.Machine(DataPlace.default(root)))
