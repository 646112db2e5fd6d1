"""The way back through a network: exact where it can be, the formula elsewhere, and refused where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from typer.testing import CliRunner

from clbench import registry
from clbench.cli import app
from clbench.errors import UserError
from clbench.models.network import Network, build
from clbench.models.reverse import IrreversibleError, Reversal
from tests.helpers import run_small

SMALL: dict[str, dict[str, Any]] = {
    "mlp": {"widths": (7, 5)},
    "lenet": {"width": 4, "units": 6},
    "cnn6": {"width": 4},
    "resnet18": {"width": 4},
    "slim-resnet18": {"width": 4},
}
SHAPE = (3, 10, 10)


def made(name: str, shape: tuple[int, int, int] = SHAPE, **options: Any) -> Network:
    torch.manual_seed(0)
    network = build(registry.model.load(name).make(shape, **options), shape, "single", 4, 1)
    assert isinstance(network, Network)
    return network


def pairs(network: nn.Module, x: Tensor, full: bool = True, heads: Any = None) -> list[tuple[Tensor, Tensor]]:
    reversal = Reversal(network, full)
    with reversal.remembering():
        network(x) if heads is None else network(x, heads)
        return reversal.back().pairs


@pytest.mark.parametrize("full", [True, False])
def test_an_orthogonal_linear_network_is_gone_back_through_exactly(full: bool) -> None:
    layers = [nn.Linear(6, 6, dtype=torch.float64) for _ in range(3)]
    for layer in layers:
        nn.init.orthogonal_(layer.weight)
    network = Network(nn.Sequential(nn.Flatten(), *layers[:2]), layers[2])
    x = torch.randn(5, 1, 2, 3, dtype=torch.float64)
    reversal = Reversal(network, full)
    with reversal.remembering():
        network(x)
        way = reversal.back()
    assert way.error < 1e-28
    torch.testing.assert_close(way.pairs[-1][1], x, rtol=0, atol=1e-12)


@pytest.mark.parametrize("full", [True, False])
def test_it_is_the_formula(full: bool) -> None:
    """d'_m = act((d'_{m+1} − b)W), written out for a network of two hidden layers."""
    network = made("mlp", widths=(7, 5), activation="tanh").double()
    first, second, head = [m for m in network.modules() if isinstance(m, nn.Linear)]
    x = torch.randn(6, *SHAPE, dtype=torch.float64)
    one = (x.flatten(1) @ first.weight.T + first.bias).tanh()
    two = (one @ second.weight.T + second.bias).tanh()
    logits = two @ head.weight.T + head.bias
    back_two = ((logits - head.bias) @ head.weight).tanh()
    back_one = (((back_two if full else two) - second.bias) @ second.weight).tanh()
    back_x = ((back_one if full else one) - first.bias) @ first.weight
    expected = [(two, back_two), (one, back_one), (x, back_x.view_as(x))]
    for (d, found), (d_expected, found_expected) in zip(pairs(network, x, full), expected, strict=True):
        torch.testing.assert_close(d, d_expected)
        torch.testing.assert_close(found, found_expected)


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("name", ["mlp", "lenet"])
def test_gradient_agrees_with_finite_differences(name: str, full: bool) -> None:
    options: dict[str, Any] = {"widths": (4, 3)} if name == "mlp" else {"width": 2, "units": 3}
    network = made(name, (1, 8, 8), activation="tanh", **options).double()
    x = torch.randn(3, 1, 8, 8, dtype=torch.float64)
    weights = list(network.parameters())

    def error() -> Tensor:
        reversal = Reversal(network, full)
        with reversal.remembering():
            network(x)
            return reversal.back().error

    found = torch.autograd.grad(error(), weights)
    for weight, slope in zip(weights, found, strict=True):
        flat = weight.data.view(-1)
        for place in (0, len(flat) // 2, len(flat) - 1):
            values = []
            for change in (1e-5, -2e-5, 1e-5):
                flat[place] += change
                values.append(float(error().detach()))
            assert slope.flatten()[place] == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-4, abs=1e-8)


@pytest.mark.parametrize("norm", ["none", "batch", "group"])
@pytest.mark.parametrize("name", [name for name in registry.model.listed if name not in ("vit", "linear")])
def test_estimates_have_the_shapes_of_what_they_estimate(name: str, norm: str) -> None:
    network = made(name, **SMALL[name], norm=norm)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    x = torch.randn(4, *SHAPE)
    network.eval()
    found = pairs(network, x)
    weighted = [m for m in network.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    shortcuts = 3 if "resnet" in name else 0
    assert len(found) == len(weighted) - shortcuts  # the input of every layer on the main way
    for d, estimate in found:
        assert d.shape == estimate.shape
    assert found[-1][0] is x
    for key, value in network.state_dict().items():  # statistics too
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)


def test_residual_blocks_go_back_by_the_sum_of_both_ways() -> None:
    network = made("slim-resnet18", width=4, norm="none")
    backbone: Any = network.backbone
    block = backbone[3]  # the first: its shortcut changes nothing
    x = torch.randn(2, *SHAPE)
    reversal = Reversal(network, full=False)
    with reversal.remembering(), torch.no_grad():
        network(x)
        assert reversal.latest is not None
        seen = reversal.latest.outputs
        (found,) = (estimate for d, estimate in reversal.back().pairs if d is seen[backbone[2]])
        d, between = seen[block.activation2], seen[block.activation1]
        main = functional.conv_transpose2d(between - block.conv1.bias.view(-1, 1, 1), block.conv1.weight, padding=1)
    torch.testing.assert_close(found, (main + d).relu())


def test_each_sample_goes_back_from_its_own_head() -> None:
    torch.manual_seed(0)
    network = build(registry.model.load("mlp").make((1, 4, 4), widths=(6,)), (1, 4, 4), "multi", 2, 3)
    x, heads = torch.randn(6, 1, 4, 4), torch.tensor([0, 2, 1, 1, 0, 2])
    together = pairs(network, x, heads=heads)
    for sample, head in enumerate(heads.tolist()):
        alone = pairs(network, x[sample : sample + 1], heads=head)
        for (_, found), (_, expected) in zip(together, alone, strict=True):
            torch.testing.assert_close(found[sample : sample + 1], expected)


@pytest.mark.parametrize(
    ("name", "options", "kind"),
    [
        ("mlp", {"activation": "crelu"}, "ConcatenatedReLU"),
        ("cnn6", {"width": 4, "activation": "deep-fourier"}, "DeepFourier"),
        ("slim-resnet18", {"width": 4, "attention": "dia"}, "SharedAttention"),
    ],
)
def test_what_cannot_be_inverted_is_refused_by_name(name: str, options: dict[str, Any], kind: str) -> None:
    with pytest.raises(IrreversibleError, match=kind):
        Reversal(made(name, **options))


@pytest.mark.parametrize(
    ("strategy", "model", "words"),
    [
        ("racecar", ["--model", "mlp", "--set", "model.activation=crelu"], "ConcatenatedReLU"),
        ("racecar", ["--model", "vit", "--set", "model.patch=4"], "slim-resnet18"),
        ("jumpstart+ewc", ["--model", "mlp", "--set", "model.activation=tanh"], "jumpstart"),
        ("physics-aware", ["--model", "vit", "--set", "model.patch=4"], "VisionTransformer"),
        ("frozen-layers", ["--set", "strategy.layers=[3]"], "1 to 2"),
    ],
)
def test_networks_that_do_not_fit_are_refused_before_training(
    strategy: str, model: list[str], words: str, tmp_path: Path
) -> None:
    found = CliRunner().invoke(app, ["run", "--strategy", strategy, *model, "--results", str(tmp_path)])
    assert isinstance(found.exception, UserError)  # which the command line tells, with exit code 2
    assert words in str(found.exception)
    assert not list(tmp_path.rglob("*.json"))


def test_racecar_composes_with_replay_of_other_heads() -> None:
    assert run_small({"name": "racecar+er"}).status == "ok"
