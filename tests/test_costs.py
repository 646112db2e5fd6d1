"""What a stage cost, counted: samples trained on, bytes of memory and of state, whatever else the machine does."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import vmap

from clbench import registry, store
from clbench.avalanche import SupervisedPlugin
from clbench.checkpoints.state import Known
from clbench.config import resolve
from clbench.data.benchmark import kept_for
from clbench.data.sources import DataPlace
from clbench.data.tensors import TaskData
from clbench.engine.kept import Kept, kept, tensors_of
from clbench.engine.run import Machine, run
from clbench.models.network import Network
from clbench.models.rows import rows_of
from tests.helpers import config, run_small, task_data
from tests.test_strategy_contract import FROZEN, RULES, STRATEGIES, VIT, once

TASKS, IMAGES, EPOCHS = 5, 48, 2  # of the small runs: 8 × 8 pixels, one byte each
SAMPLE = 64 + 8 + 8  # bytes of a sample with its label and head
OUTPUTS = 2  # of each head
STAGE = IMAGES * EPOCHS
WEIGHTS = 4 * (64 * 12 + 12)  # bytes of the small backbone
HEAD = 4 * (12 * OUTPUTS + OUTPUTS)


def samples(result: store.Result) -> list[int | None]:
    return [stage.samples for stage in result.cost]


def memory(result: store.Result) -> list[int | None]:
    return [stage.memory_bytes for stage in result.cost]


def state(result: store.Result) -> list[int | None]:
    return [stage.state_bytes for stage in result.cost]


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_trains_on_its_data_and_controls_and_bounds_keep_no_state(name: str) -> None:
    result = once(name)
    counted = sum(count or 0 for count in samples(result))
    least = STAGE if name in FROZEN else TASKS * STAGE  # the first stage alone
    assert counted == 0 if name in RULES else counted >= least
    assert all(size is not None and size >= 0 for size in (*memory(result), *state(result)))
    assert result.role == registry.strategy.listed[name].role
    if result.role == "bound" or name in ("naive", "warm", "warm-reset-optimizer", "frozen-backbone"):
        assert not any(state(result))
    if result.role == "control":
        assert not any(memory(result))


def growing(bytes_each: int) -> list[int]:
    """Of a memory with room for everything that holds every stage's samples when it ends."""
    return [IMAGES * bytes_each * (stage + 1) for stage in range(TASKS)]


STAGES = [STAGE] * TASKS
TWICE = [STAGE, *[2 * STAGE] * (TASKS - 1)]  # from the second stage on as many again from memory
STORED = growing(SAMPLE + 8)  # and the stage that each came with
ANCHOR = 2 * WEIGHTS  # importance and anchor
NOTHING = [0] * TASKS


@pytest.mark.parametrize(
    ("strategy", "layer", "expected"),
    [
        ("naive", {}, (STAGES, NOTHING, NOTHING)),
        ("naive", {"optimizer": {"name": "sam"}}, ([2 * STAGE] * TASKS, NOTHING, NOTHING)),
        ("er", {}, (TWICE, STORED, NOTHING)),
        ("er", {"optimizer": {"name": "sam"}}, ([2 * count for count in TWICE], STORED, NOTHING)),
        ({"name": "er", "memory": 48}, {}, (TWICE, [IMAGES * (SAMPLE + 8)] * TASKS, NOTHING)),
        ({"name": "a-gem"}, {}, (TWICE, STORED, [0, *[8] * (TASKS - 1)])),  # and one count
        ({"name": "gdumb", "epochs": 4}, {}, ([4 * IMAGES * (t + 1) for t in range(TASKS)], STORED, NOTHING)),
        ({"name": "adversarial-training", "steps": 3}, {}, ([4 * STAGE] * TASKS, NOTHING, NOTHING)),
        # Measured once more at each stage's end.
        ("ewc", {}, ([STAGE + IMAGES] * TASKS, NOTHING, [ANCHOR] * TASKS)),
        ({"name": "ewc", "fisher_samples": 7}, {}, ([STAGE + 7] * TASKS, NOTHING, [ANCHOR] * TASKS)),
        ("si", {}, (STAGES, NOTHING, [ANCHOR] * TASKS)),
        ("rwalk", {}, (STAGES, NOTHING, [2 * ANCHOR] * TASKS)),  # and Fisher and scores, which go on
        ("ewc+er", {}, ([count + IMAGES for count in TWICE], STORED, [ANCHOR] * TASKS)),
        ({"name": "random-label-pretrain", "epochs": 2}, {}, ([STAGE * 2, *[STAGE] * 4], NOTHING, NOTHING)),
        ("l2-init", {}, (STAGES, NOTHING, [WEIGHTS + TASKS * HEAD] * TASKS)),
        ("majority", {}, (NOTHING, NOTHING, NOTHING)),
        ("cumulative", {}, ([STAGE * (t + 1) for t in range(TASKS)], [0, *growing(SAMPLE)[:-1]], NOTHING)),
        ("joint", {}, ([STAGE * TASKS], [IMAGES * SAMPLE * (TASKS - 1)], [0])),
        (
            {"name": "co-finetuning", "upstream": "digits", "classes": 4},
            {},
            ([2 * STAGE] * TASKS, [578 * SAMPLE] * TASKS, [4 * (12 * 4 + 4)] * TASKS),
        ),
    ],
)  # fmt: skip
def test_costs_by_hand(strategy: Any, layer: dict[str, Any], expected: tuple[list[int], ...]) -> None:
    result = run_small(strategy, layer)
    assert (samples(result), memory(result), state(result)) == expected


