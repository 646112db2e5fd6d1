"""``clbench data embed``: features against the network's own, weights, layers, and the file that is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from clbench.cli import app
from clbench.data import cache
from clbench.data.dataset import PARTS, Dataset
from clbench.data.sources import DataPlace
from clbench.engine.embed import embedded
from clbench.engine.embedder import Wanted, embedder
from clbench.errors import Remark, UserError
from tests.helpers import uneven

NET = f"{Path(__file__).with_name('networks.py')}:Net"
pytestmark = pytest.mark.filterwarnings("ignore::clbench.errors.Remark")


def invoke(*args: object) -> Any:
    return CliRunner().invoke(app, ["data", "embed", *map(str, args)])


def test_features_are_what_the_last_linear_layer_reads(digits: Dataset, tmp_path: Path) -> None:
    from tests.networks import Net

    torch.manual_seed(3)
    own = Net(width=5).eval()
    file = tmp_path / "net.safetensors"
    save_file(own.state_dict(), file)
    found = embedded(digits, Wanted({"name": NET, "width": 5}, weights=file), "cpu")
    read: list[torch.Tensor] = []
    own.fc.register_forward_pre_hook(lambda module, given: read.append(given[0]))
    pixels = torch.from_numpy(np.array(digits.train.samples)).float() / 255
    with torch.no_grad():
        own((pixels - digits.mean[0]) / digits.std[0])
    np.testing.assert_allclose(found.x, read[0].numpy(), rtol=1e-4, atol=1e-5)
    assert found.x.dtype == np.float32
    assert len(found.x_test) == len(digits.test.labels)
    assert found.y.tolist() == digits.train.labels.tolist()
    assert found.about["layer"] == "before fc"
    assert found.about["weights"] == str(file)


def test_weights_that_are_drawn_are_said_to_be_and_are_the_same_each_time(digits: Dataset) -> None:
    with pytest.warns(Remark, match="they are drawn by chance"):
        first = embedded(digits, Wanted({"name": NET}), "cpu")
    torch.rand(5)
    again = embedded(digits, Wanted({"name": NET}), "cpu")
    assert (first.x == again.x).all()
    assert first.about == again.about


def test_a_named_layer_is_averaged_over_the_image(digits: Dataset) -> None:
    make = embedder(digits, Wanted({"name": NET}, layer="conv"), torch.device("cpu"))
    images = torch.from_numpy(np.array(digits.train.samples[:7]))
    network: Any = make.module
    plain = network.network.conv((images / 255 - digits.mean[0]) / digits.std[0]).mean((2, 3))
    torch.testing.assert_close(make(images), plain)


def test_a_network_of_clbenchs_own(digits: Dataset) -> None:
    found = embedded(digits, Wanted({"name": "mlp", "widths": [12]}), "cpu")
    assert found.x.shape[1] == 12


def test_grey_images_for_three_channels_and_another_size(digits: Dataset) -> None:
    wanted = Wanted({"name": "torchvision.models.resnet18"}, image_size=32)
    make = embedder(digits, wanted, torch.device("cpu"))
    assert make.about["input"] == [3, 32, 32]
    assert make(torch.from_numpy(np.array(digits.train.samples[:3]))).shape == (3, 512)


def test_size_and_scale_are_those_that_learnt_weights_were_made_for(digits: Dataset, tmp_path: Path) -> None:
    from torchvision.models import resnet18

    file = tmp_path / "resnet.safetensors"
    save_file(resnet18(num_classes=7).state_dict(), file)  # a classifier of others is left out
    make = embedder(digits, Wanted({"name": "torchvision.models.resnet18"}, file), torch.device("cpu"))
    assert make.about["input"] == [3, 224, 224]
    assert make.about["mean"] == [0.485, 0.456, 0.406]


def test_the_file_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = uneven(tmp_path) / "uneven"
    contents = []
    for name in ("one.npz", "two.npz"):
        said = invoke(folder, "--model", NET, "--set", "model.width=2", "-o", f"new/{name}")
        assert said.exit_code == 0, said.output
        contents.append((tmp_path / "new" / name).read_bytes())
    assert contents[0] == contents[1]
    assert "of 32 features (as constructed, seed 0, input 1 × 8 × 8)" in said.output
    with np.load("new/one.npz") as found:
        assert {key: (found[key].shape, found[key].dtype.kind) for key in found if key != "about"} == {
            "x": ((138, 32), "f"),
            "y": ((138,), "i"),
            "x_test": ((72, 32), "f"),
            "y_test": ((72,), "i"),
            "classes": ((6,), "U"),
        }
        about = json.loads(str(found["about"]))
    assert about["dataset"] == "uneven"
    assert about["options"]["width"] == 2
    assert len(about["weights_sha256"]) == 64
    assert not list(tmp_path.glob("new/.embed*"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--layer", "cnv"], "no layer 'cnv'. Did you mean 'conv'"),
        (["--pretrained"], "has no option 'weights' or 'pretrained'"),
        (["--pretrained", "--weights", "x.safetensors"], "Give one of them"),
        (["--weights", "nowhere.safetensors"], "--weights: nowhere.safetensors cannot be read"),
        (["--weights", "other.safetensors"], "does not fit the network: 'token' is missing"),
        (["--image-size", "12"], "cannot be called"),
        (["--set", "model.widht=3"], "Did you mean 'width'"),
        (["--set", "epochs=3"], "only options of the network"),
        (["-o", "vectors.csv"], "ends in .npz"),
        (["-o", "other.safetensors/x.npz"], "cannot be written"),
    ],
)
def test_bad_input(arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_file({"a": torch.zeros(2)}, "other.safetensors")
    said = invoke("digits", "--model", NET, *arguments)
    assert isinstance(said.exception, UserError), said.output
    assert words in str(said.exception)


def test_weights_that_cannot_be_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    said = invoke("digits", "--model", "torchvision.models.resnet18", "--pretrained", "--offline")
    assert isinstance(said.exception, UserError), said.output
    assert "Offline no weights are fetched" in str(said.exception)


def test_learnt_weights_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Options that are left at None, as a signature has them, do not stand in the way."""
    monkeypatch.chdir(tmp_path)
    source = "from torch import nn\n\n\ndef net(weights: str | None = None):\n"
    source += "    assert weights == 'DEFAULT', weights\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))\n"
    (tmp_path / "learnt.py").write_text(source)
    said = invoke("digits", "--model", "learnt.py:net", "--pretrained")
    assert said.exit_code == 0, said.output
    with np.load("digits-learnt-py-net.npz") as found:
        about = json.loads(str(found["about"]))
    assert (about["weights"], about["options"]["weights"]) == ("pretrained", "DEFAULT")


def test_what_is_written_is_read_as_a_dataset_and_test_rows_stay_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (uneven(tmp_path) / "uneven" / "train").rename(tmp_path / "flat")  # which nobody has divided
    said = invoke(tmp_path / "flat", "--model", NET, "-o", "flat.npz")
    assert said.exit_code == 0, said.output
    place = DataPlace(tmp_path, tmp_path / "cache", offline=True)
    images = cache.load("flat", place, said={"path": str(tmp_path / "flat")})
    vectors = cache.load("vectors", place, said={"path": str(tmp_path / "flat.npz")})
    assert (images.undivided, vectors.undivided) == (True, False)
    assert vectors.classes == images.classes
    for part in PARTS:
        assert vectors.part(part).labels.tolist() == images.train_labels[images.rows(part)].tolist()
