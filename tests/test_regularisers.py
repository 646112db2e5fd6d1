"""Training-time regularisers against closed forms, numerical minimisers and their own claims."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as some
from scipy.optimize import minimize, minimize_scalar
from torch import Tensor, nn
from torch.nn import functional

from clbench.data.inputs import Pixels
from clbench.data.sources import DataPlace
from clbench.engine.run import Machine, run
from clbench.errors import UserError
from clbench.models.network import Network
from clbench.models.resnet import slim_resnet18
from clbench.strategies import _thresholds as thresholds
from clbench.strategies.adversarial_training import AdversarialTraining
from clbench.strategies.co_finetuning import CoFinetuning
from clbench.strategies.friendly_training import FriendlyTraining
from clbench.strategies.frozen_layers import FrozenLayers
from clbench.strategies.jumpstart import Jumpstart, gradient
from clbench.strategies.label_noise import LabelNoise
from clbench.strategies.physics_aware import PhysicsAware, quantised
from clbench.strategies.random_label_pretrain import RandomLabelPretrain
from clbench.strategies.sparse_group_lasso import SparseGroupLasso
from tests.helpers import FakeLearner, config, run_small, task_data

WEIGHTS = np.concatenate([np.linspace(-3, 3, 61), [1e-6, -1e-4]])


class Learner(FakeLearner):
    """With a mini-batch."""

    def __init__(self, model: nn.Module, x: Tensor, labels: Tensor) -> None:
        super().__init__(model, task_data(x, labels))
        self.mbatch = [x, labels, torch.zeros_like(labels)]
        self.heads = 0
        self.stage_steps = 100
        self.upstream = None


def small(*layers: nn.Module, outputs: int = 3) -> Network:
    features = next(m.out_features for m in reversed(layers) if isinstance(m, nn.Linear))
    return Network(nn.Sequential(nn.Flatten(), *layers), nn.Linear(features, outputs))


def minimiser(penalty: Callable[[float], float], w: float, t: float) -> float:
    """argmin_v ½(v − w)² + t·penalty(v), by search from 0 and from w."""

    def cost(v: float) -> float:
        return 0.5 * (v - w) ** 2 + t * penalty(v)

    low, high = sorted((0.0, w))
    found = minimize_scalar(cost, bounds=(low - 1e-12, high + 1e-12), method="bounded", options={"xatol": 1e-12})
    grid = np.linspace(low, high, 4001)
    best = grid[np.argmin([cost(v) for v in grid])]
    fine = minimize_scalar(cost, bounds=(best - 2e-3, best + 2e-3), method="bounded", options={"xatol": 1e-12})
    return float(min((0.0, float(found.x), float(fine.x)), key=cost))


@pytest.mark.parametrize("t", [1e-5, 0.03, 0.4, 2.0])
@pytest.mark.parametrize(
    ("step", "penalty"),
    [
        (thresholds.soft, abs),
        (thresholds.hard, lambda v: float(v != 0)),
        (lambda w, t: thresholds.transformed_l1(w, t, 1.0), lambda v: 2 * abs(v) / (1 + abs(v))),
        (lambda w, t: thresholds.transformed_l1(w, t, 0.2), lambda v: 1.2 * abs(v) / (0.2 + abs(v))),
    ],
)
def test_each_threshold_is_the_minimiser(step: Any, penalty: Callable[[float], float], t: float) -> None:
    found = step(torch.tensor(WEIGHTS), t)
    for w, v in zip(WEIGHTS, found.tolist(), strict=True):
        expected = minimiser(penalty, float(w), t)
        costs = [0.5 * (x - w) ** 2 + t * penalty(x) for x in (v, expected)]
        assert costs[0] <= costs[1] + 1e-9  # on the edge of a threshold either will do
        if abs(costs[0] - costs[1]) > 1e-9 or abs(v - expected) < 0.1:
            assert v == pytest.approx(expected, abs=1e-4)


@settings(max_examples=20, deadline=None)
@given(some.lists(some.floats(-2, 2, allow_subnormal=False), min_size=2, max_size=4), some.floats(0.05, 1.5))
def test_l1_minus_l2_is_no_worse_than_any_minimiser_finds(w: list[float], t: float) -> None:
    point = np.array(w)
    largest, next_to_it = np.sort(np.abs(point))[[-1, -2]]
    assume(next_to_it < 0.999 * largest)  # of equal ones either alone would do, and both are kept

    def cost(v: np.ndarray[Any, Any]) -> float:
        return float(0.5 * ((v - point) ** 2).sum() + t * (np.abs(v).sum() - np.linalg.norm(v)))

    shrunk, scale = thresholds.l1_minus_l2(torch.tensor(point), t)
    found = (shrunk * scale).numpy()
    starts = [point, np.zeros_like(point), *(np.where(np.arange(len(w)) == i, point, 0.0) for i in range(len(w)))]
    best = min(cost(minimize(cost, start, method="Nelder-Mead", options={"xatol": 1e-9}).x) for start in starts)
    assert cost(found) <= best + 1e-5


def test_groups_are_shortened_or_gone() -> None:
    rows = torch.tensor([[3.0, 4.0], [0.1, -0.1], [0.0, 0.0]], dtype=torch.float64)
    t = 0.5
    found = thresholds.group(rows / 4, t, 4.0)
    for w, v in zip(rows.numpy(), found.numpy(), strict=True):

        def cost(x: np.ndarray[Any, Any], w: np.ndarray[Any, Any] = w) -> float:
            return float(0.5 * ((x - w) ** 2).sum() + t * np.sqrt(2) * np.linalg.norm(x))

        best = min((minimize(cost, start, method="Nelder-Mead").x for start in (w, np.zeros(2))), key=cost)
        np.testing.assert_allclose(v, best, atol=1e-4)
    assert found[1].tolist() == [0, 0]


@pytest.mark.parametrize("penalty", ["l1", "tl1", "l1-l2", "l0"])
def test_sparse_training_leaves_groups_without_weights(penalty: Any) -> None:
    torch.manual_seed(0)
    model = small(nn.Linear(4, 8))
    learner: Any = FakeLearner(model)
    method = SparseGroupLasso(lam=0.7, penalty=penalty)
    method.before_training_exp(learner)
    head = model.classifier.weight.detach().clone()  # type: ignore[operator]
    for _ in range(4):
        method.after_update(learner)
    rows = model.backbone[1].weight  # type: ignore[index]
    gone = (rows == 0).all(1)
    assert gone.any()
    assert torch.equal(model.classifier.weight, head)  # type: ignore[arg-type]


def test_label_noise_drifts_as_the_theory_says() -> None:
    """A linear model of two layers, f = abx, fitted exactly: the implicit penalty (ησ²/4)·(a² + b²)x² moves a² − b² by
    −η²σ²(a² − b²) per step. 400 of them at once.
    """
    eta, sigma, steps, count = 0.05, 0.5, 400, 400
    a, b = (torch.full((count,), value, dtype=torch.float64, requires_grad=True) for value in (1.6, 0.625))
    learner: Any = Learner(small(nn.Linear(1, 1)), torch.zeros(1, 1), torch.zeros(count, dtype=torch.int64))
    method = LabelNoise(sigma=sigma)
    method.before_training_exp(learner)
    begun = float((a**2 - b**2).detach()[0])
    for _ in range(steps):
        # one class, whose target is 1: every sample is a model of its own
        learner.mb_output = (a * b).unsqueeze(1)
        method.after_forward(learner)
        loss = method.task_loss(learner) * count
        slopes = torch.autograd.grad(loss, (a, b))
        with torch.no_grad():
            for weight, slope in zip((a, b), slopes, strict=True):
                weight -= eta * slope
    rates = -((a**2 - b**2).detach() / begun).log() / steps
    error = float(rates.std()) / count**0.5
    expected = eta**2 * sigma**2
    first_order = 0.12 * expected  # what the theory leaves out at this learning rate
    assert float(rates.mean()) == pytest.approx(expected, abs=4 * error + first_order)
    assert float(rates.mean()) > 10 * error


def test_label_noise_without_noise_is_half_the_squared_error() -> None:
    learner: Any = Learner(small(nn.Linear(1, 1)), torch.zeros(4, 1), torch.tensor([0, 2, 1, 0]))
    learner.mb_output = torch.randn(4, 3)
    method = LabelNoise(sigma=0.0)
    method.before_training_exp(learner)
    method.after_forward(learner)
    missed = learner.mb_output - functional.one_hot(learner.mbatch[1], 3)
    torch.testing.assert_close(method.task_loss(learner), missed.square().sum() / 8)
    learner.mb_output[:, 1] = -1e9  # left out by the run
    assert method.task_loss(learner) < 10


def test_flipped_labels_are_as_many_as_asked_and_never_left_out() -> None:
    labels = torch.zeros(20_000, dtype=torch.int64)
    learner: Any = Learner(small(nn.Linear(1, 1)), torch.zeros(1, 1), labels)
    learner.mb_output = torch.tensor([0.0, 0.0, -1e9, 0.0]).expand(len(labels), 4)
    method = LabelNoise(loss="cross-entropy", flip=0.3)
    method.before_training_exp(learner)
    method.after_forward(learner)
    counts = torch.bincount(method.target, minlength=4) / len(labels)
    torch.testing.assert_close(counts, torch.tensor([0.8, 0.1, 0.0, 0.1]), atol=0.01, rtol=0)


def reference(z: Tensor, rho: float) -> Tensor:
    """Jumpstart's penalty as its paper has it."""
    places = range(2, z.dim())
    parts = []
    for dims in ((0, *places), (1, *places)):
        high, low = z.amax(dims), z.amin(dims)
        parts.append((rho * (1 - high).relu() + (1 - rho) * (1 + low).relu()).mean())
    return torch.stack(parts).sum()