def test_logits_are_kept_beside_samples() -> None:
    plain = run_small({"name": "er", "current": True, "memory": 20})
    dark = run_small({"name": "der++", "memory": 20})
    assert memory(plain) == [20 * SAMPLE] * TASKS
    assert memory(dark) == [20 * (SAMPLE + 4 * OUTPUTS)] * TASKS
    assert not any(state(dark))


@pytest.mark.parametrize("name", ["warm", "cold"])
def test_a_growing_stream_gives_old_data_to_everybody(name: str) -> None:
    (one,) = resolve({"strategy": name, "scenario": "warm-start-digits", "epochs": 1})
    result = run(one, Machine(DataPlace.default()))
    assert len(samples(result)) > 1
    assert samples(result) == [sum(result.data.train_samples[: t + 1]) for t in range(len(samples(result)))]
    assert not any(memory(result))


@pytest.mark.parametrize(
    ("stages", "own", "expected"),
    [
        ([[0], [1], [2]], [[0], [1], [2]], [[], [], []]),
        ([[0, 1, 2]], [[0], [1], [2]], [[0, 1]]),
        ([[0], [0, 1], [0, 1, 2]], [[0], [1], [2]], [[], [0], [0, 1]]),
        ([[0], [0, 1], [0, 1, 2]], [[0], [0, 1], [0, 1, 2]], [[], [], []]),
        ([[0], [1], [0]], [[0], [1], [0]], [[], [], []]),
        ([[0], [1, 0]], [[0], [1], [0]], [[], [0]]),
    ],
)
def test_which_tasks_somebody_has_kept(
    stages: list[list[int]], own: list[list[int]], expected: list[list[int]]
) -> None:
    assert kept_for(stages, own) == expected


@pytest.mark.parametrize("strategy", ["ewc", "er"])
def test_what_the_harness_measures_costs_the_strategy_nothing(strategy: str) -> None:
    one = config(strategy, {"evaluate_steps": 3})
    watched = run(one, Machine(DataPlace.default(), diagnostics=True))
    plain = run_small(strategy)
    assert (samples(watched), memory(watched), state(watched)) == (samples(plain), memory(plain), state(plain))


def test_samples_of_single_gradients_count() -> None:
    """What is added to tokens has no closed form: each class's term takes every image through the network once more."""
    vit = run_small("ewc", VIT)
    assert samples(vit) == [STAGE + IMAGES * (1 + OUTPUTS)] * TASKS


def test_rows() -> None:
    network = Network(nn.Linear(3, 2), nn.Linear(2, 2))
    network(torch.zeros(4, 3))
    network.features(torch.zeros(2, 3))
    with torch.no_grad():
        network(torch.zeros(4, 3))
    with network.rows.paused():
        network(torch.zeros(4, 3))
    assert network.rows.count == 6
    seen: list[int] = []
    vmap(lambda x: seen.append(rows_of(x[None])) or x)(torch.zeros(6, 3))  # type: ignore[func-returns-value]
    assert seen == [6]


class Holder:
    """A memory: samples and something of each."""

    def __init__(self, data: TaskData) -> None:
        self.data = data
        self.logits = torch.zeros(len(data.labels), 2)


class Keeps(SupervisedPlugin):
    """Keeps a bit of everything."""

    def __init__(self, network: nn.Module, data: TaskData) -> None:
        super().__init__()
        self.own = [torch.zeros(10)]
        self.view = self.own[0][:3]
        self.weights = [weight.detach() for weight in network.parameters()]
        self.gradient = next(network.parameters()).grad
        self.stage = data
        self.memory = Holder(data.subset(torch.arange(2)))
        self.teacher = nn.Linear(2, 2)
        self.myself = self


def test_what_counts_as_kept() -> None:
    network = nn.Linear(2, 2)
    network(torch.ones(1, 2)).sum().backward()
    optimizer = torch.optim.Adam(network.parameters())
    data = task_data(torch.zeros(5, 1, 2, 2, dtype=torch.uint8), torch.zeros(5, dtype=torch.int64))
    plugin = Keeps(network, data)
    stream: list[Tensor] = [data.samples, data.labels, data.heads]
    known = Known({}, {}, packages=[__name__.partition(".")[0]])
    found = kept([plugin], known, [*stream, *tensors_of(network, optimizer)])
    assert found == Kept(memory=2 * (4 + 8 + 8) + 2 * 2 * 4, state=10 * 4 + 6 * 4)
    assert kept([plugin], Known({}, {}), []) == Kept(0, 0), "another package's objects are not looked into"


def test_plugins_of_avalanche_are_measured_too() -> None:
    regularised = run_small({"name": "avalanche.training.plugins.EWCPlugin", "ewc_lambda": 1.0})
    assert all(size and size % (WEIGHTS + TASKS * HEAD) == 0 for size in state(regularised)), state(regularised)
    replayed = run_small({"name": "avalanche.training.plugins.ReplayPlugin", "mem_size": 10})
    # Its memory refers to samples of earlier stages, and so holds them all.
    assert memory(replayed) == [IMAGES * SAMPLE * t for t in range(TASKS)]
    assert all(count and count > STAGE for count in samples(replayed)[1:])
