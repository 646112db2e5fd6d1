"""What every strategy must do; the registry finds them, so a new file is tested without a change here."""

from __future__ import annotations

import ast
import re
from functools import cache
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

from clbench import registry
from clbench.config import resolve
from clbench.data.sources import DataPlace
from clbench.engine.run import Machine, run
from clbench.errors import UserError
from clbench.store import Result
from tests.helpers import config, known, run_small

ALL = sorted(registry.strategy.listed)
# Those that no stream of images has the data for, and where they are tested instead.
ELSEWHERE = {"persistence": "test_rules.py, on rows in order of time"} | {
    name: "test_removal.py, on streams that make requests"
    for name, one in registry.strategy.listed.items()
    if one.family == "removal"
}
STRATEGIES = [name for name in ALL if name not in ELSEWHERE]
OWN_HEADS = ("packnet", "hat")  # must be told the task
RULES = ("majority",)  # answer without a network
FROZEN = ("acil", "fecam", "ncm", "ranpac", "simple-cil", "slda")  # train in the first stage alone
STEP_HOOKS = {
    "before_training_iteration", "before_forward", "after_forward", "before_backward", "after_backward",
    "before_update", "after_update", "after_training_iteration", "forwarded", "observe", "stepped", "current",
}  # fmt: skip


VIT = {"model": {"name": "vit", "patch": 4, "width": 12, "depth": 1, "heads": 2}, "optimizer": {"lr": 0.2}}
# Options under which a strategy is quick, and networks that it needs.
QUICK: dict[str, dict[str, Any]] = {
    "gdumb": {"epochs": 4},
    "acil": {"units": 40},
    "generative-replay": {"flow_steps": 20},
    "ranpac": {"units": 40},
    "random-label-pretrain": {"epochs": 2},
    "co-finetuning": {"upstream": "digits", "classes": 4},
    "hat": {"c": 0.1},  # of a dozen units each costs much
}
CLASS: dict[str, Any] = {"scenario": {"incremental": "class"}}
# They refuse a head for each task.
ONE_CLASSIFIER = ("bic", "expandable", "icarl", "lucir", "podnet", "ss-il", "wa", "x-der")
NEEDS: dict[str, dict[str, Any]] = {
    "l2-attention": VIT,
    "generative-replay": CLASS,  # with heads of their own, old ones do not move
    **dict.fromkeys(ONE_CLASSIFIER, CLASS),
    "podnet": CLASS | {"model": {"name": "lenet", "width": 3, "units": 10}},
}


def needs_of(name: str, stream: bool = True) -> dict[str, Any]:
    """What a strategy cannot do without, for tests with a setting of their own; ``stream`` False: of the network."""
    needs, stream = NEEDS.get(name, {}), stream and name in ONE_CLASSIFIER
    return {key: value for key, value in needs.items() if stream or key != "scenario"}


def run_it(name: str, *layers: dict[str, Any], seed: int = 0) -> Result:
    """A small run of a strategy on a network that it works on."""
    return run_small({"name": name} | QUICK.get(name, {}), NEEDS.get(name, {}), *layers, seed=seed)


@cache
def once(name: str) -> Result:
    """That run with seed 0, made once for all tests that compare with it."""
    return run_it(name)


# Penalties that need no importance; a large λ makes them diverge.
FREEZE = ("l2-attention",)  # at strength 0 too
CONSTANT_STRENGTH = ("l2", "random", "rwalk", "l2-init", "parseval", "spectral-reg")
# Options under which two epochs of few samples are enough to see what the method does.
SOON: dict[str, dict[str, Any]] = {
    "weight-clipping": {"zeta": 0.5},
    "redo": {"threshold": 0.5},
    "continual-backprop": {"rate": 0.05, "maturity": 5},
    "snr": {"every": 5, "least": 1, "rate": 0.9},
    "hare-tortoise": {"momentum": 0.9},
    "frozen-layers": {"layers": "odd"},
}


def with_strength() -> list[tuple[str, str]]:
    """Strategies whose strength is one number, λ or μ, and what it is called."""
    schemas = {name: registry.strategy.load(name).schema.model_fields for name in STRATEGIES}
    found = [(name, option) for name, fields in schemas.items() for option in ("lam", "mu") if option in fields]
    return [one for one in found if one[0] not in FREEZE]


def course(result: Result) -> tuple[Any, Any]:
    """Everything that training decides: R and the mean losses, bit for bit."""
    return result.accuracy, result.diagnostics["training_loss"]


