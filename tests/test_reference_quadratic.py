"""The quadratic family on the real engine against a second implementation, after every step of three tasks."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from clbench.config import RunConfig, resolve
from tests.helpers import uneven
from tests.reference.quadratic import Method, Replay
from tests.reference.tape import Tape, record

HEADS: dict[str, Any] = {"scenario": {"name": "split-digits", "tasks": 5, "keep": 3, "samples_per_task": 28}}
SHARED: dict[str, Any] = {"scenario": {"name": "split-digits", "incremental": "domain"} | HEADS["scenario"]}
GROWING: dict[str, Any] = {
    "scenario": {"name": "split-digits", "incremental": "class"} | HEADS["scenario"],
    "model": {"classifier": "growing"},
}
POOLED: dict[str, Any] = {
    "scenario": {"name": "split-uneven", "tasks": 3},
    "model": {"name": "lenet", "width": 2, "units": 4},
    "precision": "fp32",
    "epochs": 2,
}
PLAIN = {"lr": 0.05}
MOMENTUM = {"lr": 0.02, "momentum": 0.9}
COSINE = {"lr": 0.05, "momentum": 0.9, "schedule": "cosine"}
STRONG = {"ewc": 40.0, "mas": 5.0, "si": 20.0, "rwalk": 2.0, "l2": 3.0, "random": 3.0}
USUAL = {"ewc": "separate", "mas": "sum", "si": "sum"}
FORMS: dict[str, Any] = {"ewc-fixed": "online", "mas-fixed": "online"}


def setting(network: dict[str, Any], optimizer: dict[str, Any], strategy: dict[str, Any]) -> RunConfig:
    base = {"model": {"name": "mlp", "widths": [5]}, "epochs": 4, "batch_size": 8, "seeds": [0]}
    return resolve(base, network, {"optimizer": optimizer, "strategy": strategy})[0]


def compare(
    network: dict[str, Any], optimizer: dict[str, Any], strategy: dict[str, Any], root: Path | None = None
) -> tuple[Tape, Replay]:
    """Weights after each step are the reference's to 1e-9; return both."""
    tape, result = record(setting(network, optimizer, strategy), root)
    assert result.status == "ok"
    importance, _, variant = strategy["name"].partition("-")
    fixed = variant == "fixed"
    own = {key: value for key, value in strategy.items() if key not in ("name", "fisher_samples")}
    usual = {"accumulate": "online" if variant == "online" else "mean" if fixed else USUAL.get(importance, "mean")}
    usual |= {"form": FORMS.get(strategy["name"], "batch")}
    replay = Replay(Method(importance, fixed, **(usual | own | optimizer)), tape)
    steps = [weights for stage in tape.stages for weights in stage.weights]
    for number, (found, expected) in enumerate(zip(steps, replay.steps(), strict=True)):
        for name, weight in found.items():
            torch.testing.assert_close(weight, expected[name], rtol=1e-9, atol=1e-9, msg=f"step {number}, {name}")
    return tape, replay


@pytest.mark.parametrize("network", [HEADS, SHARED], ids=["heads", "shared"])
@pytest.mark.parametrize("parity", [False, True], ids=["paper", "parity"])
@pytest.mark.parametrize("name", sorted(STRONG))
def test_penalties(name: str, parity: bool, network: dict[str, Any]) -> None:
    options: dict[str, Any] = {"form": "online"} if name in ("ewc", "mas") and parity else {}
    lam = 1e-4 if parity and name in ("si", "rwalk") else STRONG[name] / (10 if parity and name == "mas" else 1)
    tape, _ = compare(network, MOMENTUM, {"name": name, "lam": lam, "parity": parity} | options)
    assert moved_apart(tape, fine_tuned(network is HEADS)), "it holds"


@pytest.mark.parametrize("network", [HEADS, SHARED], ids=["heads", "shared"])
@pytest.mark.parametrize("parity", [False, True], ids=["paper", "parity"])
@pytest.mark.parametrize("name", sorted(STRONG))
def test_interpolations(name: str, parity: bool, network: dict[str, Any]) -> None:
    tape, _ = compare(network, MOMENTUM, {"name": f"{name}-fixed", "parity": parity})
    assert moved_apart(tape, fine_tuned(network is HEADS)), "it holds"
    start, end = tape.stages[1].start, tape.stages[1].weights[-1]
    assert not torch.equal(start["backbone.1.weight"], end["backbone.1.weight"]), "and does not freeze"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return uneven(tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize("name", sorted([*STRONG, *(f"{name}-fixed" for name in STRONG)]))
def test_where_layers_pool_and_classes_are_unequal(name: str, root: Path) -> None:
    lam = {} if name.endswith("fixed") else {"lam": STRONG[name] / 4}
    compare(POOLED, MOMENTUM, {"name": name} | lam, root)


@cache
def fine_tuned(heads: bool) -> Tape:
    """A run without any method."""
    return record(setting(HEADS if heads else SHARED, MOMENTUM, {"name": "naive"}))[0]


def moved_apart(one: Tape, other: Tape) -> bool:
    """Whether the last weights of two runs differ."""
    last = [tape.stages[-1].weights[-1]["backbone.1.weight"] for tape in (one, other)]
    return not torch.equal(last[0], last[1])


@pytest.mark.parametrize(
    "strategy",
    [
        {"name": "ewc", "lam": 40.0, "fisher": "empirical", "include_head": False},
        {"name": "ewc", "lam": 40.0, "fisher": "batched", "fisher_samples": None, "accumulate": "sum"},
        {"name": "ewc", "lam": 40.0, "parity": True},
        {"name": "ewc", "lam": 40.0, "form": "online", "accumulate": "mean"},
        {"name": "ewc-online", "lam": 40.0, "gamma": 0.5},
        {"name": "mas", "lam": 2.0, "form": "online"},
        {"name": "mas", "lam": 0.5, "parity": True},
        {"name": "rwalk", "lam": 2.0, "interval": 3, "negative": "interval"},
        {"name": "rwalk", "lam": 2.0, "interval": 3},
        {"name": "rwalk", "lam": 2.0, "interval": 100, "normalise": "min-max"},
    ],
    ids=str,
)
def test_options(strategy: dict[str, Any]) -> None:
    compare(SHARED, MOMENTUM, strategy)


@pytest.mark.parametrize("name", ["ewc", "si", "rwalk", "l2", "ewc-fixed", "rwalk-fixed", "si-fixed"])
def test_a_growing_classifier_is_held_where_it_is_old(name: str) -> None:
    lam = {} if name.endswith("fixed") else {"lam": STRONG[name]}
    compare(GROWING, PLAIN, {"name": name} | lam)


@pytest.mark.parametrize("name", ["ewc", "si", "l2"])
@pytest.mark.parametrize("clamp", [False, True])
def test_schedules(name: str, clamp: bool) -> None:
    """Clamping looks at each step's rate, which falls along a cosine in every stage."""
    lam = STRONG[name] * (100 if clamp else 1)
    strategy = {"name": name, "lam": lam, "clamp": clamp, "accumulate": "sum"}
    _, replay = compare(SHARED, COSINE, strategy)
    if clamp:
        assert replay.largest == pytest.approx(1.0), "it had to be clamped, and was"
