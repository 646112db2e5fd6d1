"""Final weights beside a Result: whole, loadable with plain torch, taken again by --pretrain."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from typer.testing import CliRunner

from clbench import store
from clbench.cli import app
from clbench.config import resolve
from clbench.data.sources import DataPlace
from clbench.engine.run import Machine, complete, finished, run
from clbench.errors import UserError
from clbench.store.folders import Folder
from tests import networks
from tests.helpers import SMALL
from tests.test_code import anew  # noqa: F401  (a fixture)
from tests.test_pages import block

MACHINE = Machine(DataPlace.default(), "cpu", threads=1)
FEW: dict[str, Any] = {"strategy": "naive", "scenario": {"tasks": 2, "samples_per_task": 32}, "epochs": 1}
LITTLE = ["--set", "epochs=1", "--set", "scenario.samples_per_task=32", "--set", "scenario.tasks=2"]
CLASS = {"scenario": {"incremental": "class"}}
pytestmark = pytest.mark.filterwarnings("ignore:.*classifiers replace:clbench.errors.Remark")


def header_of(file: Path) -> dict[str, str]:
    with safe_open(file, "pt") as opened:
        found: dict[str, str] = opened.metadata()
    return found


@pytest.mark.parametrize("classifier", ["single", "growing", "multi"])
def test_weights_are_those_at_the_end(classifier: str, tmp_path: Path) -> None:
    own = {"model": {"classifier": classifier}} | ({} if classifier == "multi" else CLASS)
    (one,) = resolve(SMALL, FEW, own)
    result, name = complete(one, MACHINE, store.LocalFolder(tmp_path), save_model=True)
    file = tmp_path / store.weights_name(name)
    assert file.name == Path(name).stem + ".safetensors"
    state = finished(one, MACHINE).model.state_dict()
    weights = load_file(file)
    assert weights.keys() == state.keys()
    assert all(torch.equal(weights[key], value) for key, value in state.items())
    header = header_of(file)
    assert (header["run_id"], header["model"], header["classifier"]) == (result.run_id, "mlp", classifier)
    assert json.loads(header["options"]) == {"widths": [12], "norm": "none", "activation": "relu"}
    assert json.loads(header["shape"]) == [1, 8, 8]
    assert len(json.loads(header["scale"])) == len(json.loads(header["shift"])) == 1


def test_weights_that_share_memory_are_each_written(tmp_path: Path, anew: object) -> None:  # noqa: F811
    Path("tied.py").write_text(
        "from torch import nn\n"
        "class Tied(nn.Sequential):\n"
        "    def __init__(self):\n"
        "        layers = [nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2)]\n"
        "        layers[2].weight = layers[0].weight\n"
        "        super().__init__(nn.Flatten(), *layers)\n"
    )
    (one,) = resolve(SMALL, FEW, {"model": "tied.py:Tied"})
    _, name = complete(one, MACHINE, store.LocalFolder(tmp_path), save_model=True)
    weights = load_file(tmp_path / store.weights_name(name))
    assert torch.equal(weights["backbone.1.weight"], weights["backbone.3.weight"])


def test_a_folder_behind_a_url(tmp_path: Path) -> None:
    folder = store.open_folder("memory://saved")
    (one,) = resolve(SMALL, FEW)
    _, name = complete(one, MACHINE, folder, save_model=True)
    (tmp_path / "w.safetensors").write_bytes(folder.read(store.weights_name(name)))
    assert "classifier.0.weight" in load_file(tmp_path / "w.safetensors")


def test_weights_come_before_the_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Result says that its run is done: what is stopped between the two is run again."""
    written: list[str] = []

    def note(name: str, content: bytes, folder: Folder) -> None:
        written.append(Path(name).suffix)

    monkeypatch.setattr("clbench.store.files.write_file", note)
    monkeypatch.setattr("clbench.store.write_file", note)
    complete(resolve(SMALL, FEW)[0], MACHINE, store.LocalFolder(tmp_path), save_model=True)
    assert written == [".safetensors", ".json"]


