"""Networks that begin with learnt features."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from clbench import registry, store
from clbench.config import resolve
from clbench.data.sources import DataPlace
from clbench.engine.run import Machine, run
from clbench.errors import Remark, UserError
from tests.helpers import SMALL, known

FEW: dict[str, Any] = {"name": "digits", "epochs": 2, "augment": "none"}


@pytest.fixture
def place(tmp_path: Path) -> DataPlace:
    return DataPlace(tmp_path / "data", tmp_path / "cache", offline=True)


def result_of(place: DataPlace, *layers: dict[str, Any], seed: int = 0) -> store.Result:
    return run(resolve(SMALL, {"strategy": "naive", "seeds": [seed]}, *layers)[0], Machine(place))


def weights_of(place: DataPlace) -> list[Path]:
    return sorted((place.cache / "pretrained").glob("*.safetensors"))


def test_weights_are_learnt_once_kept_and_recorded(place: DataPlace) -> None:
    layer = {"pretrain": FEW}
    with pytest.warns(Remark, match="pretraining on digits"):
        first = result_of(place, layer)
    (file,) = weights_of(place)
    written = file.stat().st_mtime_ns
    second, other = result_of(place, layer), result_of(place, layer, seed=1)
    assert first.accuracy == second.accuracy, "whether the weights were learnt just now or before"
    assert file.stat().st_mtime_ns == written
    assert first.model.pretrained == second.model.pretrained == other.model.pretrained is not None
    assert known(first.accuracy[0]) != known(other.accuracy[0]), "heads differ by seed"
    assert result_of(place).model.pretrained is None
    assert all(not name.startswith("classifier") for name in load_file(file))


def test_another_recipe_is_another_file(place: DataPlace) -> None:
    for options in (FEW, FEW | {"classes": 4}, FEW | {"epochs": 1}):
        with pytest.warns(Remark):
            result_of(place, {"pretrain": options})
    assert len(weights_of(place)) == 3


def test_pretrained_features_help(place: DataPlace) -> None:
    """Features of four classes, frozen after the first of three tasks of six others."""
    later = {"scenario": {"skip": 2, "class_order": "fixed"}, "strategy": "frozen-backbone", "model": {"widths": [40]}}
    plain = result_of(place, later).metrics["average_accuracy"].value
    with pytest.warns(Remark):
        helped = result_of(place, later, {"pretrain": FEW | {"epochs": 20, "classes": 4}})
    assert (helped.metrics["average_accuracy"].value or 0) > (plain or 0)


FOUR: dict[str, Any] = {"pretrain": FEW | {"classes": 4}}


def test_classes_that_pretraining_has_learnt_are_not_shown_again(place: DataPlace) -> None:
    message = r"pretrain\.classes: the stream has \d of the 4 classes.*scenario\.class_order=fixed"
    for scenario in ({"skip": 2}, {"skip": 2, "incremental": "class"}, {"skip": 1, "class_order": "fixed"}):
        with pytest.raises(UserError, match=message):
            result_of(place, FOUR, {"scenario": scenario})
    assert weights_of(place) == [], "found out before pretraining"
    with pytest.warns(Remark) as said:
        result_of(place, FOUR)
    assert "the stream has 4 of the 4 classes of 'digits'" in str(said[0].message)


@pytest.mark.filterwarnings("error")
def test_where_nothing_is_to_be_kept_apart_nothing_is_said(place: DataPlace) -> None:
    apart = {"scenario": {"skip": 2, "class_order": "fixed"}}
    with pytest.warns(Remark, match="pretraining on digits"):
        result_of(place, FOUR, apart)
    result_of(place, FOUR, apart)
    for all_classes in (FEW, FEW | {"classes": 10}):
        with pytest.warns(Remark, match="pretraining on digits"):
            result_of(place, {"pretrain": all_classes})
        result_of(place, {"pretrain": all_classes})


def test_a_users_own_file_with_or_without_heads(place: DataPlace, tmp_path: Path) -> None:
    backbone = registry.model.load("mlp").make((1, 8, 8), widths=[12])
    nn.init.constant_(backbone[1].weight, 0.25)
    own = backbone.state_dict()
    save_file(own, tmp_path / "bare.safetensors")
    whole = {f"backbone.{name}": value for name, value in own.items()}
    save_file(whole | {"classifier.weight": torch.ones(2, 12)}, tmp_path / "whole.safetensors")
    found = [result_of(place, {"pretrain": str(tmp_path / name)}) for name in ("bare.safetensors", "whole.safetensors")]
    assert found[0].accuracy == found[1].accuracy != result_of(place).accuracy
    assert found[0].config["pretrain"]["sha256"] == found[0].model.pretrained


class Trap:
    """Runs when it is unpickled."""

    def __reduce__(self) -> Any:
        return (open, ("executed", "w"))


@pytest.mark.parametrize("content", [pickle.dumps(Trap()), b"", b"\x08\0\0\0\0\0\0\0notjson!", b"\xff" * 50])
def test_a_pickle_is_refused_and_never_run(
    content: bytes, place: DataPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="is no safetensors file"):
        result_of(place, {"pretrain": "w.safetensors"})
    assert not (tmp_path / "executed").exists()


def test_a_torch_checkpoint_under_another_name_is_refused(place: DataPlace, tmp_path: Path) -> None:
    torch.save({"x": torch.ones(1)}, tmp_path / "model.pt")
    with pytest.raises(UserError, match="is no safetensors file"):
        result_of(place, {"pretrain": str(tmp_path / "model.pt")})


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"widths": [12, 12]}, "the file lacks '3.weight'"),
        ({"widths": [10]}, r"'1.\w+' is \(12"),
        ({"name": "lenet"}, "another network's"),
    ],
)
def test_weights_of_another_architecture(model: Any, message: str, place: DataPlace, tmp_path: Path) -> None:
    save_file(registry.model.load("mlp").make((1, 8, 8), widths=[12]).state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=message):
        result_of(place, {"pretrain": str(tmp_path / "w.safetensors"), "model": model})


@pytest.mark.parametrize(
    ("pretrain", "message"),
    [
        ("nothing", "Unknown dataset 'nothing'"),
        ("missing.safetensors", "cannot be read"),
        ({"name": "digits", "epoch": 3}, r"Unknown option 'pretrain\.epoch'\. Did you mean 'epochs'"),
        ({"name": "digits", "classes": 11}, "digits has 10 classes, not 11"),
        ({"name": "w.safetensors", "epochs": 3}, "has no options"),
        ({"epochs": 3}, "expected a dataset"),
        (3, "pretrain: expected a name"),
    ],
)
def test_what_cannot_be_pretrained(pretrain: Any, message: str, place: DataPlace) -> None:
    with pytest.raises(UserError, match=message):
        result_of(place, {"pretrain": pretrain})


def test_a_file_that_has_changed_since_is_refused(place: DataPlace, tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    save_file(registry.model.load("mlp").make((1, 8, 8), widths=[12]).state_dict(), file)
    (config,) = resolve(SMALL, {"strategy": "naive", "pretrain": str(file)})
    save_file(registry.model.load("mlp").make((1, 8, 8), widths=[12]).state_dict(), file)
    with pytest.raises(UserError, match="has changed"):
        run(config, Machine(place))