@pytest.mark.parametrize("shape", [(7, 5), (6, 4, 3, 2)])
def test_jumpstart_gradient_is_that_of_its_penalty(shape: tuple[int, ...]) -> None:
    z = (torch.randn(shape, dtype=torch.float64) * 0.8).requires_grad_()
    (expected,) = torch.autograd.grad(reference(z, 0.3), z)
    torch.testing.assert_close(gradient(z.detach(), 2.0, 0.3)[0], 2 * expected)


def test_jumpstart_moves_dead_and_linear_units_and_no_healthy_one() -> None:
    """Three units, built dead, linear and healthy; each sample has one on and one off anyway."""
    layer = nn.Linear(1, 3)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.5], [0.5], [2.0]]))
        layer.bias.copy_(torch.tensor([-3.0, 3.0, 0.0]))
    model = Network(nn.Sequential(nn.Flatten(), layer, nn.ReLU()), nn.Linear(3, 2))
    x = torch.linspace(-1, 1, 9).view(-1, 1)
    learner: Any = Learner(model, x, torch.zeros(9, dtype=torch.int64))
    method = Jumpstart(lam=1.0)
    method.before_training_exp(learner)
    method.pass_begins(learner)
    output = model(x)
    method.pass_ends(learner)
    (0 * output.sum()).backward()
    assert layer.bias.grad is not None
    dead, linear, healthy = layer.bias.grad.tolist()
    assert dead < 0  # a step raises its bias
    assert linear > 0
    assert healthy == 0
    assert model(x).grad_fn is not None  # a pass that only measures
    method.after_training_exp(learner)
    assert not layer._forward_pre_hooks


