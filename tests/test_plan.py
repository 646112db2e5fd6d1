"""Plans: which runs they mean, and what is wrong with a bad one."""

from __future__ import annotations

import math
from typing import Any

import pytest
import yaml

from clbench.config import RunConfig, resolve
from clbench.errors import UserError
from clbench.sweeps.expand import expand, line
from clbench.sweeps.plan import read

BASE = {"scenario": "split-digits", "epochs": 1}


def runs(**plan: Any) -> list[RunConfig]:
    plan["base"] = BASE | plan.get("base", {})
    return expand(read(plan, "plan.yaml"))


def settings(found: list[RunConfig]) -> list[tuple[Any, ...]]:
    return [(one.strategy["name"], one.strategy.get("lam"), one.optimizer["lr"], one.seed) for one in found]


def test_a_grid_is_every_combination() -> None:
    found = runs(grid={"strategy": ["ewc", "l2"], "strategy.lam": [1, 10], "optimizer.lr": [0.1]}, seeds=2)
    assert settings(found) == [
        (name, lam, 0.1, seed) for seed in (0, 1) for name in ("ewc", "l2") for lam in (1.0, 10.0)
    ], "seed by seed, so that an early look is fair"
    assert [one.seed for one in runs(grid={"strategy": ["naive", "ewc"]}, seeds=[7, 3])] == [7, 7, 3, 3]


def test_options_are_left_out_where_a_strategy_has_none() -> None:
    """And runs that are then equal are one."""
    found = runs(grid={"strategy": ["naive", "ewc"], "strategy.lam": [1, 10, 100]})
    assert found[0].strategy == {"name": "naive"}
    assert len(found) == 1 + 3


def test_options_of_a_part_of_a_composition() -> None:
    found = runs(grid={"strategy": ["ewc+er", "ewc"], "strategy.lam": [3]})
    assert found[0].strategy["ewc"]["lam"] == found[1].strategy["lam"] == 3.0


def test_lists_set_several_keys_together() -> None:
    found = runs(base={"strategy": "ewc"}, list=[{"batch_size": 8, "epochs": 1}, {"batch_size": 16, "epochs": 2}])
    assert [(one.batch_size, one.epochs) for one in found] == [(8, 1), (16, 2)]


def test_random_axes_draw_the_same_again() -> None:
    axes = {"optimizer.lr": {"low": 0.001, "high": 0.1, "log": True}, "batch_size": [8, 16]}
    plan: Any = {"base": {"strategy": "naive"}, "random": {"draws": 20, "axes": axes}}
    found = runs(**plan)
    assert found == runs(**plan)
    rates = [one.optimizer["lr"] for one in found]
    assert len(set(rates)) == 20
    assert all(0.001 <= rate <= 0.1 for rate in rates)
    assert sum(rate < 0.01 for rate in rates) in range(4, 17), "even in orders of magnitude"
    assert {one.batch_size for one in found} == {8, 16}
    assert found != runs(**plan | {"random": plan["random"] | {"seed": 1}})


def test_grid_list_random_and_seeds_are_combined() -> None:
    found = runs(
        grid={"strategy": ["naive", "ewc"]},
        list=[{"batch_size": 8}, {"batch_size": 16}],
        random={"draws": 3, "axes": {"optimizer.lr": {"low": 0.01, "high": 0.1}}},
        seeds=[4, 7],
    )
    assert len(found) == 2 * 2 * 3 * 2
    assert {one.seed for one in found} == {4, 7}


def test_exclusions_are_patterns_of_the_resolved_config() -> None:
    grid = {"strategy": ["ewc", "ewc-fixed", "l2"], "optimizer.lr": [0.01, 0.1]}
    found = runs(
        grid=grid, exclude=[{"strategy": "ewc*", "optimizer.lr": 0.1}, {"strategy": "l2", "optimizer.lr": [0.01]}]
    )
    assert [(one.strategy["name"], one.optimizer["lr"]) for one in found] == [
        ("ewc", 0.01), ("ewc-fixed", 0.01), ("l2", 0.1),
    ]  # fmt: skip


def test_scenarios_models_and_optimisers_vary_with_their_options() -> None:
    found = runs(
        base={"strategy": "naive"},
        grid={
            "scenario": ["split-digits", "permuted-digits"],
            "scenario.incremental": ["task"],
            "optimizer": ["sgd", {"name": "adam", "lr": 0.001}],
            "optimizer.momentum": [0.9],
        },
    )
    assert [(one.scenario["name"], one.optimizer["name"], one.optimizer.get("momentum")) for one in found] == [
        ("split-digits", "sgd", 0.9), ("split-digits", "adam", None),
        ("permuted-digits", "sgd", 0.9), ("permuted-digits", "adam", None),
    ]  # fmt: skip


def test_a_line_is_the_run() -> None:
    """Numbers such as 1e-05 too, which YAML would take for text."""
    for one in runs(grid={"strategy": ["ewc", "lwf+er"], "optimizer.lr": [1e-5, 0.1]}, seeds=[3]):
        text = line(one)
        assert "\n" not in text
        assert resolve(yaml.safe_load(text)) == [one]


def test_the_size_is_known_before_anything_is_made() -> None:
    axes: dict[str, Any] = {f"optimizer.k{axis}": list(range(10)) for axis in range(6)}
    assert read({"grid": axes, "seeds": 10, "list": [{"a": 1}]}, "p").size == 10_000_000


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"grid": {"strategy": []}}, r"plan\.yaml: grid\.strategy is empty\. Give it at least one value"),
        ({"list": []}, "list is empty"),
        ({"random": {"draws": 3, "axes": {}}}, r"random\.axes is empty"),
        ({"random": {"draws": 0, "axes": {"optimizer.lr": [1]}}}, r"random\.draws"),
        ({"random": {"draws": 3, "axes": {"optimizer.lr": {"low": 2, "high": 1}}}}, "low < high"),
        ({"grids": {}}, r"grids: unknown key\. Did you mean 'grid'"),
        ({"epochs": 2}, "Keys of a run belong under 'base'"),
        ({"grid": {"strategy": "ewc"}}, r"grid\.strategy: expected a list of values"),
        (
            {"grid": {"strategy": ["ewc"], "strategy.lamm": [1]}},
            r"strategy\.lamm: no strategy of this plan \(ewc\) has",
        ),
        (
            {"grid": {"strategy": ["ewc"], "optimzer.lr": [1]}},
            r"Unknown key 'optimzer.lr'\. Did you mean 'optimizer.lr'",
        ),
        ({"base": {"strategy": "ewk"}}, "Did you mean 'ewc'"),
        ({"base": {"strategy": "ewc", "seeds": 3}}, r"base\.seeds: write 'seeds' at the top"),
        ({"base": {"strategy": "ewc"}, "seeds": 0}, "seeds"),
        ({"base": {"strategy": "ewc"}, "exclude": [{"strateg": 1}]}, "no run of this plan has the key 'strateg'"),
        ({"grid": {"batch_size": [1]}, "list": [{"batch_size": 2}]}, "batch_size is varied twice"),
        ({}, "No strategy is named"),
    ],
)
def test_bad_plans(plan: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        runs(**plan)


def test_log_ranges_are_of_the_right_size() -> None:
    (one,) = runs(
        base={"strategy": "naive"},
        random={"draws": 1, "axes": {"optimizer.lr": {"low": 1e-4, "high": 1e-3, "log": True}}},
    )
    assert -4 <= math.log10(one.optimizer["lr"]) <= -3
