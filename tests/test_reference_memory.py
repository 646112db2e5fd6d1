"""Memory methods against second, plain implementations: a tiny network, the same batches and draws, every step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from clbench.avalanche import SupervisedPlugin
from clbench.data.benchmark import make_benchmark
from clbench.data.inputs import Pixels
from clbench.data.sources import DataPlace
from clbench.data.tensors import ResidentStream
from clbench.engine.learner import ResidentLearner
from clbench.engine.network import learner_of
from clbench.engine.plugins import plugins_of, stages_of
from clbench.engine.seeding import seed_everything
from clbench.engine.stream import stream_of
from clbench.optimizers import Sam
from clbench.strategies._memory import Draws, shares
from tests.helpers import config, run_small
from tests.test_strategy_contract import NEEDS, QUICK, STRATEGIES

LR, MOMENTUM, DECAY = 0.1, 0.9, 1e-3
SETTING: dict[str, Any] = {
    "scenario": {"keep": 3, "samples_per_task": 41},
    "model": {"widths": [7]},
    "epochs": 2,
    "batch_size": 10,  # the last batch has eleven
    "optimizer": {"lr": LR, "momentum": MOMENTUM, "weight_decay": DECAY, "schedule": "linear", "reset": "never"},
}
HEADS = pytest.mark.parametrize("incremental", ["task", "class", "domain"])


@dataclass
class Recorded(SupervisedPlugin):
    """What each stage was trained on, step by step, and the weights behind each step."""

    stages: list[list[dict[str, Any]]] = field(default_factory=list)
    rows: list[Tensor] = field(default_factory=list)  # drawn from memory, in the order of the draws

    def __post_init__(self) -> None:
        super().__init__()

    def before_training_exp(self, learner: Any, **kwargs: Any) -> None:
        self.stages.append([])

    def before_training_iteration(self, learner: Any, **kwargs: Any) -> None:
        x, labels, heads = learner.mbatch
        epoch = learner.clock.train_exp_epochs
        self.stages[-1].append({"x": x, "y": labels, "head": heads, "raw": learner.raw, "epoch": epoch})

    def after_training_iteration(self, learner: Any, **kwargs: Any) -> None:
        self.stages[-1][-1]["weights"] = {n: p.detach().clone() for n, p in learner.model.named_parameters()}


@dataclass
class Trained:
    """A run and what it began with."""

    recorded: Recorded
    learner: ResidentLearner
    strategy: Any
    weights: dict[str, Tensor]
    data: list[Any]


def train(strategy: dict[str, Any], monkeypatch: pytest.MonkeyPatch, *layers: dict[str, Any]) -> Trained:
    """Train all stages with clbench, recording."""
    one, cpu, recorded = config(strategy, SETTING, *layers), torch.device("cpu"), Recorded()
    drawn = Draws.rows

    def rows(self: Draws, count: int, batch: int, device: torch.device) -> Tensor:
        found: Tensor = drawn(self, count, batch, device)
        assert len(found.unique()) == len(found) == min(count, batch), "as many as there are, none twice"
        assert int(found.max()) < count
        recorded.rows.append(found)
        return found

    monkeypatch.setattr(Draws, "rows", rows)
    seed_everything(one.seed)
    data, stream = stream_of(one, DataPlace.default())
    plugins = plugins_of(one)
    resident = ResidentStream(stream, data, cpu, one.scenario["normalisation"])
    benchmark = make_benchmark(resident, stages_of(plugins, stream), one.evaluate)
    learner, _ = learner_of(one, stream, data.shape, cpu, [*plugins, recorded])
    weights = {name: weight.detach().clone() for name, weight in learner.model.named_parameters()}
    stages = [experience.data for experience in benchmark.streams["train"]]
    for experience in benchmark.streams["train"]:
        learner.fit(experience)
    return Trained(recorded, learner, plugins[0], weights, stages)


class Plain:
    """A network of two layers and SGD with momentum, weight decay and a linear schedule, written out."""

    def __init__(self, trained: Trained) -> None:
        self.w = {name: weight.clone().requires_grad_() for name, weight in trained.weights.items()}
        self.hidden = [name for name in self.w if name.startswith("backbone")]
        self.multi = any(name.count(".") == 2 and name.startswith("classifier") for name in self.w)
        self.v: dict[str, Tensor] = {}
        data = trained.data[0]
        assert isinstance(data.encode, Pixels)
        self.scale, self.shift = data.encode.scale, data.encode.shift

    def logits(self, x: Tensor, heads: Tensor) -> Tensor:
        weight, bias = (self.w[name] for name in self.hidden)
        h = (x.flatten(1) @ weight.T + bias).clamp_min(0)
        if not self.multi:
            return h @ self.w["classifier.weight"].T + self.w["classifier.bias"]
        out = [h[i] @ self.w[f"classifier.{k}.weight"].T + self.w[f"classifier.{k}.bias"] for i, k in enumerate(heads)]
        return torch.stack(out)

    def loss(self, x: Tensor, labels: Tensor, heads: Tensor) -> Tensor:
        chosen = self.logits(x, heads).log_softmax(1)[torch.arange(len(labels)), labels]
        return -chosen.mean()

    def inputs(self, images: Tensor) -> Tensor:
        found: Tensor = images.float() * self.scale + self.shift
        return found

    def gradient(self, loss: Tensor) -> dict[str, Tensor]:
        """Of the weights that the loss depends on."""
        found = torch.autograd.grad(loss, list(self.w.values()), allow_unused=True)
        return {name: one for name, one in zip(self.w, found, strict=True) if one is not None}

    def step(self, gradient: dict[str, Tensor], rate: float) -> None:
        for name, found in gradient.items():
            with torch.no_grad():
                g = found + DECAY * self.w[name]
                self.v[name] = MOMENTUM * self.v[name] + g if name in self.v else g.clone()
                self.w[name] -= rate * self.v[name]


def assert_same(plain: Plain, step: dict[str, Any]) -> None:
    for name, weight in step["weights"].items():
        torch.testing.assert_close(plain.w[name].detach(), weight, rtol=1e-5, atol=1e-6)


class Places:
    """Vitter's reservoir, a sample at a time: the first fill it; the i-th goes to a place drawn out of i."""

    def __init__(self, size: int) -> None:
        self.size, self.seen = size, 0
        self.kept: list[tuple[Tensor, ...]] = []

    def offer(self, sample: tuple[Tensor, ...], chance: float) -> None:
        self.seen += 1
        if len(self.kept) < self.size:
            self.kept.append(sample)
        elif (place := int(chance * self.seen)) < self.size:
            self.kept[place] = sample

    def at(self, rows: Tensor) -> list[Tensor]:
        return [torch.stack(column) for column in zip(*(self.kept[row] for row in rows.tolist()), strict=True)]