def test_friendly_inputs_are_the_batch_itself_after_a_quarter() -> None:
    torch.manual_seed(0)
    x, labels = torch.randn(8, 4), torch.randint(3, (8,))
    learner: Any = Learner(small(nn.Linear(4, 6), nn.ReLU()), x, labels)
    method = FriendlyTraining(beta=0.5)
    method.before_training_exp(learner)
    counts = []
    for step in range(learner.stage_steps):
        counts.append(method.steps(learner.stage_steps))
        learner.mbatch[0] = x
        method.before_forward(learner)
        moved = learner.mbatch[0]
        if step >= 25:
            assert moved is x
        if step == 0:
            losses = [functional.cross_entropy(learner.model(inputs), labels) for inputs in (x, moved)]
            assert losses[1] < losses[0]
    assert counts[:3] == [10, 9, 8]
    assert counts[25:] == [0] * 75


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_adversarial_inputs_are_worse_near_and_valid(norm: Any) -> None:
    torch.manual_seed(0)
    pixels, labels = torch.rand(16, 1, 3, 3), torch.randint(3, (16,))
    learner: Any = Learner(small(nn.Linear(9, 12), nn.ReLU()), pixels, labels)
    learner.data.encode = Pixels(torch.full((1, 1, 1), 1 / (255 * 0.3)), torch.full((1, 1, 1), -0.5 / 0.3))
    learner.mbatch[0] = clean = (pixels - 0.5) / 0.3
    AdversarialTraining(eps=0.2, norm=norm).before_forward(learner)
    moved = learner.mbatch[0]
    change = ((moved - clean) * 0.3).flatten(1)
    sizes = change.abs().amax(1) if norm == "linf" else change.norm(dim=1)
    assert sizes.max() <= 0.2 + 1e-5
    assert sizes.min() > 0
    assert (moved * 0.3 + 0.5).min() >= -1e-5
    assert (moved * 0.3 + 0.5).max() <= 1 + 1e-5
    losses = [functional.cross_entropy(learner.model(x), labels) for x in (clean, moved)]
    assert losses[1] > losses[0]


