"""Published schemas accept what the tool writes and takes, and refuse what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from clbench import registry, store
from clbench.cli import app
from clbench.config import RunConfig, resolve
from clbench.config.names import scenario_parts
from clbench.store.later import completed
from clbench.store.migrations import ROLES
from tests.helpers import make_result

GOLDEN = Path(__file__).parent / "golden"


def schema(kind: str) -> Draft202012Validator:
    done = CliRunner().invoke(app, ["schema", kind])
    assert done.exit_code == 0
    content = json.loads(done.stdout)
    Draft202012Validator.check_schema(content)
    return Draft202012Validator(content)


def test_result_files_fit_their_schema(tmp_path: Path) -> None:
    validator = schema("result")
    content = json.loads(store.write(make_result(), tmp_path).read_text())
    assert list(validator.iter_errors(content)) == []
    assert list(validator.iter_errors(content | {"seed": "x"}))
    assert list(validator.iter_errors(content | {"more": 1}))


@pytest.mark.parametrize(
    "content",
    [
        {"strategy": "ewc-fixed"},
        {"strategy": {"name": "ewc", "lam": 3, "fisher": "argmax", "fisher_samples": None}, "seeds": [1, 2]},
        {"strategy": "ewc+er", "scenario": {"name": "split-cifar10", "tasks": 5, "validation": 0.1}, "seeds": 3},
        {"strategy": {"name": "avalanche.training.plugins.EWCPlugin", "ewc_lambda": 1}, "epochs": None, "steps": 9},
        {"strategy": "l2", "model": {"name": "mlp", "widths": [10, 10]}, "optimizer": {"name": "adam", "lr": 0.1}},
    ],
)
def test_configs_fit(content: dict[str, Any]) -> None:
    assert list(schema("config").iter_errors(content)) == []


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"strategy": "ewc", "epoch": 3},
        {"strategy": {"name": "ewc", "lambda": 3}},
        {"strategy": {"name": "ewc", "lam": -1}},
        {"strategy": {"name": "ewc", "fisher": "magic"}},
        {"strategy": "ewc", "scenario": {"name": "split-digits", "task": 3}},
        {"strategy": "ewc", "batch_size": 0},
    ],
)
def test_mistakes_do_not_fit(content: dict[str, Any]) -> None:
    assert list(schema("config").iter_errors(content))


def test_every_option_of_every_strategy_has_a_type() -> None:
    from clbench.config.schema import _type

    for unit in registry.strategy.listed.values():
        for option in unit.options:
            assert _type(option.type), f"{unit.name}.{option.name}: {option.type}"


@pytest.mark.parametrize("version", range(1, store.SCHEMA_VERSION))
def test_results_of_earlier_versions_are_read(version: int) -> None:
    file = GOLDEN / f"result-v{version}.json"
    old = json.loads(file.read_text())
    assert old["schema_version"] == version
    result = store.read(file)
    assert result.schema_version == store.SCHEMA_VERSION
    assert result.accuracy == old["accuracy"]
    assert [stage.prepare_seconds for stage in result.cost] == [one.get("prepare_seconds") for one in old["cost"]]
    assert [stage.steps for stage in result.cost] == [one.get("steps") for one in old["cost"]]
    assert [stage.samples for stage in result.cost] == [one.get("samples") for one in old["cost"]]
    assert result.role == registry.role_of(store.parts(result.strategy))
    assert known(result).run_id == result.run_id, "a run keeps its id"


def test_roles_of_older_results_are_those_of_today() -> None:
    """Of those that there were then."""
    for name, role in ROLES.items():
        assert registry.strategy.listed[name].role == role
    since = {"majority", "persistence", "retrain"}
    others = {name for name, unit in registry.strategy.listed.items() if unit.role != "method"}
    assert others - since == {*ROLES}, (
        "a new bound or control: no older Result has it, so add it to those that came since"
    )


def known(result: store.Result) -> RunConfig:
    """The config of a Result, with the code that it was run with."""
    return RunConfig.model_validate(result.config | {"code": result.code})


def is_of_today(config: RunConfig) -> bool:
    """Whether no unit has another version now; an older one is never newer than what there is."""
    units = [("strategy", part) for part in store.parts(config.strategy["name"])]
    units += [("scenario", scenario_parts(config.scenario["name"])[0]), ("model", config.model["name"])]
    versions = {
        f"{kind} {name}": (
            config.code.get(f"{kind} {name}", store.Code()).version,
            registry.REGISTRIES[kind].load(name).version,
        )
        for kind, name in units
    }
    assert all(then <= now for then, now in versions.values()), versions
    return all(then == now for then, now in versions.values())


def test_every_committed_result_has_the_id_of_its_config_and_code() -> None:
    """Later keys and options change no id, in whichever version a Result was written; raised versions alone do."""
    found = (file for _, file in store.find([GOLDEN.parents[1] / "results"]))
    files = sorted(file for file in found if file.name.startswith("s0-"))
    assert len(files) > 50
    for file in files:
        result = store.read(file)
        config = known(result)
        assert config.run_id == result.run_id, file
        if is_of_today(config):
            (again,) = resolve({key: value for key, value in result.config.items() if key != "seed"} | {"seeds": [0]})
            assert again.model_dump() == config.model_dump(), f"{file}: not what the same keys give today"
            assert again.run_id == result.run_id, f"{file}: would be run again"


def test_later_options_reach_into_compositions() -> None:
    (config,) = resolve({"strategy": "ewc+er"})
    before = store.shortened(config.model_dump(mode="json", exclude={"tuned"}))
    assert before["strategy"]["er"] == {"memory": 500, "batch": None, "current": False}
    assert "form" not in before["strategy"]["ewc"]
    assert "agc" not in before["optimizer"]
    assert completed(before) == config.model_dump(mode="json", exclude={"tuned"})
    (other,) = resolve({"strategy": {"name": "ewc+er", "form": "online"}})
    assert other.run_id != config.run_id
