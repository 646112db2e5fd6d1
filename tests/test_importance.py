"""Importances against closed forms and against gradients taken sample by sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from clbench.strategies.ewc import Fisher, OnlineFisher
from clbench.strategies.mas import OnlineSensitivity, OutputSensitivity
from clbench.strategies.rwalk import RiemannianWalk
from clbench.strategies.si import SynapticIntelligence
from tests.helpers import FakeLearner, task_data


def linear() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 3))


def deep() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 5), nn.LayerNorm(5), nn.ReLU(inplace=True), nn.Linear(5, 3))


def convolutional() -> nn.Module:
    layers = [nn.Conv2d(1, 4, 2, stride=1, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True)]
    layers += [nn.Conv2d(4, 3, 3, dilation=1, bias=False), nn.GroupNorm(1, 3), nn.Flatten(), nn.Linear(3, 3)]
    return nn.Sequential(*layers)


class Tokens(nn.Module):
    """Two linear layers on two tokens of each sample, with an addition that other layers do not see."""

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.randn(2, 3))
        self.embed, self.mix, self.head = nn.Linear(2, 3), nn.Linear(3, 3), nn.Linear(3, 3)
        self.norm = nn.LayerNorm(3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embed(x.flatten(1).reshape(len(x), 2, 2)) + self.place
        logits: Tensor = self.head(self.mix(self.norm(tokens).tanh()).mean(1))
        return logits


class Repeated(nn.Module):
    """Layers that run more than once, on values of several sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.maps, self.units, self.head = nn.Conv2d(1, 1, 1), nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        units = self.maps(self.maps(x).tanh()).flatten(1) + self.maps(x[:, :, :1]).mean((1, 2, 3)).unsqueeze(1)
        logits: Tensor = self.head(self.units(self.units(units).tanh()))
        return logits


NETWORKS = [linear, deep, convolutional, Tokens, Repeated]


def problem(make: Callable[[], nn.Module], n: int = 11) -> tuple[nn.Module, FakeLearner, Tensor, Tensor]:
    torch.manual_seed(3)
    model = make()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):  # evaluation mode must use these, not the batch's
            nn.init.normal_(module.running_mean)  # type: ignore[arg-type]
            nn.init.uniform_(module.weight, 0.5, 1.5)
    images = torch.randint(0, 4, (n, 1, 2, 2), dtype=torch.uint8)
    labels = torch.randint(0, 3, (n,))
    return model, FakeLearner(model, task_data(images, labels)), images.float(), labels


def per_sample(model: nn.Module, objective: Callable[[Tensor], Tensor], x: Tensor) -> list[list[Tensor]]:
    """Gradients of a scalar of each sample's logits, one backward pass per sample."""
    model.eval()
    weights = list(model.parameters())
    return [list(torch.autograd.grad(objective(model(sample[None])[0]), weights)) for sample in x]


def mean_of(gradients: list[list[Tensor]], moment: Callable[[Tensor], Tensor]) -> list[Tensor]:
    return [torch.stack([moment(g) for g in column]).mean(0) for column in zip(*gradients, strict=True)]


def expected_fisher(kind: str, model: nn.Module, x: Tensor, labels: Tensor) -> list[Tensor]:
    total: list[Tensor] | None = None
    for sample, label in zip(x, labels, strict=True):
        probabilities = model.eval()(sample[None])[0].softmax(0).detach()
        if kind == "exact":
            weighted = [(c, float(p)) for c, p in enumerate(probabilities)]
        else:
            weighted = [(int(label) if kind == "empirical" else int(probabilities.argmax()), 1.0)]
        for c, p in weighted:
            (found,) = per_sample(model, lambda z, c=c: functional.log_softmax(z, 0)[c], sample[None])  # type: ignore[misc]
            part = [p * g**2 / len(x) for g in found]
            total = part if total is None else [a + b for a, b in zip(total, part, strict=True)]
    assert total is not None
    return total