@pytest.mark.parametrize(("layers", "frozen"), [("even", [1]), ("odd", [0, 2]), ("all", [0, 1, 2]), ([-1, 1], [2, 0])])
def test_frozen_layers_are_those_asked_for(layers: Any, frozen: list[int]) -> None:
    linear = [nn.Linear(4, 4) for _ in range(3)]
    model = small(*linear)
    learner: Any = FakeLearner(model)
    FrozenLayers(layers=layers).before_training(learner)
    assert [index for index, layer in enumerate(linear) if not layer.weight.requires_grad] == sorted(frozen)
    assert model.classifier.weight.requires_grad


def test_layers_that_are_not_there_cannot_be_frozen() -> None:
    with pytest.raises(UserError, match="layer 2 of a network with 1"):
        FrozenLayers(layers=[2]).check(small(nn.Linear(4, 4)))


def test_random_labels_are_learnt_once_from_spoilt_copies() -> None:
    torch.manual_seed(0)
    images = torch.full((40, 1, 4, 4), 200, dtype=torch.uint8)
    labels = torch.arange(40) % 2 + 1
    learner: Any = Learner(small(nn.Linear(16, 4)), images.float(), labels)
    learner.data.samples = images
    method = RandomLabelPretrain(copies=3, zeroed=0.25, epochs=1)
    assert method.warnings() == []
    spoilt = method._spoilt(learner.data, torch.Generator().manual_seed(0))
    assert len(spoilt) == 120
    assert set(spoilt.samples.unique().tolist()) == {0, 200}
    assert float((spoilt.samples == 0).float().mean()) == pytest.approx(0.25, abs=0.03)
    assert set(spoilt.labels.tolist()) == {1, 2}
    assert float((spoilt.labels == labels.repeat(3)).float().mean()) == pytest.approx(0.5, abs=0.15)
    for stage, moves in ((1, False), (0, True)):
        before = [weight.detach().clone() for weight in learner.model.parameters()]
        learner.stage = stage
        method.before_training_exp(learner)
        same = all(torch.equal(a, b) for a, b in zip(before, learner.model.parameters(), strict=True))
        assert same != moves
    assert "threshold missed: random-label-pretrain fitted" in method.warnings()[0]


def test_random_labels_are_learnt_until_they_are_fitted() -> None:
    torch.manual_seed(0)
    images = torch.randint(256, (12, 1, 4, 4), dtype=torch.uint8)
    learner: Any = Learner(small(nn.Linear(16, 32), nn.ReLU()), images.float(), torch.arange(12) % 3)
    learner.data.samples = images
    learner.data.encode = Pixels(torch.full((1, 1, 1), 1 / 255), torch.zeros(1, 1, 1))
    method = RandomLabelPretrain(lr=0.5)
    method.before_training_exp(learner)
    assert method.accuracy == 1.0
    assert 1 < method.took < 350
    assert method.warnings() == []


def test_upstream_data_must_be_named_and_fit() -> None:
    with pytest.raises(UserError, match="co-finetuning' needs a dataset"):
        CoFinetuning().upstream()
    with pytest.raises(UserError, match="digits has 10 classes, not 11"):
        run_small({"name": "co-finetuning", "upstream": "digits", "classes": 11})


def test_upstream_images_must_have_as_many_channels(tmp_path: Path) -> None:
    for part, name in ((p, c) for p in ("train", "test") for c in ("a", "b")):
        folder = tmp_path / "colours" / part / name
        folder.mkdir(parents=True)
        from PIL import Image

        Image.new("RGB", (8, 8), (200, 10, 10)).save(folder / "0.png")
    with pytest.raises(UserError, match="8 × 8 with 3 channels, those of the stream 8 × 8 with 1 channel"):
        run_small({"name": "co-finetuning", "upstream": "colours"}, root=tmp_path)