def test_the_command_names_them_resumes_and_removes_them(anew: object) -> None:  # noqa: F811
    words = ["run", "--strategy", "naive", "--seeds", "2", "--save-model", *LITTLE]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0
    files = sorted(Path("results").rglob("*.safetensors"))
    assert len(files) == 2
    assert all(f"wrote {file}" in done.stderr + done.stdout for file in files)
    before = load_file(files[1])
    files[1].unlink()
    assert CliRunner().invoke(app, [*words, "--resume"]).exit_code == 0  # seed 1 again, since its weights are gone
    again = load_file(files[1])
    assert all(torch.equal(again[name], value) for name, value in before.items())
    assert CliRunner().invoke(app, ["results", "rm", "--strategy", "naive", "--yes"]).exit_code == 0
    assert not [file for file in Path("results").rglob("*") if file.is_file()]


def test_pretraining_takes_them(anew: object) -> None:  # noqa: F811
    """Of a network whose layers are called as classifiers are."""
    Path("named.py").write_text(
        "from torch import nn\n"
        "class Named(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.classifier = nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 2))\n"
        "    def forward(self, x):\n"
        "        return self.classifier(x.flatten(1))\n"
    )
    (one,) = resolve(SMALL, FEW, {"model": "named.py:Named"})
    _, name = complete(one, MACHINE, store.LocalFolder(Path("kept")), save_model=True)
    file = f"kept/{store.weights_name(name)}"
    (again,) = resolve(SMALL, FEW, {"model": "named.py:Named", "pretrain": file, "optimizer": {"lr": 1e-9}})
    weights = load_file(file)
    state = finished(again, MACHINE).model.state_dict()
    assert torch.allclose(state["backbone.classifier.0.weight"], weights["backbone.classifier.0.weight"], atol=1e-6)
    with pytest.raises(UserError, match="the weights are another network's"):
        run(resolve(SMALL, FEW, {"pretrain": file})[0], MACHINE)


def test_a_state_dict_of_the_authors_own_is_taken_without_its_classifier(anew: object) -> None:  # noqa: F811
    from safetensors.torch import save_file

    shutil.copy(Path(networks.__file__), "networks.py")
    torch.manual_seed(5)
    network = networks.Net()
    save_file(network.state_dict(), "theirs.safetensors")
    settings = {"model": "networks.py:Net", "pretrain": "theirs.safetensors", "optimizer": {"lr": 1e-9}}
    state = finished(resolve(SMALL, FEW, settings)[0], MACHINE).model.state_dict()
    assert torch.allclose(state["backbone.conv.weight"], network.conv.weight, atol=1e-6)


def test_the_pages_say_how_to_load_them(anew: object, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    Path("my_net.py").write_text(block("python", "class Net("))
    words = ["run", "--strategy", "er", "--model", "my_net.py:Net", "--save-model", *LITTLE]
    done = CliRunner().invoke(app, [*words, "--set", "scenario.incremental=class", "--set", "model.width=8"])
    assert done.exit_code == 0, done.stderr
    (file,) = Path("results").rglob("*.safetensors")
    text = block("python", "load_file")
    assert len([line for line in text.splitlines() if line and "import" not in line]) <= 5
    lines = text.replace("results/split-digits/er/s0-3f2a91c07d55.safetensors", str(file))
    lines = lines.replace("Net()", "Net(width=8)")
    monkeypatch.syspath_prepend(".")
    here: dict[str, Any] = {}
    exec(compile(lines, "network.md", "exec"), here)
    (one,) = resolve(
        {"strategy": "er", "model": {"name": "my_net.py:Net", "width": 8}, "epochs": 1},
        {"scenario": {"tasks": 2, "samples_per_task": 32, "incremental": "class"}},
    )
    model = finished(one, MACHINE).model.eval()
    x = torch.randn(4, 1, 8, 8)
    assert torch.equal(here["net"].eval()(x), model(x))
