"""Answers to requests against second implementations: gradient descent on everything at once, noise, and ridge."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, jacrev
from torch.nn import functional

from clbench.data.benchmark import make_benchmark
from clbench.data.sources import DataPlace
from clbench.data.tensors import ResidentStream, TaskData
from clbench.engine.learner import ResidentLearner
from clbench.engine.network import learner_of
from clbench.engine.plugins import plugins_of, stages_of
from clbench.engine.seeding import generator, seed_everything
from clbench.engine.stream import stream_of
from clbench.strategies._linearised import Linearised, conjugate_gradients
from tests.helpers import FakeLearner
from tests.test_removal import asking

RATE, EPOCHS, OUTPUTS = 0.1, 5, 10
# All samples in one batch, so that their order is no difference.
WHOLE: dict[str, Any] = {
    "scenario": {"images": 90},
    "model": {"widths": [7]},
    "optimizer": {"lr": RATE},
    "epochs": EPOCHS,
    "batch_size": 500,
}
Named = dict[str, Tensor]


@dataclass
class Answered:
    """A learner before and after the request, with the samples of both stages."""

    learner: ResidentLearner
    strategy: Any
    first: Named
    asked: Named  # as the request found it
    kept: TaskData
    removed: TaskData

    @property
    def everything(self) -> TaskData:
        return TaskData.concat([self.kept, self.removed])

    def loss(self, weights: Named, data: TaskData) -> Tensor:
        """Each sample's cross-entropy."""
        logits = functional_call(self.learner.model, weights, (data.inputs(data.samples),))
        return functional.cross_entropy(logits, data.labels, reduction="none")

    def descended(self, weights: Named, data: TaskData, epochs: int, sign: float = 1.0, cap: float = math.inf) -> Named:
        """Gradient descent, or ascent, a step for each epoch."""
        for _ in range(epochs):
            free = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
            losses = self.loss(free, data)
            losses = torch.where(losses < cap, losses, torch.full_like(losses, cap if cap < math.inf else 0.0))
            found = torch.autograd.grad(losses.mean(), list(free.values()))
            weights = {n: (w - sign * RATE * g).detach() for (n, w), g in zip(free.items(), found, strict=True)}
        return weights

    @property
    def weights(self) -> Named:
        return weights_of(self.learner)


def weights_of(learner: ResidentLearner) -> Named:
    return {name: weight.detach().clone() for name, weight in learner.model.named_parameters()}


def answered(strategy: Any, *layers: dict[str, Any]) -> Answered:
    """Train both stages with clbench."""
    one, cpu = asking(strategy, WHOLE, *layers), torch.device("cpu")
    seed_everything(one.seed)
    data, stream = stream_of(one, DataPlace.default())
    plugins = plugins_of(one)
    resident = ResidentStream(stream, data, cpu, one.scenario["normalisation"])
    benchmark = make_benchmark(resident, stages_of(plugins, stream), one.evaluate)
    learner, _ = learner_of(one, stream, data.shape, cpu, plugins)
    first = weights_of(learner)
    learn, request = benchmark.streams["train"]
    learner.fit(learn)
    asked = weights_of(learner)
    learner.fit(request)
    kept, removed = request.data, request.removed
    assert len(learn.data) == len(kept) + len(removed) == 90
    return Answered(learner, plugins[0], first, asked, kept, removed)


def assert_same(found: Named, expected: Named) -> None:
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, rtol=1e-5, atol=1e-6)


SCENARIOS: list[dict[str, Any]] = [
    {"scenario": {"name": "forget-class-digits", "images": 90}},
    {"scenario": {"name": "forget-images-digits", "images": 90, "share": 0.3}},
]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_retrain_begins_again_on_what_stays(scenario: dict[str, Any]) -> None:
    found = answered("retrain", scenario, {"optimizer": {"momentum": 0.0, "reset": "never"}})
    assert_same(found.asked, found.descended(found.first, found.everything, EPOCHS))
    assert_same(found.weights, found.descended(found.first, found.kept, EPOCHS))


