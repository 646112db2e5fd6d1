"""What every strategy must do in settings that people use: unequal classes, heads of their own, pooling, momentum,
schedules, sharpness-aware steps, augmentation. The registry finds the strategies, so a new file is tested as it is.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from clbench import registry
from clbench.config import resolve
from clbench.data.sources import DataPlace
from clbench.engine.learner import ResidentLearner
from clbench.engine.run import Machine, run
from clbench.store import Result
from clbench.store.warnings import kinds_of
from tests.helpers import uneven
from tests.test_strategy_contract import ONE_CLASSIFIER, OWN_HEADS, QUICK, RULES, STRATEGIES, course, needs_of

HARD: dict[str, Any] = {
    "scenario": {"name": "split-uneven", "tasks": 3},
    "model": {"name": "lenet", "width": 3, "units": 10},
    "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9, "schedule": "cosine"},
    "epochs": 3,
    "batch_size": 8,
}
# A head that its stage does not use stays as it is, but for those that are meant to move it.
MOVES_OLD_HEADS = {
    "er": "replays old tasks",
    "der++": "replays old tasks",
    "a-gem": "projects along the gradient of old tasks",
    "gdumb": "trains on its memory",
    **dict.fromkeys(("er-ace", "er-aml", "mir", "gss", "cls-er"), "replays old tasks"),
    "generative-replay": "replays old tasks",
    "lwf": "old heads must say what they said",
    "cold": "draws every weight anew",
    "joint": "has all tasks in one stage",
    "cumulative": "has all tasks so far",
    "window": "has the last tasks too, and draws every weight anew",
    "reset-head": "draws all heads anew",
    "reset-layers": "draws all heads anew",
    "shrink-perturb": "moves every weight between stages",
    "shrink-only": "moves every weight between stages",
    "dash": "moves every weight between stages",
    "hare-tortoise": "sets the whole network back to its average",
    "redo": "a unit that begins anew is read by no head",
    "continual-backprop": "a unit that begins anew is read by no head",
    "snr": "a unit that begins anew is read by no head",
    **dict.fromkeys(ONE_CLASSIFIER, "has one classifier"),
}
# Those whose two passes of a sharpness-aware step differ by intent.
DRAWS_IN_EACH_PASS = {
    "physics-aware": "every pass through a device has noise of its own",
    "podnet": "the distance of a stage's first step is 0, and has a slope only where the climb has gone",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> DataPlace:
    """Six digits as a folder of images, with classes of very different sizes."""
    return DataPlace.default(uneven(tmp_path_factory.mktemp("data")))


def hard(name: str, place: DataPlace, *layers: dict[str, Any]) -> Result:
    """A run of a strategy at its defaults in the setting above, on the network that it needs."""
    layer = {"strategy": {"name": name} | QUICK.get(name, {}), "seeds": [0]}
    (config,) = resolve(HARD, layer, needs_of(name), *layers)
    return run(config, Machine(place))


_RUNS: dict[str, Result] = {}


def once(name: str, place: DataPlace) -> Result:
    """That run, made once for all tests that compare with it."""
    if name not in _RUNS:
        _RUNS[name] = hard(name, place)
    return _RUNS[name]


@cache
def same_as(name: str) -> str | None:
    """The strategy that this one says it is bit for bit in such a stream."""
    found = registry.strategy.load(name).attributes.get("same_as")
    return None if found is None else str(found)


@pytest.mark.parametrize("name", STRATEGIES)
def test_learns_where_classes_are_unequal_and_layers_pool(name: str, place: DataPlace) -> None:
    result = once(name, place)
    assert result.status == "ok"
    assert result.accuracy[-1] != result.accuracy[0]


@pytest.mark.parametrize("name", STRATEGIES)
def test_acts_at_its_defaults_or_says_that_it_did_not(name: str, place: DataPlace) -> None:
    needs = needs_of(name)
    naive = once("naive", place) if not needs else run_naive(place, needs)
    if name == "naive" or same_as(name) == "naive":
        return
    silent = course(once(name, place)) == course(naive)
    said = "never fired" in kinds_of(once(name, place).warnings)
    assert silent == said, (
        "fine-tuning, bit for bit and without a word" if silent else "acted, and says that it did not"
    )


def run_naive(place: DataPlace, needs: dict[str, Any]) -> Result:
    (config,) = resolve(HARD, {"strategy": "naive", "seeds": [0]}, needs)
    return run(config, Machine(place))


def test_no_two_strategies_are_the_same(place: DataPlace) -> None:
    groups: dict[str, list[str]] = defaultdict(list)
    for name in STRATEGIES:
        result = once(name, place)
        if same_as(name) is None and "never fired" not in kinds_of(result.warnings):
            groups[str(course(result))].append(name)
    assert [names for names in groups.values() if len(names) > 1] == []


@pytest.mark.parametrize(
    "name", [name for name in STRATEGIES if registry.strategy.load(name).attributes.get("same_as")]
)
def test_what_says_that_it_is_another_is(name: str, place: DataPlace) -> None:
    other = same_as(name)
    assert other is not None
    assert course(once(name, place)) == course(once(other, place))


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> set[tuple[int, int]]:
    """(stage, head) of every head that moved in a stage that does not use it."""
    found: set[tuple[int, int]] = set()
    fit = ResidentLearner.fit

    def watched(self: ResidentLearner, experience: Any) -> None:
        before = [_weights(head) for head in self.model.classifier]
        fit(self, experience)
        for head, old in enumerate(before):
            if head not in experience.tasks and not torch.equal(old, _weights(self.model.classifier[head])):
                found.add((experience.tasks[0], head))

    monkeypatch.setattr(ResidentLearner, "fit", watched)
    return found


def _weights(module: torch.nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("name", [name for name in STRATEGIES if name not in MOVES_OLD_HEADS])
def test_heads_that_a_stage_does_not_use_stay(
    name: str, momentum: float, place: DataPlace, moved: set[tuple[int, int]]
) -> None:
    strong = {"strategy": {"lam": 0.1}} if "lam" in registry.strategy.load(name).schema.model_fields else {}
    hard(name, place, strong, {"optimizer": {"momentum": momentum, "reset": "never"}, "epochs": 2})
    assert moved == set()


@pytest.mark.parametrize("name", [name for name in STRATEGIES if name not in (*DRAWS_IN_EACH_PASS, *RULES)])
def test_both_passes_of_a_sharpness_aware_step_see_the_same(name: str, place: DataPlace) -> None:
    """With a climb of nearly nothing it is the plain step: whatever a method draws, it draws once per step."""
    options = {"strategy": {"memory": 20}} if "memory" in registry.strategy.load(name).schema.model_fields else {}
    plain = options | {"optimizer": HARD["optimizer"] | {"lr": 0.02}, "precision": "fp32", "epochs": 1}
    sam = plain | {"optimizer": plain["optimizer"] | {"name": "sam", "rho": 1e-7}}
    first, second = hard(name, place, plain), hard(name, place, sam)
    # The same mean losses, but for rounding; a stage without steps has none.
    losses = [[-1.0 if loss is None else loss for loss in one.diagnostics["training_loss"]] for one in (first, second)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("name", STRATEGIES)
def test_augmented_shared_head_sharpness_aware(name: str, place: DataPlace) -> None:
    """Everything at once, with one classifier that grows: it runs, and twice gives the same."""
    if name == "co-finetuning":
        pytest.skip("asks for images of the upstream dataset's kind")
    if name in OWN_HEADS:
        pytest.skip("must be told the task")
    layers: list[dict[str, Any]] = [
        {"scenario": {"incremental": "class"}, "model": {"classifier": "growing"}, "augment": "flip+crop"},
        {"optimizer": {"name": "sam", "schedule": "linear"}, "epochs": 1},
    ]
    first, second = (hard(name, place, *layers) for _ in range(2))
    assert first.status == "ok"
    assert course(first) == course(second)
