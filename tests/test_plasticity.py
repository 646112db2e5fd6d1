"""Remedies for lost plasticity against small cases written out, and against autograd."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from clbench import registry
from clbench.strategies import _layers, dash, parseval
from clbench.strategies.dash import Dash
from clbench.strategies.fire import Fire, nearest_orthogonal
from clbench.strategies.l2_init import L2Init
from clbench.strategies.parseval import SpectralReg
from clbench.strategies.shrink_perturb import ShrinkPerturb
from clbench.strategies.weight_clipping import WeightClipping
from tests.helpers import FakeLearner, run_small, task_data


def learner(model: nn.Module, stage: int = 1, images: Tensor | None = None, labels: Tensor | None = None) -> Any:
    torch.manual_seed(3)
    images = torch.randn(12, 1, 2, 2) if images is None else images
    labels = torch.arange(len(images)) % 2 if labels is None else labels
    fake: Any = FakeLearner(model, task_data(images, labels))
    fake.stage = stage
    fake.optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    return fake


def network() -> Any:
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 3, 2), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(3, 2)]
    return nn.Sequential(*layers)


def values(model: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in model.parameters()]


@pytest.mark.parametrize("method", [ShrinkPerturb(), Dash(), Fire()])
def test_nothing_happens_before_the_first_stage(method: Any) -> None:
    model = network()
    before = values(model)
    method.before_training_exp(learner(model, stage=0))
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_shrink_perturb_moments() -> None:
    model: Any = nn.Sequential(nn.Linear(200, 300))
    with torch.no_grad():
        model[0].weight.fill_(2.0)
    ShrinkPerturb(shrink=0.5, perturb=0.1).before_training_exp(learner(model))
    bound = 1 / math.sqrt(200)  # of the uniform initialisation
    weight = model[0].weight.detach() - 1.0
    assert float(weight.mean()) == pytest.approx(0.0, abs=1e-4)
    assert float(weight.std()) == pytest.approx(0.1 * bound / math.sqrt(3), rel=0.02)
    gaussian: Any = nn.Sequential(nn.Linear(200, 300))
    start = gaussian[0].weight.detach().clone()
    ShrinkPerturb(shrink=0.3, perturb=0.01, noise="gaussian").before_training_exp(learner(gaussian))
    noise = gaussian[0].weight.detach() - 0.3 * start
    assert float(noise.std()) == pytest.approx(0.01, rel=0.02)


def test_shrink_perturb_renews_statistics_and_forgets_momentum() -> None:
    model = network()
    fake = learner(model)
    model(torch.randn(8, 1, 2, 2)).sum().backward()
    fake.optimizer.step()
    assert fake.optimizer.state
    assert float(model[1].running_mean.abs().sum()) > 0
    stepped = model[1].weight.detach().clone()
    ShrinkPerturb().before_training_exp(fake)
    assert not fake.optimizer.state
    assert torch.equal(model[1].running_mean, torch.zeros(3))
    assert torch.allclose(model[1].weight, 0.4 * stepped + 0.1), "a fresh scale is 1"


def test_shrink_only_multiplies() -> None:
    model = network()
    before = values(model)
    registry.strategy.load("shrink-only").make(shrink=0.25).before_training_exp(learner(model))
    assert all(torch.equal(0.25 * a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_fresh_copy_leaves_the_models_own_draws_alone() -> None:
    model = network()
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    fresh: Any = _layers.fresh_copy(learner_without_seed(model), "test")
    assert torch.equal(torch.rand(3), expected)
    assert not torch.equal(fresh[0].weight, model[0].weight)


def learner_without_seed(model: nn.Module) -> Any:
    fake = FakeLearner(model)
    fake.stage = 1
    return fake


def test_dash_scales_rows_kernels_and_biases() -> None:
    linear = torch.tensor([[3.0, 4.0], [1.0, 0.0], [2.0, 2.0]])
    # cos 1, cos 0 → floor, cos −1 → floor
    dash.shrink(linear, torch.tensor([[6.0, 8.0], [0.0, 5.0], [-1.0, -1.0]]), 0.3)
    assert torch.allclose(linear, torch.tensor([[3.0, 4.0], [0.3, 0.0], [0.6, 0.6]]))
    bias = torch.tensor([1.0, 1.0])
    dash.shrink(bias, torch.tensor([1.0, 0.0]), 0.3)
    assert torch.allclose(bias, torch.full((2,), 1 / math.sqrt(2)))
    kernels = torch.ones(1, 2, 2, 2)
    direction = torch.stack([torch.ones(2, 2), torch.tensor([[1.0, 0.0], [0.0, 0.0]])])[None]
    dash.shrink(kernels, direction, 0.3)
    assert torch.allclose(kernels[0, 0], torch.ones(2, 2))
    assert torch.allclose(kernels[0, 1], torch.full((2, 2), 0.5))


def test_dash_smooths_descent_directions_from_oldest_to_newest() -> None:
    model: Any = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    fake = learner(model)
    start = model[1].weight.detach().clone()
    smoothed = torch.zeros_like(start)
    for part in range(0, 12, 4):
        x, y = fake.data.samples[part : part + 4], fake.data.labels[part : part + 4]
        loss = nn.functional.cross_entropy(model(x), y)
        (found,) = torch.autograd.grad(loss, [model[1].weight])
        smoothed = 0.8 * smoothed - 0.2 * found
    expected = start.clone()
    dash.shrink(expected, smoothed, 0.1)
    Dash(alpha=0.2, floor=0.1, batch_size=4).before_training_exp(fake)
    assert torch.allclose(model[1].weight, expected)
    assert not torch.equal(model[1].weight, start)


def test_dash_leaves_normalisation_and_unused_layers_alone() -> None:
    model = network()
    model.unused = nn.Linear(2, 2)
    kept = [model[1].weight.detach().clone(), model.unused.weight.detach().clone()]

    def forward(x: Tensor) -> Any:
        return nn.Sequential(*list(model.children())[:5])(x)

    model.forward = forward
    Dash().before_training_exp(learner(model))
    assert torch.equal(model[1].weight, kept[0])
    assert torch.equal(model.unused.weight, kept[1])


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 4)])
def test_fire_is_the_nearest_orthogonal_matrix(shape: tuple[int, int]) -> None:
    torch.manual_seed(1)
    # Well conditioned, so that few iterations suffice.
    u, _, v = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    weight = u @ torch.diag(torch.linspace(0.6, 1.2, min(shape))) @ v
    found = nearest_orthogonal(weight[None], 15)[0]
    assert torch.allclose(found, u @ v, atol=1e-5)


def test_fire_scales_by_shape_and_taps() -> None:
    model: Any = nn.Sequential(nn.Conv2d(4, 2, 3), nn.Flatten(), nn.Linear(8, 32))
    fake = learner(model)
    Fire(iterations=40).before_training_exp(fake)
    linear = model[2].weight.detach()
    assert torch.allclose(linear.T @ linear, torch.eye(8) * 32 / 8, atol=1e-3)
    tap = model[0].weight.detach()[:, :, 1, 2]
    assert torch.allclose(tap @ tap.T, torch.eye(2) * (2 / 4) / 81, atol=1e-4)


def test_l2_init_pulls_towards_where_it_began() -> None:
    model = network()
    method = L2Init(lam=0.5)
    fake = learner(model, stage=0)
    method.before_training_exp(fake)
    start = values(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.25)
            parameter.grad = torch.zeros_like(parameter)
    method.before_training_exp(fake)
    method.before_update(fake)
    norms = _layers.norm_parameters(model)
    for parameter, old in zip(model.parameters(), start, strict=True):
        assert parameter.grad is not None
        pull = torch.zeros_like(old) if id(parameter) in norms else 0.5 * (parameter.detach() - old)
        assert torch.allclose(parameter.grad, pull, atol=1e-6)


def test_weight_clipping_holds_its_bound() -> None:
    model: Any = nn.Sequential(nn.Conv2d(2, 3, 2), nn.Flatten(), nn.Linear(3, 4))
    method = WeightClipping(zeta=0.5)
    method.before_training_exp(learner(model))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(100)
    method.after_update(learner(model))
    for layer, fan_in in ((model[0], 8), (model[2], 3)):
        for parameter in layer.parameters():
            assert float(parameter.detach().abs().max()) == pytest.approx(0.5 / math.sqrt(fan_in))


def test_parseval_gradient_against_autograd() -> None:
    torch.manual_seed(2)
    weight = torch.randn(3, 2, 2, 2, requires_grad=True)
    rows = weight.flatten(1)
    (0.7 * (rows @ rows.T - 1.5 * torch.eye(3)).square().sum()).backward()
    assert weight.grad is not None
    assert torch.allclose(parseval.gradient(weight.detach(), 0.7, 1.5), weight.grad, atol=1e-4)
    square, _ = torch.linalg.qr(torch.randn(4, 4))
    assert float(parseval.gradient(square, 1.0, 1.0).abs().max()) < 1e-5


def test_spectral_gradient_against_autograd() -> None:
    model: Any = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    method = SpectralReg(lam=0.3, k=3)
    fake = learner(model)
    method.before_training_exp(fake)
    weight = model[1].weight
    for _ in range(200):  # until the power iteration has settled
        weight.grad = torch.zeros_like(weight)
        method.before_update(fake)
    exact = weight.detach().clone().requires_grad_()
    (0.3 * (torch.linalg.matrix_norm(exact, 2) ** 3 - 1) ** 2).backward()
    assert exact.grad is not None
    assert torch.allclose(weight.grad, exact.grad, atol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {"name": "shrink-perturb", "shrink": 1, "perturb": 0},
        {"name": "dash", "floor": 1},
        {"name": "shrink-only", "shrink": 1},
    ],
)
def test_no_strength_is_naive_bit_for_bit(options: dict[str, Any]) -> None:
    assert run_small(options).accuracy == run_small("naive").accuracy


def test_they_compose_with_the_quadratic_family() -> None:
    alone, both = run_small("ewc-fixed"), run_small("ewc-fixed+shrink-perturb")
    assert both.status == "ok"
    assert both.accuracy != alone.accuracy


PLUGIN = """
from torch import nn
from clbench.registry import model

@model("mixed")
def mixed(shape):
    \"\"\"A layer that strategies do not know (PyTorch).\"\"\"
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.PReLU(), nn.Linear(8, 4))
"""


def test_layers_that_are_left_alone_are_named_once(tmp_path: Path) -> None:
    (tmp_path / "mixed.py").write_text(PLUGIN)
    words = ["run", "--strategy", "dash", "--plugin", "mixed.py", "--model", "mixed", "--set", "epochs=1"]
    words += ["--set", "scenario.samples_per_task=20", "--results", "r"]
    done = subprocess.run(
        [sys.executable, "-m", "clbench", *words], cwd=tmp_path, check=True, timeout=120, capture_output=True, text=True
    )
    assert done.stderr.count("clbench: the strategy leaves layers alone that it does not know: PReLU.") == 1