def chances(count: int, random: torch.Generator) -> list[float]:
    return torch.rand(count, generator=random, dtype=torch.float64).tolist()


def follow(trained: Trained, memory: Places, gradient: Callable[[Plain, dict[str, Any]], Any], running: bool) -> Plain:
    """Go through all steps beside the run: the memory fills at the end of stages, or ``running`` with the steps."""
    plain = Plain(trained)
    for number, stage in enumerate(trained.recorded.stages):
        random = trained.learner.random(f"reservoir of stage {number}")
        entering: list[float] = []
        for position, step in enumerate(stage):
            if running and (position == 0 or step["epoch"] != stage[position - 1]["epoch"]):
                entering = chances(len(trained.data[number]), random)
            logits = plain.logits(step["x"], step["head"]).detach()
            plain.step(gradient(plain, step), LR * (1 - position / len(stage)))
            assert_same(plain, step)
            if running:
                for sample in zip(step["raw"], step["y"], step["head"], logits, strict=True):
                    memory.offer(sample, entering.pop(0))
        if not running:
            data = trained.data[number]
            for row, chance in enumerate(chances(len(data), random)):
                memory.offer((data.samples[row], data.labels[row], data.heads[row]), chance)
    assert not trained.recorded.rows, "every draw was used"
    return plain