@pytest.mark.parametrize("make", NETWORKS)
@pytest.mark.parametrize("kind", ["exact", "empirical", "argmax"])
def test_fisher_equals_gradients_sample_by_sample(make: Callable[[], nn.Module], kind: Any) -> None:
    model, learner, x, labels = problem(make)
    found = Fisher(kind).finish(learner, list(model.parameters()))
    assert model.training, "the learner's mode is put back"
    for one, expected in zip(found, expected_fisher(kind, model, x, labels), strict=True):
        torch.testing.assert_close(one, expected, rtol=1e-4, atol=1e-7)


def test_exact_fisher_of_logistic_regression_has_its_closed_form() -> None:
    model, learner, x, _ = problem(linear)
    found = Fisher("exact").finish(learner, list(model.parameters()))
    p = model(x).softmax(1).detach()
    flat = x.flatten(1)
    # E_y[(1[y=c] − p_c)²] = p_c(1 − p_c)
    torch.testing.assert_close(found[0], (p * (1 - p)).T @ flat**2 / len(x))
    torch.testing.assert_close(found[1], (p * (1 - p)).mean(0))


def test_sampled_fisher_tends_to_the_exact_one() -> None:
    model, learner, _, labels = problem(linear, n=20)
    many = task_data(learner.data.samples.repeat(500, 1, 1, 1), labels.repeat(500))
    exact = Fisher("exact").finish(learner, list(model.parameters()))
    sampled = Fisher("sampled").finish(FakeLearner(model, many), list(model.parameters()))
    torch.testing.assert_close(sampled[0], exact[0], rtol=0.1, atol=0.01)


def test_batched_fisher_squares_each_batch_mean() -> None:
    model, learner, x, labels = problem(linear, n=6)  # batches of 4 and 2
    found = Fisher("batched").finish(learner, list(model.parameters()))
    losses = [functional.cross_entropy(model(x[part]), labels[part]) for part in (slice(0, 4), slice(4, 6))]
    squares = [torch.autograd.grad(loss, list(model.parameters()))[0] ** 2 for loss in losses]
    torch.testing.assert_close(found[0], (squares[0] + squares[1]) / 2)


def test_fisher_uses_at_most_as_many_samples_as_asked() -> None:
    model, learner, *_ = problem(linear, n=30)
    weights = list(model.parameters())
    assert not torch.equal(
        Fisher("empirical", 5).finish(learner, weights)[0], Fisher("empirical").finish(learner, weights)[0]
    )
    assert torch.equal(
        Fisher("empirical", 30).finish(learner, weights)[0], Fisher("empirical").finish(learner, weights)[0]
    )


@pytest.mark.parametrize("make", NETWORKS)
def test_mas_equals_gradients_sample_by_sample(make: Callable[[], nn.Module]) -> None:
    model, learner, x, _ = problem(make)
    found = OutputSensitivity().finish(learner, list(model.parameters()))
    expected = mean_of(per_sample(model, lambda z: (z**2).sum(), x), torch.abs)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def step(model: nn.Module, gradient: list[float], move: list[float], importance: Any, learner: FakeLearner) -> None:
    """One step of an optimiser that moves as told, whatever the gradient."""
    (weight,) = model.parameters()
    weight.grad = torch.tensor([gradient])
    importance.observe(learner, [weight])
    weight.grad.add_(100.0)  # a penalty changes the gradient afterwards; the path must not see it
    with torch.no_grad():
        weight.add_(torch.tensor([move]))
    importance.stepped(learner, [weight])


def walker() -> tuple[nn.Module, FakeLearner]:
    model = nn.Linear(2, 1, bias=False)
    nn.init.zeros_(model.weight)
    return model, FakeLearner(model)