@pytest.fixture(scope="module")
def naive() -> Result:
    return run_small("naive")


@pytest.mark.parametrize("name", STRATEGIES)
def test_runs_and_repeats_bit_for_bit(name: str) -> None:
    first, second = once(name), run_it(name)
    assert first.status == "ok"
    assert course(first) == course(second)
    if name in (*RULES, *ONE_CLASSIFIER):  # of the latter test_class_incremental.py asks more
        return
    # Learnt each task in its turn, whatever it kept: two classes per task, so 0.5 is chance.
    learnt = first.metrics["learning_accuracy"].value or first.metrics["average_accuracy"].value
    assert learnt is not None
    assert learnt > 0.55


@pytest.mark.parametrize("incremental", ["task", "domain"])
@pytest.mark.parametrize("name", STRATEGIES)
def test_works_on_a_linear_classifier_or_refuses_it(name: str, incremental: str) -> None:
    """A network without a weight before its classifier; diagnostics look at it too."""
    few = {"name": "split-digits", "tasks": 2, "samples_per_task": 32, "incremental": incremental}
    chosen = config({"name": name} | QUICK.get(name, {}), {"scenario": few, "model": "linear", "epochs": 1})
    try:
        said = str(run(chosen, Machine(DataPlace.default(), diagnostics=True)).status)
    except UserError as error:
        said = str(error)
    assert said == "ok" or re.search(rf"('{name}'|no weight to hold).*(Use|Set) ", said)


@pytest.mark.parametrize("name", STRATEGIES)
def test_trains_in_half_precision_on_a_convolutional_network(name: str) -> None:
    """As 'auto' has it on some CPUs; a few steps, since others emulate them."""
    few: dict[str, Any] = {"scenario": {"tasks": 2, "samples_per_task": 32}, "epochs": 1, "precision": "bf16"}
    network = {"model": {"name": "cnn6", "width": 4, "norm": "batch"}}
    result = run_small({"name": name} | QUICK.get(name, {}), network, NEEDS.get(name, {}), few)
    assert (result.status, result.environment["precision"]) == ("ok", "bf16")


@pytest.mark.parametrize("name", STRATEGIES)
def test_seed_matters(name: str) -> None:
    assert course(once(name)) != course(run_it(name, seed=1))


@pytest.mark.parametrize(("name", "option"), with_strength())
def test_zero_strength_is_naive_bit_for_bit(name: str, option: str, naive: Result) -> None:
    assert course(run_small({"name": name, option: 0} | QUICK.get(name, {}))) == course(naive)


@pytest.mark.parametrize("name", [name for name in STRATEGIES if name not in ("naive", "warm")])
def test_default_strength_differs_from_naive(name: str, naive: Result) -> None:
    if name == "warm-reset-optimizer":  # differs where there is a state to reset
        kept = {"optimizer": {"momentum": 0.9, "reset": "never"}}
        assert course(run_small(name, kept)) != course(run_small("naive", kept))
        return
    # Two epochs of few samples make small importances and weights, so strengths are raised where there is one.
    options = registry.strategy.load(name).schema.model_fields
    strong: dict[str, Any] = {"lam": 1000} if "lam" in options and name not in CONSTANT_STRENGTH else {}
    strong |= SOON.get(name, {}) | QUICK.get(name, {})
    plain = run_small("naive", NEEDS[name]) if name in NEEDS else naive
    assert course(run_small({"name": name} | strong, NEEDS.get(name, {}))) != course(plain)


def test_warm_is_naive_bit_for_bit(naive: Result) -> None:
    assert course(run_small("warm")) == course(naive)


@pytest.mark.parametrize("name", STRATEGIES)
def test_naive_composed_with_it_changes_nothing(name: str) -> None:
    if name != "naive":
        composed = {"name": f"naive+{name}", name: QUICK.get(name, {})}
        assert course(run_small(composed, NEEDS.get(name, {}))) == course(once(name))


@pytest.mark.parametrize("name", ALL)
def test_arguments_round_trip_through_yaml(name: str) -> None:
    (config,) = resolve({"strategy": name})
    text = yaml.safe_dump(config.model_dump(mode="json", exclude={"seed"}))
    (again,) = resolve(yaml.safe_load(text))
    assert again == config
    assert again.run_id == config.run_id