@HEADS
def test_a_gem_projects_the_gradient_of_all_weights(incremental: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = {"scenario": {"incremental": incremental}}
    trained = train({"name": "a-gem", "memory": 15, "batch": 8}, monkeypatch, layer)
    memory, projected, old = Places(15), [], []

    def gradient(plain: Plain, step: dict[str, Any]) -> dict[str, Tensor]:
        g = plain.gradient(plain.loss(step["x"], step["y"], step["head"]))
        if not memory.kept:
            return g
        images, labels, heads = memory.at(trained.recorded.rows.pop(0))
        reference = plain.gradient(plain.loss(plain.inputs(images), labels, heads))
        dot = sum(float((g[n].double() * reference[n]).sum()) for n in g if n in reference)
        norm = sum(float(one.double().square().sum()) for one in reference.values())
        share = dot / norm if dot < 0 else 0.0
        projected.append(dot < 0)
        # A gradient that is missing on one side is 0; the memory reaches every head that it has samples of.
        reached = {*g, *reference} | {
            name for name in plain.w if name.startswith("classifier.") and plain.multi
            and int(name.split(".")[1]) in {int(one[2]) for one in memory.kept}
        }  # fmt: skip
        zeros = {name: torch.zeros_like(plain.w[name]) for name in reached}
        old.append(len(reached) > len(g))
        return {n: g.get(n, zeros[n]) - share * reference.get(n, zeros[n]) for n in reached}

    follow(trained, memory, gradient, running=False)
    assert any(projected)
    assert not all(projected)
    assert any(old) == (incremental == "task"), "with heads of their own, old ones move"


def both(trained: Trained, memory: Places) -> Callable[[Plain, dict[str, Any]], Any]:
    """Experience replay: one mean over the batch and the samples beside it."""

    def gradient(plain: Plain, step: dict[str, Any]) -> dict[str, Tensor]:
        x, labels, heads = step["x"], step["y"], step["head"]
        if memory.kept:
            drawn = memory.at(trained.recorded.rows.pop(0))
            x = torch.cat([x, plain.inputs(drawn[0])])
            labels, heads = torch.cat([labels, drawn[1]]), torch.cat([heads, drawn[2]])
        found = plain.gradient(plain.loss(x, labels, heads))
        if memory.kept:  # a mixed batch computes every head
            found = {name: found.get(name, torch.zeros_like(weight)) for name, weight in plain.w.items()}
        return found

    return gradient


@HEADS
@pytest.mark.parametrize("current", [False, True])
def test_er_is_one_loss_over_batch_and_memory(incremental: str, current: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = {"scenario": {"incremental": incremental}}
    trained = train({"name": "er", "memory": 15, "batch": 8, "current": current}, monkeypatch, layer)
    memory = Places(15)
    follow(trained, memory, both(trained, memory), running=current)
    held = trained.strategy.memory.data
    for place, sample in enumerate(memory.kept):
        assert torch.equal(held.samples[place], sample[0])
        assert held.labels[place] == sample[1]


@HEADS
@pytest.mark.parametrize("current", [False, True])
def test_der_matches_logits_and_labels_of_two_draws(
    incremental: str, current: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = {"scenario": {"incremental": incremental}}
    options = {"name": "der++", "alpha": 0.3, "beta": 0.7, "memory": 15, "batch": 8, "current": current}
    trained = train(options, monkeypatch, layer)
    memory, steps = Places(15), [0]

    def gradient(plain: Plain, step: dict[str, Any]) -> dict[str, Tensor]:
        loss = plain.loss(step["x"], step["y"], step["head"])
        steps[0] += 1
        replays = bool(memory.kept) and (current or steps[0] > len(trained.recorded.stages[0]))
        if replays:
            images, _, heads, z = memory.at(trained.recorded.rows.pop(0))
            missed = plain.logits(plain.inputs(images), heads) - z
            loss = loss + 0.3 * missed.square().sum() / missed.numel()
            images, labels, heads, _ = memory.at(trained.recorded.rows.pop(0))
            loss = loss + 0.7 * plain.loss(plain.inputs(images), labels, heads)
        found = plain.gradient(loss)
        if replays:
            found = {name: found.get(name, torch.zeros_like(weight)) for name, weight in plain.w.items()}
        return found

    follow(trained, memory, gradient, running=True)
    for place, sample in enumerate(memory.kept):
        assert torch.equal(trained.strategy.memory.data.samples[place], sample[0])
        torch.testing.assert_close(trained.strategy.memory.logits[place], sample[3], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "options", [{"name": "er"}, {"name": "er", "current": True}, {"name": "der++"}, {"name": "a-gem"}]
)
def test_memories_keep_images_as_they_came_and_augment_what_they_replay(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the batches' own augmentation goes on as if there were no memory."""
    augment, layer = ResidentLearner.augmented, {"augment": "flip+crop"}
    given: list[Tensor] = []

    def augmented(self: ResidentLearner, images: Tensor) -> Tensor:
        given.append(images)
        found = augment(self, images)
        assert not torch.equal(found, images)
        return found

    monkeypatch.setattr(ResidentLearner, "augmented", augmented)
    trained, naive = (
        train(options | {"memory": 15, "batch": 8}, monkeypatch, layer),
        train({"name": "naive"}, monkeypatch, layer),
    )
    for stage, other in zip(trained.recorded.stages, naive.recorded.stages, strict=True):
        assert all(torch.equal(step["x"], same["x"]) for step, same in zip(stage, other, strict=True))
    originals = {image.numpy().tobytes() for data in trained.data for image in data.samples}
    assert {image.numpy().tobytes() for images in given for image in images} <= originals
    assert {image.numpy().tobytes() for image in trained.strategy.memory.data.samples} <= originals


# The greedy sampler.


def greedy(classes: list[int], size: int, cap: bool, random: torch.Generator, counts: dict[int, int]) -> dict[int, int]:
    """GDumb's algorithm 1 for a stream of classes, a sample at a time: how many of each are kept.

    ``cap``: to the letter, where a class may only have the size over the classes seen. Without, a sample enters while
    there is room, or for one of the largest class if its own has fewer.
    """
    for kind in classes:
        full = sum(counts.values()) >= size
        largest = max(counts.values(), default=0)
        if cap:
            enters = kind not in counts or counts[kind] < size / len(counts)
        else:
            enters = not full or counts.get(kind, 0) < largest
        if enters:
            if full:
                tied = [one for one in counts if counts[one] == largest]
                counts[tied[int(torch.randint(len(tied), (), generator=random))]] -= 1
            counts[kind] = counts.get(kind, 0) + 1
    return counts


@pytest.mark.parametrize("seed", range(60))
def test_the_balanced_memory_is_where_the_greedy_sampler_ends(seed: int) -> None:
    """Class by class up to ties, over streams with rare and plentiful classes; and full."""
    random = torch.Generator().manual_seed(seed)
    size = int(torch.randint(6, 40, (), generator=random))
    kept: dict[int, int] = {}
    ours: dict[int, int] = {}
    for number in range(int(torch.randint(1, 5, (), generator=random))):
        amounts = torch.randint(1, 4, (3,), generator=random) ** 4
        classes = torch.arange(3 * number, 3 * number + 3).repeat_interleave(amounts)
        order = torch.randperm(len(classes), generator=random)
        greedy(classes[order].tolist(), size, False, random, kept)
        ours |= {3 * number + one: int(amount) for one, amount in enumerate(amounts)}
        places = shares(torch.tensor(list(ours.values())), size, random)
        offered = sum(ours.values())
        ours = dict(zip(ours, places.tolist(), strict=True))
        assert sum(ours.values()) == sum(kept.values()) == min(size, offered)
        assert sorted(ours.values()) == sorted(kept.get(one, 0) for one in ours)


@pytest.mark.parametrize("seed", range(10))
def test_it_is_the_papers_where_classes_are_plentiful_and_fuller_where_not(seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    plenty = dict.fromkeys(range(5), 50)
    order = torch.tensor([k for k, n in plenty.items() for _ in range(n)])[torch.randperm(250, generator=random)]
    papers = greedy(order.tolist(), 23, True, random, {})
    places = shares(torch.tensor([50] * 5), 23, random)
    assert sum(papers.values()) == 23
    assert max(papers.values()) - min(papers.values()) <= 2, "its cap lets a class have one more than its share"
    assert sorted(places.tolist()) == [4, 4, 5, 5, 5]
    rare = torch.tensor([0] * 50 + [1] * 2)[torch.randperm(52, generator=random)]
    assert shares(torch.tensor([50, 2]), 20, random).tolist() == [18, 2]
    assert sum(greedy(rare.tolist(), 20, True, random, {}).values()) <= 20


# A sharpness-aware step.

DRAWS_BY_PASS = ("physics-aware",)  # the device's noise is new in every pass, as it is in a device


@pytest.mark.parametrize("name", [name for name in STRATEGIES if name not in DRAWS_BY_PASS])
def test_both_passes_of_a_sharpness_aware_step_have_one_loss(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the climb between them they agree: the same batch, memory, noise and penalties."""
    losses: list[Tensor] = []
    before = ResidentLearner._before_backward

    def noted(self: ResidentLearner, **kwargs: Any) -> None:
        before(self, **kwargs)
        losses.append(self.loss.detach().clone())

    monkeypatch.setattr(Sam, "climb", lambda self: self.zero_grad())
    monkeypatch.setattr(Sam, "descend", lambda self: None)
    monkeypatch.setattr(ResidentLearner, "_before_backward", noted)
    more: dict[str, Any] = {"scenario": {"tasks": 2, "samples_per_task": 24}, "optimizer": {"name": "sam"}, "epochs": 1}
    run_small({"name": name} | QUICK.get(name, {}), NEEDS.get(name, {}), more)
    assert len(losses) % 2 == 0
    for first, second in zip(losses[::2], losses[1::2], strict=True):
        torch.testing.assert_close(first, second, rtol=1e-6, atol=0.0)