def test_retrain_forgets_momentum_and_statistics() -> None:
    """With both, its second stage is the first stage of a run that never had the samples."""
    setting = {"optimizer": {"momentum": 0.9, "reset": "never"}, "model": {"norm": "batch"}}
    found = answered("retrain", setting)
    seed_everything(0)
    plain = answered("naive", setting)
    learner, kept = plain.learner, plain.kept
    model = learner.model
    model.load_state_dict({n: b.clone() for n, b in found.strategy.start.state_dict().items()})
    optimizer = torch.optim.SGD(model.parameters(), RATE, momentum=0.9)
    model.train()
    for _ in range(EPOCHS):
        optimizer.zero_grad()
        functional.cross_entropy(model(kept.inputs(kept.samples)), kept.labels).backward()
        optimizer.step()
    for name, value in found.learner.model.state_dict().items():
        torch.testing.assert_close(value, model.state_dict()[name], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_finetune_kept_goes_on_without_the_removed(scenario: dict[str, Any]) -> None:
    found = answered({"name": "finetune-kept", "epochs": 3}, scenario)
    assert_same(found.weights, found.descended(found.asked, found.kept, 3))


@pytest.mark.parametrize("bounded", [True, False])
def test_negative_gradient_climbs_the_loss_of_the_removed(bounded: bool) -> None:
    found = answered({"name": "negative-gradient", "rate": 0.5, "epochs": 4, "bounded": bounded})
    cap = math.log(OUTPUTS) if bounded else math.inf
    assert_same(found.weights, found.descended(found.asked, found.removed, 4, sign=-0.5, cap=cap))
    before, after = (found.loss(weights, found.removed) for weights in (found.asked, found.weights))
    assert bounded or after.mean() > before.mean()


def test_fisher_forgetting_adds_noise_by_what_stays() -> None:
    noise, limit = 0.05, 0.3
    found = answered({"name": "fisher-forgetting", "noise": noise, "limit": limit, "fisher_samples": None})
    model, data = found.learner.model, found.kept
    random = generator(0, "noise of stage 1")
    fisher = {name: torch.zeros_like(weight) for name, weight in found.asked.items()}
    for x in data.inputs(data.samples):  # one by one, each class by its probability
        free = {name: weight.clone().requires_grad_() for name, weight in found.asked.items()}
        likelihood = functional_call(model, free, (x[None],)).log_softmax(1)[0]
        for label in range(OUTPUTS):
            gradients = torch.autograd.grad(likelihood[label], list(free.values()), retain_graph=True)
            for name, g in zip(free, gradients, strict=True):
                fisher[name] += likelihood[label].exp().detach() * g**2 / len(data)
    expected, limited = {}, 0
    for name, weight in found.asked.items():
        deviation = noise / (fisher[name] + 1e-8) ** 0.25
        limited += int((deviation > limit).sum())
        expected[name] = weight + deviation.clamp(max=limit) * torch.randn(weight.shape, generator=random)
    assert limited > 0
    for name, weight in expected.items():
        torch.testing.assert_close(found.weights[name], weight, rtol=1e-3, atol=1e-5)


# Linear forgetting.

EXACT = {"name": "linear-forgetting", "mu": 0.01, "iterations": 2000, "tolerance": 1e-7}


def ridge(x: Tensor, labels: Tensor, core: Tensor, mu: float) -> Tensor:
    """W [features + 1, outputs] of mean ½‖x̃W − (y − f)‖² + (μ/2)‖W‖² in closed form, f what the core says."""
    x = torch.cat([x.flatten(1), torch.ones(len(x), 1)], 1).double()
    wanted = functional.one_hot(labels, OUTPUTS).double() - core.double()
    gram = x.T @ x / len(x) + mu * torch.eye(x.shape[1], dtype=torch.float64)
    solved: Tensor = torch.linalg.solve(gram, x.T @ wanted / len(x))
    return solved


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_on_a_linear_model_removal_is_training_without_the_data(scenario: dict[str, Any]) -> None:
    found = answered(EXACT, scenario, {"model": "linear"})
    data, model = found.kept, found.learner.model
    assert_same(found.weights, found.first)
    with torch.no_grad():
        core = model(data.inputs(data.samples))
    expected = ridge(data.inputs(data.samples), data.labels, core, 0.01)
    weight, bias = found.strategy.user
    solved = torch.cat([weight.T, bias[None]]).double()
    assert (solved - expected).abs().max() < 1e-4
    with_removed = found.everything
    with torch.no_grad():
        core = model(with_removed.inputs(with_removed.samples))
    other = ridge(with_removed.inputs(with_removed.samples), with_removed.labels, core, 0.01)
    assert (other - expected).abs().max() > 1e-2, "and what was removed did matter"


def test_nothing_of_the_removed_samples_is_left_however_early_the_solver_ends() -> None:
    """The answer is bit for bit that of a strategy that was never shown them."""
    early = {"name": "linear-forgetting", "iterations": 3}
    found, never = answered(early), answered(early)
    strategy = plugins_of(asking(early))[0]
    learner: Any = FakeLearner(never.learner.model, never.kept)
    strategy.after_training_exp(learner)
    assert all(torch.equal(a, b) for a, b in zip(strategy.user, found.strategy.user, strict=True))
    assert "not converged: 3 iterations" in found.strategy.warnings()[0]


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
def test_a_linearised_network_is_least_squares_on_its_jacobian(norm: str) -> None:
    found = answered(EXACT, {"model": {"norm": norm}})
    data, model, weights = found.kept, found.learner.model.eval(), found.first
    x = data.inputs(data.samples)

    def whole(of: TaskData) -> tuple[Tensor, Tensor]:
        x = of.inputs(of.samples)
        jacobians = jacrev(lambda p: functional_call(model, p, (x,)))(weights)
        jacobian = torch.cat([one.flatten(2) for one in jacobians.values()], 2).double()
        return jacobian, functional_call(model, weights, (x,)).double()

    jacobian, core = whole(data)
    wanted = functional.one_hot(data.labels, OUTPUTS) - core
    H = torch.einsum("nci,ncj->ij", jacobian, jacobian) / len(data)
    b = torch.einsum("nci,nc->i", jacobian, wanted) / len(data)
    expected = torch.linalg.solve(H + 0.01 * torch.eye(len(H), dtype=torch.float64), b)
    solved = torch.cat([one.flatten() for one in found.strategy.user]).double()
    assert (solved - expected).abs().max() < 1e-4
    learner: Any = found.learner
    outputs = Linearised(learner).outputs(x, 0, found.strategy.user)
    torch.testing.assert_close(outputs.double(), core + jacobian @ expected, rtol=1e-4, atol=1e-4)


def test_conjugate_gradients_solve_and_say_when_they_did_not() -> None:
    torch.manual_seed(0)
    root = torch.randn(30, 30, dtype=torch.float64)
    A = root @ root.T + torch.eye(30, dtype=torch.float64)
    b = torch.randn(30, dtype=torch.float64)
    (solved,), reached = conjugate_gradients(lambda v: [A @ v[0]], [b], 200, 1e-10)
    assert reached
    torch.testing.assert_close(solved, torch.linalg.solve(A, b))
    (nothing,), reached = conjugate_gradients(lambda v: [A @ v[0]], [torch.zeros(30)], 5, 1e-10)
    assert reached
    assert not nothing.any()
    assert not conjugate_gradients(lambda v: [A @ v[0]], [b], 2, 1e-10)[1]