def test_synaptic_intelligence_by_hand() -> None:
    model, learner = walker()
    importance = SynapticIntelligence(xi=0.1)
    weights = list(model.parameters())
    importance.begin(learner, weights)
    step(model, [-2.0, 1.0], [0.5, 0.5], importance, learner)
    step(model, [-1.0, 1.0], [0.5, 0.5], importance, learner)
    # ω = −g·Δθ summed: 2·½ + 1·½ = 1.5, and −1, which counts as nothing; Δθ = 1.
    torch.testing.assert_close(importance.finish(learner, weights)[0], torch.tensor([[1.5 / 1.1, 0.0]]))


def walked(importance: RiemannianWalk, steps: list[tuple[list[float], list[float]]]) -> Tensor:
    """Importance of one stage of given gradients and moves."""
    model, learner = walker()
    weights = list(model.parameters())
    importance.begin(learner, weights)
    for gradient, move in steps:
        step(model, gradient, move, importance, learner)
    found: Tensor = importance.finish(learner, weights)[0]
    return found


def test_riemannian_walk_by_hand() -> None:
    """F = .9·mean g² of two steps, then of two more and .1 of the first; scores averaged; each over its largest."""
    importance = RiemannianWalk(0.9, 2, 0.1, "task", "max")
    found = walked(importance, [([-2.0, 1.0], [0.5, 0.5]), ([-1.0, 1.0], [0.5, 0.5])])
    fisher = [0.9 * 2.5, 0.9 * 1.0]
    score = [1.5 / (0.5 * fisher[0] + 0.1), -1.0 / (0.5 * fisher[1] + 0.1)]
    torch.testing.assert_close(found, torch.tensor([[2.0, fisher[1] / fisher[0]]]))
    steps = [
        ([0.0, -2.0], [0.0, 1.0]),
        ([0.0, 0.0], [0.0, 0.0]),
        ([9.0, 9.0], [9.0, 9.0]),
    ]  # the last one is half a pair
    found = walked(importance, steps)
    fisher = [0.1 * fisher[0], 0.1 * fisher[1] + 0.9 * 2.0]
    score = [score[0] / 2, score[1] / 2 + 2.0 / (0.5 * fisher[1] + 0.1) / 2]
    assert score[0] > score[1] > 0
    torch.testing.assert_close(found, torch.tensor([[fisher[0] / fisher[1] + 1, 1 + score[1] / score[0]]]))


def test_a_stage_shorter_than_an_interval_is_one() -> None:
    found = walked(RiemannianWalk(0.9, 10, 0.1, "task", "max"), [([-2.0, 1.0], [0.5, -0.5])])
    score = [1.0 / (0.45 * 4 * 0.25 + 0.1), 0.5 / (0.45 * 0.25 + 0.1)]
    torch.testing.assert_close(found, torch.tensor([[1 + score[0] / score[1], 0.25 + 1.0]]))


@pytest.mark.parametrize(("negative", "second"), [("task", 1 / 3), ("interval", 2 / 3)])
def test_negative_scores_are_cut_off_where_told(negative: Any, second: float) -> None:
    """Scores per interval 3, 0 and 2, −1; an ε of 10⁶ leaves the Fisher out of them."""
    importance = RiemannianWalk(0.9, 1, 1e6, negative, "max")
    found = walked(importance, [([-3.0, -2.0], [1.0, 1.0]), ([0.0, 1.0], [1.0, 1.0])])
    fisher = torch.tensor([[0.9 * 0.1 * 9, 0.9 * (0.1 * 4 + 1)]])
    expected = fisher / fisher.max() + torch.tensor([[1.0, second]])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_min_max_takes_the_smallest_off() -> None:
    found = walked(RiemannianWalk(0.9, 1, 1e6, "interval", "min-max"), [([-3.0, -2.0], [1.0, 1.0])])
    torch.testing.assert_close(found, torch.tensor([[2.0, 0.0]]))


def test_online_fisher_is_a_running_mean_of_squares() -> None:
    model, learner = walker()
    importance = OnlineFisher(rate=0.8)
    weights = list(model.parameters())
    importance.begin(learner, weights)
    for gradient in ([1.0, 2.0], [3.0, 0.0]):
        step(model, gradient, [0.0, 0.0], importance, learner)
    torch.testing.assert_close(importance.current(weights)[0], torch.tensor([[0.8 * 9 + 0.2 * 0.8, 0.2 * 0.8 * 4]]))


