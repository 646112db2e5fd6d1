"""Diagnostics of features against closed forms."""

from __future__ import annotations

import base64
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from clbench import store
from clbench.analysis.diagnosis import QUANTITIES
from clbench.cli import app
from clbench.data.sources import DataPlace
from clbench.diagnostics import activity, features
from clbench.diagnostics.clones import clones
from clbench.diagnostics.pictures import as_pixels
from clbench.diagnostics.watch_features import sensitivity
from clbench.engine.run import Machine, run
from clbench.errors import UserError
from clbench.models.network import Network
from clbench.store import Result
from tests.helpers import FakeLearner, config, make_result, run_small, task_data


@pytest.fixture(scope="module")
def looked_at() -> Result:
    return run(config("racecar", {"model": {"widths": [12, 10]}}), Machine(DataPlace.default(), diagnostics=True))


def test_looking_changes_nothing(looked_at: Result) -> None:
    plain = run_small("racecar", {"model": {"widths": [12, 10]}})
    assert looked_at.accuracy == plain.accuracy
    assert looked_at.diagnostics["training_loss"] == plain.diagnostics["training_loss"]


def test_every_stage_is_looked_at(looked_at: Result) -> None:
    found = looked_at.diagnostics
    assert len(found["probe"]) == len(found["features"]) == 5
    assert all(0.4 < value <= 1 for value in found["probe"])
    last = found["features"][-1]
    assert last["clones"]["real"] == pytest.approx(looked_at.accuracy[-1][-1])
    assert set(last["input_information"]) == {"backbone.2", "backbone.4"}
    assert 0 < last["reconstruction"] < 2
    assert 0 < last["likeness"] <= 1
    assert last["squared_gradient"] > 0
    assert set(found["pictures"]) == {"inputs", "regenerated", "vectors"}
    values = {quantity.name: quantity.read(looked_at) for quantity in QUANTITIES}
    assert list(values["probe on the next stage"]) == [0, 1, 2, 3, 4]
    for name in ("accuracy, Gaussian clones", "error of the reverse pass", "linear units", "live groups of weights"):
        assert len(values[name]) >= 5, name


def test_a_network_without_way_back_is_looked_at_all_the_same() -> None:
    layer = {"model": {"widths": [12], "activation": "crelu"}}
    found = run(config("naive", layer), Machine(DataPlace.default(), diagnostics=True)).diagnostics
    assert {one["reconstruction"] for one in found["features"]} == {None}
    assert set(found["pictures"]) == {"vectors"}


def test_older_results_have_none_of_it() -> None:
    older = make_result().model_copy(update={"diagnostics": {"network": [{"dead": {}, "weight_norm": 1.0}]}})
    for quantity in QUANTITIES:
        quantity.read(older)


def test_probe_separates_what_a_line_can_separate() -> None:
    torch.manual_seed(0)
    labels = torch.randint(3, (400,))
    x = torch.randn(400, 20) + 6 * nn.functional.one_hot(labels, 20)
    noise = torch.randn(400, 20)
    halves = slice(0, 200), slice(200, 400)
    scores = [features.probe(z[halves[0]], labels[halves[0]], z[halves[1]], labels[halves[1]]) for z in (x, noise)]
    assert scores[0] > 0.98
    assert abs(scores[1] - 1 / 3) < 0.15
    assert features.probe(x[:4], torch.ones(4), x[4:8], torch.tensor([1, 1, 0, 1])) == 0.75  # one class to learn from


def test_information_of_what_is_known_exactly() -> None:
    labels = torch.arange(64) % 4
    by_label = labels.float().view(-1, 1).expand(64, 3)  # tells the label and nothing else
    assert features.information(by_label, labels) == pytest.approx((2.0, 2.0))
    constant = torch.ones(64, 3)
    assert features.information(constant, labels) == pytest.approx((0.0, 0.0))
    everything = torch.randn(64, 50)
    assert features.information(everything, labels) == pytest.approx((6.0, 2.0))
    other = (torch.arange(64) // 4 % 2).float().view(-1, 1)  # one bit, independent of the label
    assert features.information(other, labels) == pytest.approx((1.0, 0.0), abs=1e-9)
    assert features.information(by_label.reshape(64, 3, 1, 1), labels) == pytest.approx((2.0, 2.0))


def test_sensitivity_of_a_linear_model_is_that_of_its_inputs() -> None:
    """f = Wx + b: Σ_c ‖∇f_c‖² = C·(‖h‖² + 1) for the classifier and ‖V‖²-weighted ones below it, frozen here."""
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(6, 6, bias=False))
    backbone.requires_grad_(False)
    model = Network(backbone, nn.Linear(6, 4))
    x = torch.randn(50, 1, 2, 3)
    learner: Any = FakeLearner(model, task_data(x, torch.zeros(50, dtype=torch.int64)))
    h = backbone(x)
    expected = 4 * (h.square().sum(1) + 1).mean()
    assert sensitivity(learner, learner.data) == pytest.approx(float(expected), rel=1e-4)


