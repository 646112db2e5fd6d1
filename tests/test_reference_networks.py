"""Methods that divide the network or let it grow, against second, plain implementations: the same batches and steps."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from clbench.config import resolve
from clbench.data.sources import DataPlace
from clbench.engine.run import Machine, run
from clbench.errors import UserError
from clbench.strategies._memory import Memory
from tests.helpers import SMALL, config, run_small
from tests.test_checkpoint import SHORT, check
from tests.test_reference_memory import LR, Plain, Trained, assert_same, train
from tests.test_strategy_contract import ONE_CLASSIFIER, OWN_HEADS, QUICK, RULES, STRATEGIES, needs_of

SGD = {"optimizer": {"momentum": 0.0, "weight_decay": 0.0, "schedule": "constant"}}
MAX, PRICE = 5.0, 0.3
# Beside packnet they train old heads, have noise in every pass or other stages, or are refused for other reasons.
MOVES_OR_REFUSES = {
    *("er", "der++", "gdumb", "er-ace", "er-aml", "mir", "gss", "scr", "cls-er", "a-gem", "lwf", "generative-replay"),
    *("physics-aware", "joint", "cumulative", *ONE_CLASSIFIER, *RULES),
}


def same(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found.detach(), wanted.detach(), rtol=1e-4, atol=1e-6)


def test_packnet_prunes_by_magnitude_and_freezes(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = train({"name": "packnet", "prune": 0.5, "retrain": 0.4}, monkeypatch)
    plain = Plain(trained)
    matrix, bias = plain.hidden
    owner = torch.zeros(plain.w[matrix].shape)
    for number, stage in enumerate(trained.recorded.stages):
        free = {matrix: owner == 0, bias: torch.full_like(plain.w[bias], number == 0, dtype=torch.bool)}
        for position, step in enumerate(stage):
            before = {name: plain.w[name].detach().clone() for name in free}
            gradient = plain.gradient(plain.loss(step["x"], step["y"], step["head"]))
            plain.step(gradient, LR * (1 - position / len(stage)))
            with torch.no_grad():
                for name, mine in free.items():
                    plain.w[name].copy_(torch.where(mine, plain.w[name], before[name]))
                if position + 1 == round(len(stage) * 0.6):
                    places = [(abs(float(plain.w[matrix][i, j])), i, j) for i, j in free[matrix].nonzero().tolist()]
                    for rank, (_, i, j) in enumerate(sorted(places)):
                        if rank < round(0.5 * len(places)):
                            plain.w[matrix][i, j] = 0
                            free[matrix][i, j] = False
                        else:
                            owner[i, j] = number + 1
            assert_same(plain, step)
    for task in range(3):
        asked: Any = SimpleNamespace(data=trained.data[task], stage=3)
        weight = trained.learner.model.backbone[1].weight
        whole = weight.detach().clone()
        trained.strategy.before_eval_exp(asked)
        same(weight, whole * ((owner > 0) & (owner <= task + 1)))
        trained.strategy.after_eval_exp(asked)
        assert torch.equal(weight, whole)


def test_hat_masks_units_and_scales_gradients_as_the_paper_does(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = train({"name": "hat", "s_max": MAX, "c": PRICE}, monkeypatch, SGD, {"model": {"widths": [7, 5]}})
    w = {name: weight.clone().requires_grad_() for name, weight in trained.weights.items()}
    w["classifier_gates"] = torch.randn(3, 12, generator=trained.learner.random("attention")).requires_grad_()
    used = torch.zeros(12)
    for task, stage in enumerate(trained.recorded.stages):
        names = [name for name in w if not name.startswith("classifier.")] + [
            f"classifier.{task}.{part}" for part in ("weight", "bias")
        ]
        share = {
            "backbone.1.weight": 1 - used[:7, None].expand(7, 64),
            "backbone.1.bias": 1 - used[:7],
            "backbone.3.weight": 1 - torch.minimum(used[7:, None], used[None, :7]),
            "backbone.3.bias": 1 - used[7:],
        }
        epoch = [step["epoch"] for step in stage]
        for position, step in enumerate(stage):
            batches, b = epoch.count(step["epoch"]), position - epoch.index(step["epoch"])
            s = 1 / MAX + (MAX - 1 / MAX) * b / (batches - 1)
            e = w["classifier_gates"]
            a = torch.sigmoid(s * e[task])
            h = (step["x"].flatten(1) @ w["backbone.1.weight"].T + w["backbone.1.bias"]).clamp_min(0) * a[:7]
            h = (h @ w["backbone.3.weight"].T + w["backbone.3.bias"]).clamp_min(0) * a[7:]
            logits = h @ w[f"classifier.{task}.weight"].T + w[f"classifier.{task}.bias"]
            loss = cross_entropy(logits, step["y"]) + PRICE * (a * (1 - used)).sum() / (1 - used).sum()
            gradient = dict(zip(names, torch.autograd.grad(loss, [w[name] for name in names]), strict=True))
            gradient["classifier_gates"] = gradient["classifier_gates"] * (
                MAX * (torch.cosh(s * e) + 1) / (s * (torch.cosh(e) + 1))
            )
            with torch.no_grad():
                for name in names:
                    w[name] -= LR * share.get(name, torch.ones(1)) * gradient[name]
                w["classifier_gates"].clamp_(-6, 6)
            for name, weight in step["weights"].items():
                same(weight, w[name])
        used = torch.maximum(used, torch.sigmoid(MAX * w["classifier_gates"][task]).detach())
    same(trained.strategy.used, used)


def drawn(random: torch.Generator, outputs: int, inputs: int) -> list[Tensor]:
    """Weight and bias of a linear layer, as PyTorch draws them."""
    return [
        ((2 * torch.rand(shape, generator=random) - 1) * inputs**-0.5).requires_grad_()
        for shape in ((outputs, inputs), (outputs,))
    ]


class Growing:
    """Backbones side by side and one classifier, written out."""

    def __init__(self, trained: Trained) -> None:
        w = {name: weight.clone().requires_grad_() for name, weight in trained.weights.items()}
        self.parts = [[w["backbone.1.weight"], w["backbone.1.bias"]]]
        self.head = [w["classifier.weight"], w["classifier.bias"]]
        self.random = trained.learner.random

    def features(self, x: Tensor) -> Tensor:
        return torch.cat([(x.flatten(1) @ weight.T + bias).clamp_min(0) for weight, bias in self.parts], 1)

    def grow(self, stage: int, classes: int) -> list[Tensor]:
        """One more backbone; return an auxiliary classifier."""
        self.parts.append([one.detach().clone().requires_grad_() for one in self.parts[-1]])
        outputs, old = self.head[0].shape
        more = (2 * torch.rand(outputs, 7, generator=self.random(f"classifier of stage {stage}")) - 1) * (
            old + 7
        ) ** -0.5
        self.head[0] = torch.cat([self.head[0].detach(), more], 1).requires_grad_()
        return drawn(self.random(f"auxiliary classifier of stage {stage}"), classes + 1, 7)

    def balance(self, memory: Any, stage: int, temperature: float) -> None:
        random = self.random(f"balanced classifier of stage {stage}")
        self.head = drawn(random, *self.head[0].shape)
        orders = [torch.randperm(len(memory), generator=random) for _ in range(30)]
        x = self.features(memory.inputs(memory.samples)).detach()
        moved = [torch.zeros_like(one) for one in self.head]
        for epoch, rows in enumerate(orders):  # the memory is one batch
            logits = x[rows] @ self.head[0].T + self.head[1]
            gradient = torch.autograd.grad(cross_entropy(logits / temperature, memory.labels[rows]), self.head)
            with torch.no_grad():
                for one, g, v in zip(self.head, gradient, moved, strict=True):
                    v.mul_(0.9).add_(g + 5e-4 * one)
                    one -= (0.1 if epoch < 15 else 0.01) * v


def test_expandable_grows_a_backbone_a_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"memory": 20, "auxiliary": 0.7, "temperature": 2.0}
    trained = train({"name": "expandable"} | options, monkeypatch, SGD, {"scenario": {"incremental": "class"}})
    plain, memory = Growing(trained), Memory(20, "balanced")
    for number, stage in enumerate(trained.recorded.stages):
        known = sorted(set(trained.data[number].labels.tolist()))
        auxiliary = plain.grow(number, len(known)) if number else []
        learning = [*plain.parts[-1], *plain.head, *auxiliary]
        for step in stage:
            f = plain.features(step["x"])
            loss = cross_entropy(f @ plain.head[0].T + plain.head[1], step["y"])
            if number:
                own = torch.tensor([known.index(y) + 1 if y in known else 0 for y in step["y"].tolist()])
                loss = loss + 0.7 * cross_entropy(f[:, -7:] @ auxiliary[0].T + auxiliary[1], own)
            gradient = torch.autograd.grad(loss, learning)
            with torch.no_grad():
                for one, g in zip(learning, gradient, strict=True):
                    one -= LR * g
            for part, (weight, bias) in enumerate(plain.parts):
                place = f"backbone.parts.{part}.1" if number else "backbone.1"
                same(step["weights"][f"{place}.weight"], weight)
                same(step["weights"][f"{place}.bias"], bias)
            same(step["weights"]["classifier.weight"], plain.head[0])
        memory.take(trained.data[number], trained.learner.random(f"memory of stage {number}"))
        if number:
            plain.balance(memory.data, number, 2.0)
    same(trained.learner.model.classifier.weight, plain.head[0])
    assert len(trained.recorded.stages[1]) > len(trained.recorded.stages[0]), "the memory is trained on too"


@pytest.mark.parametrize(
    "model", [{"name": "mlp", "widths": [12], "norm": "layer"}, {"name": "lenet", "norm": "batch"}]
)
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_packnet_forgets_nothing(model: dict[str, Any], optimizer: str) -> None:
    layer = {"model": model, "optimizer": {"name": optimizer, "weight_decay": 0.01}, "scenario": {"image_size": 16}}
    assert run_small("packnet", layer).metrics["forgetting"].value == 0


@pytest.mark.parametrize("name", [one for one in STRATEGIES if one not in (*OWN_HEADS, *MOVES_OR_REFUSES)])
def test_what_packnet_holds_stays_whatever_is_beside_it(name: str) -> None:
    options = {"name": f"packnet+{name}", name: QUICK.get(name, {})}
    found: list[list[float | None]] = []
    refused = ""
    try:
        found = run_small(options, needs_of(name)).accuracy
    except UserError as error:
        refused = str(error)
    assert not refused or f"'packnet' holds weights for earlier tasks, and '{name}' sets" in refused
    for task in range(len(found) - 1):
        assert len({row[task] for row in found[task + 1 :]}) == 1, f"task {task + 1} has moved"


@pytest.mark.parametrize("model", [{"name": "mlp", "widths": [12, 9]}, {"name": "lenet", "norm": "batch"}])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_hat_forgets_nothing(model: dict[str, Any], optimizer: str) -> None:
    layer = {"model": model, "optimizer": {"name": optimizer, "weight_decay": 0.01}, "scenario": {"image_size": 16}}
    found = run_small({"name": "hat", "c": 0.1}, layer).metrics["forgetting"].value
    assert found == pytest.approx(0, abs=0.01), "masks are nearly binary"


@pytest.mark.parametrize(
    ("strategy", "layer", "words"),
    [
        ("packnet", {"scenario": {"incremental": "class"}}, "incremental=task"),
        ("hat", {"scenario": {"incremental": "domain"}}, "incremental=task"),
        ("hat", {"model": {"norm": "layer"}}, "model.norm=none"),
        ("hat", {"model": {"name": "resnet18"}}, "mlp, lenet, cnn6"),
        ("packnet+hat", {}, "Keep one of them"),
        ("expandable", {}, "incremental=class"),
        ("ewc+expandable", {"scenario": {"incremental": "class"}}, "Leave one of the two out"),
        ({"name": "expandable", "memory": 6}, {"scenario": {"incremental": "class"}}, "each of 10 classes"),
        ({"name": "expandable", "memory": "10B"}, {"scenario": {"incremental": "class"}}, "holds no sample"),
    ],
)
def test_what_they_cannot_do_is_refused_by_name(strategy: Any, layer: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        run(config(strategy, layer), Machine(DataPlace.default()))


@pytest.mark.parametrize("beside", ["lwf", "shrink-perturb", "er", "label-noise"])
def test_expandable_composes(beside: str) -> None:
    layer = {"scenario": {"incremental": "class", "tasks": 3}, "model": {"classifier": "growing"}}
    assert run_small(f"{beside}+expandable", layer).status == "ok"


OWN = """
from torch import Tensor, nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 9)
        self.forms = {"told": object()}  # what no checkpoint holds

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.flatten(1)).relu()


class Net(nn.Module):
    def __init__(self, classes: int = 10):
        super().__init__()
        self.block = Block()
        self.fc = nn.Linear(9, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.block(x))
"""


@pytest.mark.filterwarnings("ignore:.*classifiers replace")
def test_copies_of_somebody_elses_network_go_on_bit_for_bit(tmp_path: Path) -> None:
    file = tmp_path / "own_net.py"
    file.write_text(OWN, encoding="utf-8")
    layer = {"scenario": {"incremental": "class"}, "model": {"name": f"{file}:Net"}}
    check(resolve(SMALL, SHORT, {"strategy": "expandable", "optimizer": {"momentum": 0.9}}, layer)[0], tmp_path)


def test_expandable_meets_classes_again_and_one_class_a_task() -> None:
    blurry = {"scenario": {"name": "blurry-digits", "tasks": 3, "samples_per_task": 40}}
    alone = {"scenario": {"incremental": "class", "tasks": 10}}
    for layer in (blurry, alone):
        assert run_small("expandable", layer, {"epochs": 1, "batch_size": 16}).status == "ok"
