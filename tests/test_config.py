"""Configuration: layers, defaults, identity, and errors that name the key and the way out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clbench import store
from clbench.config import components, resolve
from clbench.config.layers import merge, read_assignments, read_seeds
from clbench.errors import UserError
from clbench.yaml_files import read_yaml


def one(*layers: dict[str, Any]) -> Any:
    (config,) = resolve({"strategy": "ewc"}, *layers)
    return config


def test_recipe_fills_in_what_is_not_given() -> None:
    config = one({"scenario": "permuted-mnist"})
    assert config.model == {"name": "mlp", "classifier": "auto", "widths": [256, 256], "norm": "none"} | {
        "activation": "relu"
    }
    assert (config.epochs, config.batch_size, config.scenario["tasks"]) == (1, 128, 10)
    assert config.optimizer["lr"] == 0.05
    assert config.strategy["fisher"] == "exact", "defaults of a strategy are resolved"


def test_later_layers_win_and_keep_other_options() -> None:
    config = one({"model": {"widths": [7]}}, {"optimizer": {"momentum": 0.5}}, {"optimizer": {"lr": 1.0}})
    assert config.model["widths"] == [7]
    assert (config.optimizer["lr"], config.optimizer["momentum"]) == (1.0, 0.5)


def test_another_model_drops_the_recipes_options() -> None:
    config = one({"model": "lenet"})
    assert config.model["name"] == "lenet"
    assert "widths" not in config.model


def test_another_optimiser_has_its_own_default_rate() -> None:
    assert one({"optimizer": "adam"}).optimizer["lr"] == 1e-3


def test_steps_replace_epochs() -> None:
    config = one({"steps": 50})
    assert (config.steps, config.epochs) == (50, None)


def test_run_id_is_the_same_however_the_config_was_written() -> None:
    written = one({"strategy": {"name": "ewc", "lam": 5}}, {"epochs": 3})
    assigned = one(read_assignments(["strategy.lam=5.0", "epochs=3"]))
    assert written.run_id == assigned.run_id
    assert written.run_id != one().run_id


def test_seeds() -> None:
    assert [c.seed for c in resolve({"strategy": "naive", "seeds": 3})] == [0, 1, 2]
    assert read_seeds("0,4,7") == [0, 4, 7]
    assert read_seeds("7,") == [7]
    assert len({c.run_id for c in resolve({"strategy": "naive", "seeds": 3})}) == 3


@pytest.mark.parametrize("value", ["x", "0", 0, -1, [], [1, 1], [-1], True, 1.5, "1,,2", {}])
def test_bad_seeds(value: Any) -> None:
    with pytest.raises(UserError, match="seeds"):
        read_seeds(value)


def test_composition_options_find_their_component() -> None:
    (config,) = resolve({"strategy": {"name": "ewc+er", "lam": 7, "memory": 20}})
    assert components(config.strategy)[0][1]["lam"] == 7
    assert components(config.strategy)[1] == (
        "er",
        {"memory": 20, "batch": None, "selection": "reservoir", "per_class": None, "current": False},
    )


def test_composition_options_by_component() -> None:
    (config,) = resolve({"strategy": "ewc+si"}, read_assignments(["strategy.si.lam=3"]))
    assert [options["lam"] for _, options in components(config.strategy)][1] == 3


def test_avalanche_plugin_by_import_path() -> None:
    (config,) = resolve(
        {"strategy": "avalanche.training.plugins.EWCPlugin"}, read_assignments(["strategy.ewc_lambda=2"])
    )
    assert config.strategy["ewc_lambda"] == 2
    assert config.strategy["mode"] == "separate"


ERRORS = [
    ({"strategy": "ewk"}, r"Unknown strategy 'ewk'\. Did you mean 'ewc'\?"),
    ({"scenario": "permuted-minst"}, None),  # a folder of that name may exist: found out when data are looked up
    ({"scenario": "splt-mnist"}, r"Unknown scenario 'splt-mnist'\. Did you mean 'split-mnist'\?"),
    ({"scenario": "split"}, r"<family>-<dataset>"),
    ({"model": "mpl"}, r"Unknown model 'mpl'\. Did you mean 'mlp'\?"),
    ({"optimizer": "adm"}, r"unknown optimiser 'adm'\. Did you mean 'adam'\?"),
    ({"strategy": {"name": "ewc", "lamda": 1}}, r"Unknown option 'strategy\.lamda'\. Did you mean 'lam'\?"),
    ({"strategy": {"name": "ewc", "lam": "high"}}, r"strategy\.lam: expected a valid number.*'high'"),
    ({"strategy": {"name": "ewc", "lam": -1}}, r"strategy\.lam: expected greater than or equal to 0"),
    ({"strategy": {"name": "ewc", "lam": float("nan")}}, r"strategy\.lam: expected a finite number"),
    ({"strategy": {"name": "ewc", "fisher": "exakt"}}, r"strategy\.fisher: expected 'exact', 'sampled'"),
    ({"strategy": {"lam": 1, "name": "ewc+si"}}, r"several of them have it; write strategy\.ewc\.lam"),
    ({"strategy": {"foo": 1, "name": "ewc+si"}}, r"strategy\.foo.*none of them has it"),
    ({"strategy": {"name": "ewc+si", "si": 5}}, r"strategy\.si: expected options"),
    ({"strategy": "ewc+ewc"}, r"names a method twice"),
    ({"strategy": "no.such.Plugin"}, r"cannot be imported"),
    ({"strategy": {}}, r"No strategy is named"),
    ({"strategy": 5}, r"strategy: expected a name or keys"),
    ({"epoch": 3}, r"Unknown key 'epoch'\. Did you mean 'epochs'"),
    ({"epochs": 0}, r"epochs: expected greater than or equal to 1"),
    ({"epochs": 2, "steps": 5}, r"one of epochs, steps and until_train_accuracy"),
    ({"epochs": 2, "max_epochs": 5}, r"max_epochs belongs to until_train_accuracy"),
    ({"until_train_accuracy": 1.5}, r"until_train_accuracy: expected less than or equal to 1"),
    ({"batch_size": "many"}, r"batch_size: expected a valid integer"),
    ({"scenario": {"task": 3}}, r"Unknown option 'scenario\.task'\. Did you mean 'tasks'\?"),
    ({"scenario": {"validation": 1.0}}, r"scenario\.validation: expected less than 1"),
    ({"evaluate": "validation"}, r"scenario\.validation=0\.1"),
    ({"model": {"classifier": "dual"}}, r"model\.classifier: expected one of auto, single"),
    ({"model": {"widths": []}}, r"model\.widths"),
    ({"logits": "some"}, r"logits: expected 'all', 'seen' or 'current'"),
]


@pytest.mark.parametrize(("layer", "message"), [pair for pair in ERRORS if pair[1]])
def test_errors_name_the_key_and_the_way_out(layer: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        resolve({"strategy": "ewc"} | layer)
    assert "\n" not in str(caught.value)


def test_a_folders_scenario_is_taken_as_it_is() -> None:
    assert one({"scenario": "split-my-birds"}).scenario["name"] == "split-my-birds"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("strategy: [ewc", r"not valid YAML at line 1"),
        ("a: 1\n  b: 2", r"not valid YAML at line 2, column"),
        ("- ewc", r"expected keys such as"),
        ("!!python/object/apply:os.system ['true']", r"not valid YAML"),
        ("1: 2", r"expected keys"),
    ],
)
def test_bad_yaml(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_yaml(path)


def test_yaml_that_is_missing_or_binary(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be read \(No such file"):
        read_yaml(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not"):
        read_yaml(tmp_path / "binary.yaml")


def test_empty_yaml_is_no_config(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("")
    assert read_yaml(tmp_path / "empty.yaml") == {}


@pytest.mark.parametrize("text", ["lam", "=5", "a..b=1", "a=1 : 2 : 3", "a={"])
def test_bad_assignments(text: str) -> None:
    with pytest.raises(UserError, match="--set"):
        read_assignments([text])


def test_assignments_are_yaml() -> None:
    assert read_assignments(["a.b=[1, 2]", "a.c=true", "d=x"]) == {"a": {"b": [1, 2], "c": True}, "d": "x"}
    with pytest.raises(UserError, match="already set"):
        read_assignments(["a=1", "a.b=2"])


def test_merge_does_not_change_its_layers() -> None:
    layer = {"strategy": {"name": "ewc", "lam": 1}}
    merge(layer, {"strategy": {"lam": 2}})
    assert layer == {"strategy": {"name": "ewc", "lam": 1}}


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("ewc", ["ewc"]),
        ("lwf+ewc", ["lwf", "ewc"]),
        ("der++", ["der++"]),
        ("der+++ewc", ["der++", "ewc"]),
        ("ewc+der++", ["ewc", "der++"]),
        ("ewc+der+++l2", ["ewc", "der++", "l2"]),
    ],
)
def test_a_double_plus_belongs_to_a_name(name: str, parts: list[str]) -> None:
    assert store.parts(name) == parts