def test_sensitivity_of_a_network_agrees_with_one_gradient_at_a_time() -> None:
    torch.manual_seed(0)
    model = Network(nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.Tanh()), nn.Linear(5, 3))
    x = torch.randn(200, 1, 2, 3)
    learner: Any = FakeLearner(model, task_data(x, torch.zeros(200, dtype=torch.int64)))
    weights = list(model.parameters())
    exact = [
        float(torch.stack([g.square().sum() for g in torch.autograd.grad(output, weights, retain_graph=True)]).sum())
        for output in model(x).flatten()
    ]
    assert sensitivity(learner, learner.data) == pytest.approx(sum(exact) / 200, rel=0.1)  # random signs


@pytest.mark.parametrize("kind", ["isotropic", "gaussian"])
def test_clones_have_the_moments_of_their_class(kind: Any) -> None:
    random = torch.Generator().manual_seed(0)
    mix = torch.tensor([[2.0, 1.0], [0.0, 0.5]])
    labels = torch.arange(8000) % 2
    x = torch.randn(8000, 2, generator=random) @ mix + 10 * labels.unsqueeze(1)
    made = clones(x.view(-1, 1, 1, 2), labels, kind, random).view(-1, 2)
    for label in (0, 1):
        real, clone = (torch.cov(values[labels == label].T) for values in (x, made))
        torch.testing.assert_close(made[labels == label].mean(0), x[labels == label].mean(0), atol=0.15, rtol=0)
        expected = real if kind == "gaussian" else torch.eye(2) * real.trace() / 2
        torch.testing.assert_close(clone, expected, atol=0.3, rtol=0)
    one = clones(x[:1].view(1, 1, 1, 2), labels[:1], kind, random)
    torch.testing.assert_close(one.view(-1), x[0])


def test_singular_vectors_and_what_they_look_like() -> None:
    pattern = torch.zeros(1, 2, 2)
    pattern[0, 1, 0] = 1.0
    weight = 5 * torch.ones(3, 1) @ pattern.view(1, 4) + 0.01 * torch.randn(3, 4)
    vectors = features.right_vectors(weight, 2)
    assert features.likeness(vectors[:1], pattern.unsqueeze(0)) > 0.999
    assert features.likeness(vectors[:1], 1 - pattern.unsqueeze(0)) < 0.1
    assert features.right_vectors(torch.randn(8, 3, 5, 5), 6).shape == (6, 3, 5, 5)


def test_linear_units_and_live_groups() -> None:
    outputs = torch.tensor([[1.0, 0.0, 2.0], [3.0, 0.0, 0.0]])
    assert float(activity.linear_share(outputs)) == pytest.approx(1 / 3)
    rows = torch.tensor([[0.0, 0.0], [0.0, 1e-9], [1.0, 1.0], [0.0, 0.0]])
    assert float(activity.live_groups(rows)) == 0.5


def test_sparsity_is_measured() -> None:
    found = run(
        config({"name": "sparse-group-lasso", "lam": 0.005}), Machine(DataPlace.default(), diagnostics=True)
    ).diagnostics
    begun, ended = found["network"][0], found["network"][-1]
    assert (begun["zero_weights"], begun["live_groups"]) == (0, 1)
    assert 0 < ended["zero_weights"] < 1


def test_pixels_come_back_from_json() -> None:
    images = torch.linspace(-1, 2, 24).view(2, 1, 3, 4)
    found = as_pixels(images)
    pixels = np.frombuffer(base64.b64decode(found["pixels"]), dtype=np.uint8).reshape(found["shape"])
    assert pixels.shape == (2, 1, 3, 4)
    assert pixels[0].min() == 0
    assert pixels[0].max() == 255
    assert math.isclose(pixels[0, 0, 0, 1], 255 / 11, abs_tol=1)
    assert as_pixels(torch.ones(1, 1, 2, 2))["pixels"] == base64.b64encode(bytes(4)).decode()


def test_the_way_back_is_drawn(looked_at: Result, tmp_path: Path) -> None:
    store.write(looked_at, tmp_path / "runs")
    target = tmp_path / "backwards.png"
    found = CliRunner().invoke(
        app, ["diagnose", str(tmp_path / "runs"), "--picture", "backwards", "--plot", str(target)]
    )
    assert found.exit_code == 0, found.output
    with Image.open(target) as image:
        assert min(image.size) > 200
        assert len(image.convert("L").getcolors() or []) > 20  # more than ink and paper
    store.write(make_result(), tmp_path / "plain")
    found = CliRunner().invoke(
        app, ["diagnose", str(tmp_path / "plain"), "--picture", "backwards", "--plot", str(target)]
    )
    assert isinstance(found.exception, UserError)
    assert "--diagnostics" in str(found.exception)