def test_a_result_says_which_upstream_data_it_used() -> None:
    found = run_small({"name": "co-finetuning", "upstream": "digits"}).environment
    assert len(found["upstream"]) == 64


def test_quantisation_has_so_many_even_steps() -> None:
    values = torch.linspace(-1, 1, 1001)
    for bits in (1, 2, 4):
        levels = quantised(values, torch.tensor(1.0), bits).unique()
        assert len(levels) == (2 if bits == 1 else 2**bits - 1)
        assert float((quantised(values, torch.tensor(1.0), 8) - values).abs().max()) < 1 / 254 + 1e-6


@pytest.mark.parametrize("layer", [nn.Linear(6, 3), nn.Conv2d(2, 3, 2)])
def test_the_device_computes_forward_and_the_model_backward(layer: nn.Linear | nn.Conv2d) -> None:
    torch.manual_seed(0)
    x = torch.randn(5, 6) if isinstance(layer, nn.Linear) else torch.randn(5, 2, 3, 3)
    method = PhysicsAware(bits=2, noise=0.0)
    method.random = torch.Generator()
    clean = layer(x)
    hook = layer.register_forward_hook(method._measured)
    assert torch.equal(layer(x), clean)  # off
    method.running = True
    measured = layer(x)
    hook.remove()
    assert not torch.allclose(measured, clean)
    weight = torch.stack([quantised(row, row.abs().max(), 2) for row in layer.weight.flatten(1)]).view_as(layer.weight)
    function: Any = functional.linear if isinstance(layer, nn.Linear) else functional.conv2d
    torch.testing.assert_close(measured, function(quantised(x, x.abs().max(), 2), weight, layer.bias))
    up = torch.randn_like(clean)
    weights = list(layer.parameters())
    slopes = [torch.autograd.grad(output, weights, up) for output in (measured, clean)]
    for found, expected in zip(*slopes, strict=True):
        torch.testing.assert_close(found, expected)


def test_training_for_the_device_beats_training_in_silico_on_it() -> None:
    scores = []
    for forward in ("device", "model"):
        options = {"name": "physics-aware", "bits": 2, "forward": forward}
        found = [run_small(options, {"epochs": 10}, seed=seed).metrics["learning_accuracy"].value for seed in range(3)]
        scores.append(sum(value or 0.0 for value in found))
    assert scores[0] > scores[1]


def test_attention_is_one_unit_for_all_blocks_of_a_stage() -> None:
    torch.manual_seed(0)
    plain, attended = (slim_resnet18((3, 8, 8), width=4, attention=kind) for kind in ("none", "dia"))
    units = [m for m in attended.modules() if type(m).__name__ == "DIAUnit"]
    assert len(units) == 4
    extra = sum(p.numel() for p in attended.parameters()) - sum(p.numel() for p in plain.parameters())
    assert extra == sum(p.numel() for unit in units for p in unit.parameters())
    seen: list[tuple[Tensor, tuple[Tensor, Tensor]]] = []
    units[0].register_forward_hook(lambda _, inputs, output: seen.append((inputs[1][0], output)))
    attended(torch.randn(2, 3, 8, 8))
    assert len(seen) == 2  # blocks
    assert not seen[0][0].any()  # the state begins at 0 …
    assert torch.equal(seen[1][0], seen[0][1][0])  # … and goes from block to block
    factors = seen[1][1][0].detach()
    assert 0 < float(factors.min()) <= float(factors.max()) < 1


@pytest.mark.parametrize("name", ["ewc", "mas", "jumpstart"])
def test_attention_goes_with_methods_that_look_into_layers(name: str) -> None:
    """A unit that several blocks share runs several times in one forward pass."""
    attended = {"name": "slim-resnet18", "width": 8, "attention": "dia"}
    setting = {"model": attended, "epochs": 1}
    result = run(config(name, setting), Machine(DataPlace.default(), diagnostics=True))
    assert result.diagnostics["features"]


@pytest.mark.parametrize("name", ["jumpstart", "physics-aware", "racecar", "label-noise"])
def test_sharpness_aware_steps_have_the_method_too(name: str) -> None:
    """Their gradient is that of a second pass; a method that missed it would train like its other half."""
    sam = {"optimizer": {"name": "sam"}}
    assert run_small(name, sam).accuracy != run_small("naive", sam).accuracy
