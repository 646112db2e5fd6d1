"""Steps that a GPU may replay: which, and that the learner's way of replaying them changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from clbench import registry
from clbench.engine import learner as engine
from clbench.engine.replay import repeats
from clbench.strategy import Strategy
from tests.helpers import run_small
from tests.test_strategy_contract import NEEDS, QUICK, STRATEGIES, course, once

LATE = {"epochs": 2}


class Stand:
    """In the place of a recording: the step's middle runs on buffers that stay, as a recorded one would."""

    made = 0

    def __init__(self) -> None:
        self.batches: dict[Any, list[Tensor]] = {}
        Stand.made += 1

    def step(self, learner: Any, middle: Callable[[], None]) -> None:
        """Copy the batch in, run, and hand copies out."""
        shape = tuple(part.shape for part in learner.mbatch)
        batch = self.batches.setdefault(shape, [torch.empty_like(part) for part in learner.mbatch])
        for place, part in zip(batch, learner.mbatch, strict=True):
            place.copy_(part)
        with learner.in_place_of_batch(batch):
            middle()
        learner.mb_output, learner.loss = learner.mb_output.detach().clone(), learner.loss.detach().clone()


@pytest.fixture
def replaying(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take a CPU for a GPU, and every stage for long enough."""
    monkeypatch.setattr(engine, "Replay", Stand)
    Stand.made = 0

    def long_enough(learner: engine.ResidentLearner) -> bool:
        return repeats(learner.plugins, learner.optimizer)

    monkeypatch.setattr(engine.ResidentLearner, "_replays", long_enough)


def repeating(name: str) -> bool:
    """Whether a strategy at its defaults says that its steps repeat."""
    made = registry.strategy.load(name).make(**QUICK.get(name, {}))
    return isinstance(made, Strategy) and made.repeats()


REPEATING = [name for name in STRATEGIES if repeating(name)]


@pytest.mark.parametrize("name", REPEATING)
def test_replayed_steps_are_the_same_steps(name: str, replaying: None) -> None:
    launched = once(name)
    replayed = run_small({"name": name} | QUICK.get(name, {}), NEEDS.get(name, {}))
    assert course(replayed) == course(launched)
    assert replayed.metrics == launched.metrics
    assert [stage.samples for stage in replayed.cost] == [stage.samples for stage in launched.cost]
    assert Stand.made or not replayed.cost[0].steps


def test_most_of_them_repeat() -> None:
    assert {"naive", "ewc", "ewc-fixed", "si", "mas-fixed", "l2-init", "er", "lwf", "racecar", "dash"} <= {*REPEATING}
    assert not {"der++", "a-gem", "gdumb", "label-noise", "upgd"} & {*REPEATING}


@pytest.mark.parametrize(
    "optimizer",
    [{"name": "adam"}, {"name": "sgd", "schedule": "cosine"}, {"name": "sam"}],
    ids=["adam", "a schedule", "sam"],
)
def test_what_the_host_sets_or_counts_is_not_replayed(optimizer: dict[str, Any], replaying: None) -> None:
    run_small("naive", {"optimizer": optimizer})
    assert Stand.made == 0
