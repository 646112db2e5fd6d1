"""Friendly training by an auxiliary network, against a second implementation written out step by step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from clbench.errors import UserError
from clbench.models.network import Network
from clbench.store.later import shortened
from clbench.strategies.friendly_training import FriendlyTraining
from tests.helpers import FakeLearner, config, run_small, task_data

STEPS = 40  # of a stage; a quarter of them is friendly
ETA, RATE = 0.3, 0.01


class Learner(FakeLearner):
    """With a mini-batch."""

    def __init__(self, model: nn.Module, x: Tensor, labels: Tensor) -> None:
        super().__init__(model, task_data(x, labels))
        self.data.encode = lambda samples: samples  # type: ignore[assignment]
        self.mbatch = [x, labels, torch.zeros_like(labels)]
        self.heads = 0
        self.stage_steps = STEPS


class PlainNetwork:
    """g and Adam of two stages, by hand; ``f`` is the classifier, ``weights`` g's four at the beginning."""

    def __init__(self, f: nn.Module, weights: list[Tensor], images: bool) -> None:
        self.f, self.w, self.images = f, [w.clone().requires_grad_() for w in weights], images
        self.begin()

    def begin(self) -> None:
        self.m, self.v = ([torch.zeros_like(w) for w in self.w] for _ in range(2))
        self.t = 0

    def moved(self, x: Tensor, share: float) -> Tensor:
        a, b, c, d = self.w
        if self.images:
            hidden = torch.conv2d(x, a, b, padding=1).clamp_min(0)
            change = torch.conv2d(hidden, c, d, padding=1)
        else:
            change = ((x.flatten(1) @ a.T + b).clamp_min(0) @ c.T + d).reshape(x.shape)
        return x + share * change

    def step(self, x: Tensor, labels: Tensor, share: float) -> Tensor:
        easier = self.moved(x, share)
        likelihood = self.f(easier).softmax(1)[torch.arange(len(x)), labels]
        loss = (-likelihood.log() + ETA * ((easier - x) ** 2).flatten(1).sum(1)).mean()
        self.t += 1
        for place, g in enumerate(torch.autograd.grad(loss, self.w)):
            self.m[place] = 0.9 * self.m[place] + 0.1 * g
            self.v[place] = 0.999 * self.v[place] + 0.001 * g * g
            m, v = self.m[place] / (1 - 0.9**self.t), self.v[place] / (1 - 0.999**self.t)
            self.w[place].data -= RATE * m / (v.sqrt() + 1e-8)
        return self.moved(x, share).detach()


@pytest.mark.parametrize("shape", [(2, 4, 4), (6,)])
def test_the_auxiliary_network_takes_these_steps(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x, labels = torch.randn(8, *shape), torch.randint(3, (8,))
    size = torch.Size(shape).numel()
    # normalisation and dropout must be in evaluation mode while inputs are made easier
    hidden = nn.Sequential(nn.Flatten(), nn.Linear(size, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Dropout(0.5))
    f = Network(hidden, nn.Linear(5, 3))
    learner: Any = Learner(f, x, labels)
    method = FriendlyTraining(by="network", eta=ETA, width=4, rate=RATE)
    plain: PlainNetwork | None = None
    for _ in range(2):
        method.before_training_exp(learner)
        assert method.g is not None
        if plain is None:
            plain = PlainNetwork(f, [w.detach() for w in method.g.parameters()], images=len(shape) == 3)
        plain.begin()
        for step in range(STEPS):
            learner.mbatch[0] = x
            method.before_forward(learner)
            if step >= STEPS / 4:
                assert learner.mbatch[0] is x
                continue
            f.eval()
            expected = plain.step(x, labels, (1 - step / (STEPS / 4)) ** 2)
            f.train()
            torch.testing.assert_close(learner.mbatch[0], expected, rtol=1e-5, atol=1e-6)
            assert not learner.mbatch[0].requires_grad
        method.after_training_exp(learner)
    assert all(weight.grad is None for weight in f.parameters()), "the classifier takes no step with it"


def test_it_begins_as_the_identity_and_makes_inputs_easier() -> None:
    torch.manual_seed(0)
    x, labels = torch.randn(16, 6), torch.randint(3, (16,))
    learner: Any = Learner(Network(nn.Linear(6, 6), nn.Linear(6, 3)), x, labels)
    method = FriendlyTraining(by="network", eta=0.0, rate=0.01)
    method.before_training_exp(learner)
    assert method.g is not None
    assert torch.equal(method.g(x), x)
    for _ in range(10):
        learner.mbatch[0] = x
        method.before_forward(learner)
    easier = method.g(x)
    losses = [nn.functional.cross_entropy(learner.model(inputs), labels) for inputs in (x, easier)]
    assert losses[1] < losses[0]


def test_codes_of_categories_are_refused() -> None:
    codes, labels = torch.randint(5, (8, 3)), torch.randint(3, (8,))
    data = task_data(codes, labels)
    data.encode = lambda samples: samples  # type: ignore[assignment]
    learner: Any = Learner(Network(nn.Linear(3, 3), nn.Linear(3, 3)), codes, labels)
    learner.data = data
    with pytest.raises(UserError, match=r"codes of categories.*Use images or rows of numbers"):
        FriendlyTraining(by="network").before_training_exp(learner)


def test_runs_and_differs_from_gradients_and_old_runs_keep_their_ids() -> None:
    by_network = {"name": "friendly-training", "by": "network", "rate": 0.01}
    found, again = run_small(by_network), run_small(by_network)
    assert found.diagnostics["training_loss"] == again.diagnostics["training_loss"]
    assert found.diagnostics["training_loss"] != run_small("friendly-training").diagnostics["training_loss"]
    old = shortened(config("friendly-training").model_dump(mode="json"))["strategy"]
    assert old == {"name": "friendly-training", "most": 10, "beta": 0.01}
