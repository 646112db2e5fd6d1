"""Networks: shapes, parameter counts, classifiers."""

from __future__ import annotations

import re
import sys
from typing import Any

import pytest
import torch
from torch import nn

from clbench import registry
from clbench.errors import UserError
from clbench.models import network
from clbench.models._activation import ConcatenatedReLU, DeepFourier

MODELS = sorted(registry.model.listed)
SMALL: dict[str, dict[str, Any]] = {"linear": {}, "mlp": {}, "vit": {"width": 6, "depth": 1}}
ANY_SHAPE = ("linear", "mlp")
SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32)]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_model_takes_every_image(name: str, shape: tuple[int, int, int]) -> None:
    backbone = registry.model.load(name).make(shape, **SMALL.get(name, {"width": 4}))
    model = network.build(backbone, shape, "single", 7, 1)
    assert model(torch.zeros(2, *shape)).shape == (2, 7)


@pytest.mark.parametrize("name", [name for name in MODELS if name not in ("linear", "vit")])
@pytest.mark.parametrize("norm", ["none", "batch", "group", "layer"])
def test_every_norm_trains(name: str, norm: Any) -> None:
    options = {"norm": norm} | ({"width": 8} if name != "mlp" else {"widths": [8]})
    model = network.build(registry.model.load(name).make((1, 8, 8), **options), (1, 8, 8), "single", 3, 1)
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)
    assert any(isinstance(m, kinds) for m in model.modules()) == (norm != "none")
    model(torch.randn(4, 1, 8, 8)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("name", ["mlp", "lenet", "cnn6"])
@pytest.mark.parametrize("activation", ["tanh", "crelu", "deep-fourier"])
def test_every_activation_trains(name: str, activation: Any) -> None:
    options = {"activation": activation} | ({"width": 8} if name != "mlp" else {"widths": [8, 6]})
    model = network.build(registry.model.load(name).make((1, 8, 8), **options), (1, 8, 8), "single", 3, 1)
    model(torch.randn(4, 1, 8, 8)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_paired_activations_keep_the_width_of_layers_with_half_the_units() -> None:
    plain, paired = (registry.model.load("mlp").make((1, 2, 2), widths=(6, 4), activation=a) for a in ("relu", "crelu"))
    assert [layer.weight.shape for layer in plain if isinstance(layer, nn.Linear)] == [(6, 4), (4, 6)]
    assert [layer.weight.shape for layer in paired if isinstance(layer, nn.Linear)] == [(3, 4), (2, 6)]
    z = torch.tensor([[1.0, -2.0]])
    assert ConcatenatedReLU()(z).tolist() == [[1.0, 0.0, 0.0, 2.0]]
    assert torch.allclose(DeepFourier()(z), torch.cat([torch.sin(z), torch.cos(z)], dim=1))


def parameters(name: str, outputs: int) -> int:
    model = network.build(registry.model.load(name).make((3, 32, 32)), (3, 32, 32), "single", outputs, 1)
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("shape", [(5,), (4, 6)])
def test_other_shapes_are_taken_or_refused_by_name(name: str, shape: tuple[int, ...]) -> None:
    make = registry.model.load(name).make
    if name in ANY_SHAPE:
        assert network.build(make(shape), shape, "single", 7, 1)(torch.zeros(2, *shape)).shape == (2, 7)
        return
    with pytest.raises(UserError, match=f"'{name}' needs images .* For vectors use --model linear or --model mlp"):
        make(shape)


def test_a_linear_network_is_its_classifier() -> None:
    model = network.build(registry.model.load("linear").make((1, 2, 3)), (1, 2, 3), "single", 4, 1)
    x = torch.randn(5, 1, 2, 3)
    assert torch.equal(model(x), nn.functional.linear(x.flatten(1), *model.classifier.parameters()))
    assert sum(p.numel() for p in model.parameters()) == 6 * 4 + 4


def test_codes_are_tried_as_whole_numbers() -> None:
    codes = nn.Sequential(nn.Embedding(9, 4), nn.Flatten())
    assert network.build(codes, (3,), "single", 2, 1, torch.int64)(torch.zeros(5, 3, dtype=torch.int64)).shape == (5, 2)


def test_published_parameter_counts() -> None:
    assert parameters("resnet18", 10) == 11_173_962, "the usual CIFAR ResNet-18"
    assert parameters("slim-resnet18", 100) == 1_109_240, "the usual slim ResNet-18 of GEM"
    convolutions = sum(9 * a * b + b for a, b in ((3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256)))
    assert parameters("cnn6", 10) == convolutions + 4096 * 10 + 10


@pytest.mark.parametrize("name", MODELS)
def test_documented(name: str) -> None:
    doc = registry.model.listed[name].doc
    assert re.search(r"arXiv:|CoLLAs|LeCun|PyTorch", doc)


def test_multi_head_without_task_labels_gives_all_heads() -> None:
    model = network.MultiHeadNetwork(nn.Flatten(), 4, 2, heads=3)
    model.known_train_tasks_labels = {0, 2}
    assert sorted(model(torch.zeros(1, 1, 2, 2), None)) == [0, 2]


def test_a_transformer_says_which_shapes_fit() -> None:
    with pytest.raises(UserError, match=r"28 × 28 pixels must be divisible by model\.patch \(5\)"):
        registry.model.load("vit").make((1, 28, 28), patch=5)


def test_a_transformer_without_timm_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm.models.vision_transformer", None)
    with pytest.raises(UserError, match=r"pip install 'clbench\[vit\]'"):
        registry.model.load("vit").make((1, 28, 28))