@pytest.mark.parametrize("name", ALL)
def test_cites_a_source(name: str) -> None:
    listed = registry.strategy.listed[name]
    assert re.search(r"arXiv:\d{4}\.\d{4,5}|doi:|CoLLAs", listed.doc), "say in the docstring where the method is from"
    assert len(listed.summary) < 120


def tensors(value: Any, seen: set[int]) -> list[Tensor]:
    """Every tensor that an object holds, however deep."""
    if id(value) in seen:
        return []
    seen.add(id(value))
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        return [t for child in value.values() for t in tensors(child, seen)]
    if isinstance(value, list | tuple | set):
        return [t for child in value for t in tensors(child, seen)]
    if hasattr(value, "__dict__") and not isinstance(value, type | torch.nn.Module):
        return tensors(vars(value), seen)
    return []


@pytest.mark.parametrize("name", STRATEGIES)
def test_memory_does_not_grow_with_tasks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """State after 3 and after 5 tasks takes the same number of bytes (and so the step costs the same)."""
    held: list[int] = []
    declared = registry.strategy.load(name)
    made: list[Any] = []

    def make(**options: Any) -> Any:
        made.append(declared.make(**options))
        return made[-1]

    monkeypatch.setitem(registry.strategy._declared, name, registry.Declared(name, make))
    object.__setattr__(registry.strategy._declared[name], "schema", declared.schema)
    memory = {"memory": 20} if "memory" in declared.schema.model_fields else {}
    for tasks in (3, 5):
        stream: dict[str, Any] = {"name": "permuted-digits", "tasks": tasks}
        if name in OWN_HEADS:
            stream |= {"incremental": "task"}
        if name in ONE_CLASSIFIER:  # whose classes come stage by stage, ten in all
            stream = {"name": "split-digits", "tasks": tasks, "keep": None}
        setting = {"scenario": stream | {"samples_per_task": 32}, "epochs": 1}
        run_small({"name": name} | memory | QUICK.get(name, {}), setting, needs_of(name))
        held.append(sum(t.nbytes for t in tensors(made[-1], set())))
    assert held[0] == held[1]


def test_no_host_synchronisation_in_a_step() -> None:
    """Hooks that run at every step do not read numbers back from the device, copy to it, or print."""
    forbidden = {"item", "tolist", "cpu", "numpy", "print"}
    for name in STRATEGIES:
        for path in (registry.strategy.listed[name].file, *registry.strategy.listed[name].file.parent.glob("_*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef) and node.name in STEP_HOOKS:
                    called = {
                        call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
                        for call in ast.walk(node)
                        if isinstance(call, ast.Call)
                    }
                    assert not called & forbidden, f"{path.name}: {node.name} synchronises"


@pytest.mark.parametrize("beside", ["der++", "co-finetuning"])
@pytest.mark.parametrize("name", ["lwf", "feature-distill", "racecar"])
def test_what_another_method_computes_beside_is_not_looked_at(name: str, beside: str) -> None:
    """Methods that look at the batch's own pass compute the same, whoever runs the network before them."""
    own = {name: {"lam": 1.0} if name == "racecar" else {}, beside: QUICK.get(beside, {})}
    setting = {"scenario": {"incremental": "domain"}, "batch_size": 16}
    first, second = (run_small({"name": order} | own, setting) for order in (f"{name}+{beside}", f"{beside}+{name}"))
    assert first.accuracy == second.accuracy
    assert first.diagnostics["training_loss"] == pytest.approx(second.diagnostics["training_loss"], rel=1e-4)


def test_composition_sees_the_task_gradient_in_any_order() -> None:
    strong = {"ewc": {"lam": 500.0}, "si": {"lam": 5.0}}
    one = run_small({"name": "ewc+si"} | strong)
    other = run_small({"name": "si+ewc"} | strong)
    assert one.accuracy == other.accuracy
    assert one.diagnostics["training_loss"] == pytest.approx(other.diagnostics["training_loss"], rel=1e-5)


def test_joint_has_one_stage_and_no_forgetting() -> None:
    result = run_small("joint")
    assert len(result.accuracy) == 2
    assert result.metrics["forgetting"].value is None
    assert result.metrics["average_accuracy"].value == pytest.approx(sum(known(result.accuracy[1])) / 5)


def test_frozen_backbone_keeps_the_first_task_exactly() -> None:
    rows = run_small("frozen-backbone").accuracy
    assert {row[0] for row in rows[1:]} == {rows[1][0]}