def test_online_sensitivity_leaves_the_task_gradient_alone() -> None:
    model, learner = walker()
    nn.init.ones_(model.weight)  # type: ignore[arg-type]
    importance = OnlineSensitivity(rate=0.8)
    weights = list(model.parameters())
    weights[0].grad = torch.full((1, 2), 7.0)
    importance.begin(learner, weights)
    learner.mb_output = model(torch.tensor([[1.0, 2.0], [0.0, 1.0]]))
    importance.forwarded(learner, weights)
    # ∂ mean (w·x)²/∂w = mean 2(w·x)x = ([6, 12] + [0, 2]) / 2
    torch.testing.assert_close(importance.current(weights)[0], 0.8 * torch.tensor([[3.0, 7.0]]))
    assert torch.equal(weights[0].grad, torch.full((1, 2), 7.0))


def walk(importance: Any, steps: int = 12) -> list[Tensor]:
    """Importances after some steps of plain SGD on ½‖w‖²."""
    model, learner = walker()
    nn.init.constant_(model.weight, 1.0)  # type: ignore[arg-type]
    weights = list(model.parameters())
    importance.begin(learner, weights)
    for _ in range(steps):
        weights[0].grad = weights[0].detach().clone()
        importance.observe(learner, weights)
        with torch.no_grad():
            weights[0].sub_(0.1 * weights[0].grad)
        importance.stepped(learner, weights)
    found: list[Tensor] = importance.current(weights)
    return found


def test_signed_path_importances_are_the_same_downhill() -> None:
    (plain,), (signed,) = walk(SynapticIntelligence(0.1)), walk(SynapticIntelligence(0.1, signed=True))
    assert torch.equal(plain, signed)
    assert (plain > 0).all()


@pytest.mark.parametrize("eta", [0.1, 0.01, 0.001])
def test_path_integral_is_the_change_of_a_quadratic_loss(eta: float) -> None:
    """Σ_k ω_k = L(start) − L(end) up to the step size: each step's share is exact but for ½η‖g‖²'s part."""
    model, learner = walker()
    nn.init.constant_(model.weight, 1.0)  # type: ignore[arg-type]
    weights, scale = list(model.parameters()), torch.tensor([[1.0, 3.0]])
    importance = SynapticIntelligence(0.1)
    importance.begin(learner, weights)
    before = 0.5 * (scale * weights[0].detach() ** 2).sum()
    for _ in range(50):
        weights[0].grad = scale * weights[0].detach()
        importance.observe(learner, weights)
        with torch.no_grad():
            weights[0].sub_(eta * weights[0].grad)
        importance.stepped(learner, weights)
    change = before - 0.5 * (scale * weights[0].detach() ** 2).sum()
    # each step: −gΔθ = ηg², the loss falls by ηg² − ½η²sg²: too large by a factor of at most 1/(1 − ½ηs)
    assert 1.0 <= float(importance.omega[0].sum() / change) <= 1 / (1 - 1.5 * eta) + 1e-3


@pytest.mark.parametrize("name", ["ewc", "mas"])
def test_online_form_of_a_penalty_and_batch_form_of_an_interpolation(name: str) -> None:
    """The form decides what is measured; both forms of both kinds train and differ."""
    from tests.helpers import run_small

    strong = {"lam": 100.0}
    found = [
        run_small({"name": name, "form": "batch"} | strong),
        run_small({"name": name, "form": "online"} | strong),
        run_small({"name": f"{name}-fixed", "form": "online"}),
        run_small({"name": f"{name}-fixed", "form": "batch"}),
    ]
    assert {result.status for result in found} == {"ok"}
    assert len({str(result.diagnostics["training_loss"]) for result in found}) == 4
