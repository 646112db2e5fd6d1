"""Online methods against second, plain implementations, a sample at a time; and what they refuse."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from clbench.config import resolve
from clbench.engine.learner import ResidentLearner
from clbench.errors import UserError
from clbench.models import network
from clbench.store.warnings import kinds_of
from clbench.strategies._contrast import kinds, supervised_contrast
from clbench.strategies._online import DrawsAhead, subsets
from clbench.strategies._products import gradient_products
from clbench.strategies.cls_er import Average, answers
from clbench.strategies.er_aml import one_of
from clbench.strategies.gss import DiverseMemory
from clbench.strategies.mir import InterferedRetrieval
from clbench.strategies.scr import class_means
from tests.helpers import FakeLearner, run_small, task_data
from tests.test_reference_memory import HEADS, Places, Plain, Trained, follow, train

ONLINE = ("er-ace", "er-aml", "mir", "gss", "scr", "cls-er")
Step = dict[str, Any]
Gradient = dict[str, Tensor]
CLASS: dict[str, Any] = {"scenario": {"incremental": "class"}}
SHUFFLED: dict[str, Any] = {"scenario": {"incremental": "class", "class_order": "random"}}


def online(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, *layers: dict[str, Any]
) -> tuple[Trained, list[Tensor]]:
    """Train with clbench; the rows of memory that each step drew, where it drew any."""
    drawn, rows = DrawsAhead.rows, list[Tensor]()

    def noted(self: DrawsAhead) -> Tensor:
        found: Tensor = drawn(self)
        if len(found):
            assert len(found.unique()) == len(found)
            rows.append(found)
        return found

    monkeypatch.setattr(DrawsAhead, "rows", noted)
    return train({"memory": 15, "batch": 8} | options, monkeypatch, *layers), rows


def level(plain: Plain, trained: Trained, number: list[int]) -> None:
    """Begin each step at the run's own weights, or rounding would grow from step to step."""
    steps = [step for stage in trained.recorded.stages for step in stage]
    if number[0]:
        for name, weight in steps[number[0] - 1]["weights"].items():
            plain.w[name].data.copy_(weight)
    number[0] += 1


def whole(plain: Plain, found: Gradient, mixed: bool) -> Gradient:
    """A batch from memory computes every head: those without a gradient have one of 0."""
    return {n: found.get(n, torch.zeros_like(w)) for n, w in plain.w.items()} if mixed else found


def over(logits: Tensor, label: int, classes: set[int]) -> Tensor:
    """Cross-entropy of one sample over some classes."""
    chosen = sorted(classes)
    return -logits[chosen].log_softmax(0)[chosen.index(label)]


# Several updates with each batch.


@pytest.mark.parametrize("name", [*ONLINE, "er", "der++"])
def test_a_batch_enters_the_memory_once_however_often_it_is_trained_on(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each sample is seen once by the memory, which draws the same whatever the updates; gss also looks at weights."""
    kept: list[list[int]] = []
    fit = ResidentLearner.fit

    def watched(self: ResidentLearner, experience: Any) -> None:
        fit(self, experience)
        (plugin,) = [one for one in self.plugins if hasattr(one, "memory")]
        kept.append(plugin.memory.data.samples.flatten(1).sum(1).tolist())

    monkeypatch.setattr(ResidentLearner, "fit", watched)
    options: dict[str, Any] = {"name": name, "memory": 25} | ({"current": True} if name == "er" else {})
    once, thrice = (run_small(options, CLASS, {"epochs": 1, "updates": updates}) for updates in (1, 3))
    assert [3 * (cost.steps or 0) for cost in once.cost] == [cost.steps for cost in thrice.cost]
    half = len(kept) // 2
    if name == "gss":
        assert [len(one) for one in kept[:half]] == [len(one) for one in kept[half:]]
    else:
        assert kept[:half] == kept[half:]


def test_a_batch_is_asked_before_the_first_of_its_updates() -> None:
    one_batch: dict[str, Any] = {"scenario": {"samples_per_task": 16, "keep": 1}, "batch_size": 16, "epochs": 1}
    once, often = (run_small("naive", one_batch, {"updates": updates}) for updates in (1, 20))
    assert once.online_accuracy == often.online_accuracy != often.accuracy[-1]


# ER-ACE.


BLURRY: dict[str, Any] = {"scenario": {"name": "blurry-digits", "tasks": 3, "keep": None}}


@pytest.mark.parametrize(
    "layer", [*({"scenario": {"incremental": one}} for one in ("task", "domain", "class")), BLURRY]
)
def test_er_ace_leaves_old_classes_alone(layer: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    trained, rows = online({"name": "er-ace"}, monkeypatch, layer)
    memory, seen, steps = Places(15), set[tuple[int, int]](), [0]
    gaps = []  # steps in which a class with a smaller label than another has not come yet

    def gradient(plain: Plain, step: Step) -> Gradient:
        level(plain, trained, steps)
        own = {*zip(step["head"].tolist(), step["y"].tolist(), strict=True)}
        seen.update(own)
        gaps.append(len({label for _, label in seen}) <= max(label for _, label in seen))

        def loss(x: Tensor, labels: Tensor, heads: Tensor, allowed: set[tuple[int, int]]) -> Tensor:
            each = [
                over(z, int(y), {label for head, label in allowed if head == h})
                for z, y, h in zip(plain.logits(x, heads), labels, heads, strict=True)
            ]
            return torch.stack(each).mean()

        total = loss(step["x"], step["y"], step["head"], own)
        if memory.kept:
            images, labels, heads, _ = memory.at(rows.pop(0))
            total = total + loss(plain.inputs(images), labels, heads, seen)
        return whole(plain, plain.gradient(total), bool(memory.kept) and plain.multi)

    follow(trained, memory, gradient, running=True)
    assert not rows
    assert any(gaps) == (layer is BLURRY), "classes seen are a set, whatever their order"


# ER-AML.


@HEADS
def test_er_aml_contrasts_a_batch_with_pairs(incremental: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trained, rows = online({"name": "er-aml"}, monkeypatch, {"scenario": {"incremental": incremental}})
    memory, left_out = Places(15), []
    chances: list[Tensor] = []
    for number, stage in enumerate(trained.recorded.stages):
        random = trained.learner.random(f"pairs of stage {number}")
        epochs = [sum(len(step["y"]) for step in stage if step["epoch"] == epoch) for epoch in (0, 1)]
        chances += [torch.cat([torch.rand(2, count, generator=random) for count in epochs], dim=1)]
    taken, steps = [0] * len(chances), [0]

    def gradient(plain: Plain, step: Step) -> Gradient:
        level(plain, trained, steps)
        number = next(i for i, stage in enumerate(trained.recorded.stages) if any(one is step for one in stage))
        own = chances[number][:, taken[number] : taken[number] + len(step["y"])].T.tolist()
        taken[number] += len(step["y"])
        if not memory.kept:
            return plain.gradient(plain.loss(step["x"], step["y"], step["head"]))
        pool = [(image, int(y), int(h)) for image, y, h, _ in memory.kept]
        batch = [(image, int(y), int(h)) for image, y, h in zip(step["raw"], step["y"], step["head"], strict=True)]
        everything, present = pool + batch, {one[1:] for one in batch}
        drawn, anchors = [], []
        for place, (sample, chance) in enumerate(zip(batch, own, strict=True)):
            others = [one for i, one in enumerate(everything) if i != len(pool) + place]
            same = [one for one in others if one[1:] == sample[1:]]
            different = [one for one in others if one[1:] != sample[1:] and one[1:] in present]
            left_out.append(not (same and different))
            if same and different:
                drawn += [same[int(chance[0] * len(same))], different[int(chance[1] * len(different))]]
                anchors.append(sample)
        f = features(plain, plain.inputs(torch.stack([one[0] for one in drawn])))
        a = features(plain, plain.inputs(torch.stack([one[0] for one in anchors])))
        losses = []
        for anchor, (_, y, h) in zip(a, anchors, strict=True):
            share = (f @ anchor / 0.1).log_softmax(0)
            losses.append(-torch.stack([s for s, one in zip(share, drawn, strict=True) if one[1:] == (y, h)]).mean())
        images, labels, heads, _ = memory.at(rows.pop(0))
        total = torch.stack(losses).mean() + plain.loss(plain.inputs(images), labels, heads)
        return whole(plain, plain.gradient(total), plain.multi)

    follow(trained, memory, gradient, running=True)
    assert not rows
    assert not all(left_out)


def features(plain: Plain, x: Tensor) -> Tensor:
    """The tiny network's features, of length 1."""
    h = raw_features(plain, x)
    found: Tensor = h / h.norm(dim=1, keepdim=True).clamp_min(1e-12)
    return found


def raw_features(plain: Plain, x: Tensor) -> Tensor:
    weight, bias = (plain.w[name] for name in plain.hidden)
    found: Tensor = (x.flatten(1) @ weight.T + bias).clamp_min(0)
    return found


def test_pairs_are_drawn_uniformly_from_those_that_fit() -> None:
    fitting = torch.tensor([[True, False, True, True], [False, False, False, False]]).repeat(3000, 1)
    chosen, has = one_of(fitting, torch.rand(6000, generator=torch.Generator().manual_seed(0)))
    assert has.tolist() == [True, False] * 3000
    counted = Counter(chosen[::2].tolist())
    assert {*counted} == {0, 2, 3}
    assert all(abs(count - 1000) < 100 for count in counted.values())
    assert one_of(fitting[:1], torch.tensor([1.0]))[0].item() == 3, "a number that is rounded up to 1 takes the last"


# MIR.


@HEADS
def test_mir_replays_what_the_step_would_harm_most(incremental: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"name": "mir", "candidates": 11, "batch": 4}
    trained, rows = online(options, monkeypatch, {"scenario": {"incremental": incremental}})
    memory, rates = Places(15), []
    for stage in trained.recorded.stages:
        rates += [0.1 * (1 - position / len(stage)) for position in range(len(stage))]

    def gradient(plain: Plain, step: Step) -> Gradient:
        rate, loss = rates.pop(0), plain.loss(step["x"], step["y"], step["head"])
        if memory.kept:
            images, labels, heads, _ = memory.at(rows.pop(0))
            x, found = plain.inputs(images), plain.gradient(loss)
            before = [plain.loss(*(one[None] for one in of)) for of in zip(x, labels, heads, strict=True)]
            loss, kept = plain.loss(step["x"], step["y"], step["head"]), plain.w
            plain.w = {n: w.detach() - rate * found[n] if n in found else w for n, w in kept.items()}
            after = [plain.loss(*(one[None] for one in of)) for of in zip(x, labels, heads, strict=True)]
            plain.w = kept
            rise = [float((new - old).detach()) for new, old in zip(after, before, strict=True)]
            worst = sorted(range(len(rise)), key=lambda i: -rise[i])[:4]
            loss = loss + plain.loss(x[worst], labels[worst], heads[worst])
        return whole(plain, plain.gradient(loss), bool(memory.kept) and plain.multi)

    follow(trained, memory, gradient, running=True)
    assert not rows


def test_mir_leaves_statistics_of_normalisation_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Candidates are looked at in evaluation mode; the network is trained in training mode all the same."""
    chosen = InterferedRetrieval._rise
    seen: list[bool] = []

    def noted(self: Any, learner: Any, *of: Tensor) -> Tensor:
        before = {name: one.clone() for name, one in learner.model.named_buffers()}
        found: Tensor = chosen(self, learner, *of)
        seen.append(all(torch.equal(one, before[name]) for name, one in learner.model.named_buffers()))
        assert all(module.training for module in learner.model.modules())
        return found

    monkeypatch.setattr(InterferedRetrieval, "_rise", noted)
    run_small({"name": "mir", "candidates": 30, "batch": 5}, CLASS, {"model": {"name": "cnn6", "norm": "batch"}})
    assert seen
    assert all(seen)


# GSS.


def small_network(heads: int = 1) -> Any:
    """Convolutions, normalisation by batch statistics, and a classifier or several."""
    torch.manual_seed(0)
    layers = torch.nn.Sequential(
        torch.nn.Conv2d(1, 3, 3), torch.nn.BatchNorm2d(3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(108, 5)
    )
    made = network.build(layers, (1, 8, 8), "multi" if heads > 1 else "single", 4, heads)
    made(torch.randn(16, 1, 8, 8), *([torch.arange(16) % heads] if heads > 1 else []))
    return made


class HeadsLearner(FakeLearner):
    """Gives heads to a network that takes them."""

    def logits(self, x: Tensor, heads: Any, parameters: dict[str, Tensor] | None = None) -> Tensor:
        assert parameters is None
        found: Tensor = self.model(x, heads)
        return found


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("frozen", [False, True])
def test_products_are_those_of_single_samples_gradients(heads: int, frozen: bool) -> None:
    model = small_network(heads)
    if frozen:
        model.backbone[0].weight.requires_grad_(False)
        model.backbone[4].bias.requires_grad_(False)
    learner = (HeadsLearner if heads > 1 else FakeLearner)(model)
    x, labels, of = torch.randn(6, 1, 8, 8), torch.randint(4, (6,)), torch.arange(6) % heads
    model.train()
    found = gradient_products(learner, x, labels, of)
    assert all(module.training for module in model.modules())
    model.eval()
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    single = []
    for place in range(6):
        logits = learner.logits(x[place : place + 1], of[place : place + 1])
        one = torch.autograd.grad(
            functional.cross_entropy(logits, labels[place : place + 1]), weights, materialize_grads=True
        )
        single.append(torch.cat([part.flatten() for part in one]))
    plain = torch.stack(single)
    torch.testing.assert_close(found, plain @ plain.T, rtol=1e-5, atol=1e-6)


def test_gss_keeps_what_is_diverse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores and replacements of every step of a run, against gradients one by one and the algorithm's words."""
    write = DiverseMemory.write
    steps: list[tuple[bool, int]] = []

    def checked(self: DiverseMemory, learner: Any) -> None:
        old = None if self.data is None else self.data.subset(torch.arange(self.filled))
        scores, filled = self.scores.clone(), self.filled
        uniform, position = self._chances[-1], self._ahead.position
        compared = self._ahead.drawn[position, : self._ahead.counts[position]]
        drawn: list[Tensor] = []
        gumbel = self._gumbel

        def noted() -> Tensor:
            drawn.append(gumbel())
            return drawn[-1]

        monkeypatch.setattr(self, "_gumbel", noted)
        samples, labels = learner.raw, learner.mbatch[1][: learner.arrived]
        write(self, learner)
        monkeypatch.delattr(self, "_gumbel")
        data = self.data
        assert data is not None
        own = [single(learner, data.inputs(one[None]), y[None]) for one, y in zip(samples, labels, strict=True)]
        if old is None:
            c = [0.1] * len(own)
        else:
            of = [single(learner, data.inputs(old.samples[r][None]), old.labels[r][None]) for r in compared]
            c = [max(cosine(one, other) for other in of) + 1 for one in own]
        if filled < self.size:
            count = min(self.size - filled, len(own))
            assert self.filled == filled + count
            assert torch.equal(data.samples[filled : filled + count], samples[:count])
            torch.testing.assert_close(self.scores[filled : filled + count], torch.tensor(c[:count]), atol=1e-5, rtol=0)
            return
        assert old is not None
        (noise,) = drawn
        mean = torch.stack(own).mean(0)
        opposed = max(cosine(mean, other) for other in of) < 0
        met = sorted(range(self.size), key=lambda place: -(float(scores[place].log()) + float(noise[place])))
        replaced = 0
        for place, sample, label, score, chance in zip(met, samples, labels, c, uniform, strict=False):
            enters = opposed and float(chance) < float(scores[place]) / (float(scores[place]) + score)
            replaced += enters
            expected = (sample, label, score) if enters else (old.samples[place], old.labels[place], scores[place])
            assert torch.equal(data.samples[place], expected[0])
            assert data.labels[place] == expected[1]
            assert float(self.scores[place]) == pytest.approx(float(expected[2]), abs=1e-5)
        steps.append((opposed, replaced))

    monkeypatch.setattr(DiverseMemory, "write", checked)
    run_small({"name": "gss", "memory": 25, "compare": 3}, CLASS, {"batch_size": 10, "epochs": 1})
    assert {opposed for opposed, _ in steps} == {True, False}
    assert sum(replaced for _, replaced in steps) > 3


def single(learner: Any, x: Tensor, label: Tensor) -> Tensor:
    """One sample's gradient of cross-entropy."""
    found = torch.autograd.grad(functional.cross_entropy(learner.model(x), label), list(learner.model.parameters()))
    return torch.cat([part.flatten() for part in found])


def cosine(one: Tensor, other: Tensor) -> float:
    return float(one @ other / (one.norm() * other.norm()))


# SCR.


@HEADS
def test_scr_contrasts_all_with_all_and_answers_by_means(incremental: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trained, rows = online({"name": "scr"}, monkeypatch, {"scenario": {"incremental": incremental}})
    memory, strategy = Places(15), trained.strategy
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(trained.learner.random("projection").initial_seed())
        first, second = torch.nn.Linear(7, 7), torch.nn.Linear(7, 128)
    projection = [*first.parameters(), *second.parameters()]
    rates = [0.1 * (1 - position / len(stage)) for stage in trained.recorded.stages for position in range(len(stage))]
    steps = [0]

    def gradient(plain: Plain, step: Step) -> Gradient:
        level(plain, trained, steps)
        x, classes = step["x"], [*zip(step["y"].tolist(), step["head"].tolist(), strict=True)]
        if memory.kept:
            images, labels, heads, _ = memory.at(rows.pop(0))
            x = torch.cat([x, plain.inputs(images)])
            classes += [*zip(labels.tolist(), heads.tolist(), strict=True)]
        z = second(first(raw_features(plain, x)).clamp_min(0))
        z = z / z.norm(dim=1, keepdim=True)
        losses = []
        for i, own in enumerate(classes):
            others = [j for j in range(len(classes)) if j != i]
            share = (z[others] @ z[i] / 0.1).log_softmax(0)
            alike = [place for place, j in enumerate(others) if classes[j] == own]
            if alike:
                losses.append(-share[alike].mean())
        loss = torch.stack(losses).mean()
        by_projection = torch.autograd.grad(loss, projection, retain_graph=True)
        found = plain.gradient(loss)  # not of the classifier
        rate = rates.pop(0)
        with torch.no_grad():
            for weight, one in zip(projection, by_projection, strict=True):
                weight.sub_(rate * one)
        return found

    plain = follow(trained, memory, gradient, running=True)
    assert not rows
    for weight, one in zip(strategy.projection.parameters(), projection, strict=True):
        torch.testing.assert_close(weight, one, rtol=1e-5, atol=1e-6)
    learner = trained.learner
    data = trained.data[1]
    head = int(data.heads[0])
    learner.mbatch = [data.inputs(data.samples), data.labels, data.heads]
    strategy.before_eval(learner)
    monkeypatch.setattr(ResidentLearner, "heads", head)
    strategy.after_eval_forward(learner)
    means: dict[int, list[Tensor]] = {}
    for image, label, h, _ in memory.kept:
        if h == head:
            means.setdefault(int(label), []).append(features(plain, plain.inputs(image[None]))[0])
    near = {label: torch.stack(found).mean(0) for label, found in means.items()}
    near = {label: mean / mean.norm() for label, mean in near.items()}
    distances = [
        {k: float((one - near[k]).detach().norm()) for k in near} for one in features(plain, plain.inputs(data.samples))
    ]
    assert learner.mb_output.argmax(1).tolist() == [min(one, key=one.__getitem__) for one in distances]


def test_contrast_of_nothing_alike_is_zero() -> None:
    rows = functional.normalize(torch.randn(3, 4), dim=1).requires_grad_()
    others = ~torch.eye(3, dtype=torch.bool)
    loss = supervised_contrast(rows, rows, torch.zeros(3, 3, dtype=torch.bool), others, 0.1)
    loss.backward()
    assert float(loss.detach()) == 0
    assert rows.grad is not None
    assert torch.equal(rows.grad, torch.zeros(3, 4))


def test_equal_labels_of_two_heads_are_two_classes() -> None:
    assert len(kinds(torch.tensor([1, 1, 0]), torch.tensor([0, 2, 2])).unique()) == 3
    data = task_data(torch.zeros(3, 1, 1, 1), torch.tensor([1, 1, 0]))
    data.heads = torch.tensor([0, 1, 1])
    means = class_means(functional.normalize(torch.eye(3) + 0.1, dim=1), data, 2, 2)
    assert means.isnan().any(2).tolist() == [[True, False], [False, False]]


@pytest.mark.parametrize(("augment", "views"), [("none", 1), ("flip+crop", 2)])
def test_scr_has_two_views_where_the_run_augments(augment: str, views: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batch and memory, each as two different augmentations of the same images; without augmentation one."""
    seen: list[tuple[int, int]] = []
    forward = ResidentLearner.forward

    def noted(self: ResidentLearner) -> Tensor:
        if self.is_training:
            x, labels, _ = self.mbatch
            seen.append((self.arrived, len(labels)))
            if views == 2:
                half = len(labels) // 2
                assert torch.equal(labels[:half], labels[half:])
                assert not torch.equal(x[:half], x[half:])
        return forward(self)

    monkeypatch.setattr(ResidentLearner, "forward", noted)
    run_small({"name": "scr", "batch": 8}, CLASS, {"augment": augment, "epochs": 1, "batch_size": 10})
    assert [total for _, total in seen[1:]] == [views * (arrived + 8) for arrived, _ in seen[1:]]


# CLS-ER.


@HEADS
def test_cls_er_follows_the_surer_average_and_answers_with_the_stable(
    incremental: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"name": "cls-er", "consistency": 0.7, "momentum": 0.9, "plastic": 0.8, "stable": 0.3}
    trained, rows = online(options, monkeypatch, {"scenario": {"incremental": incremental}})
    memory, count, stable_was_surer = Places(15), [0], []
    averages = [{name: weight.clone() for name, weight in trained.weights.items()} for _ in range(2)]
    due: list[list[bool]] = []
    for number, stage in enumerate(trained.recorded.stages):
        random = trained.learner.random(f"averages of stage {number}")
        for epoch in (0, 1):
            steps = sum(step["epoch"] == epoch for step in stage)
            drawn = [torch.rand(steps, generator=random) for _ in averages]
            due += [[bool(a < 0.8), bool(b < 0.3)] for a, b in zip(*drawn, strict=True)]
    pending: list[bool] = []

    def by(plain: Plain, values: Gradient, x: Tensor, heads: Tensor) -> Tensor:
        kept, plain.w = plain.w, values
        found = plain.logits(x, heads).detach()
        plain.w = kept
        return found

    def let_follow(plain: Plain) -> None:
        """After the step before: averages follow the weights that it made."""
        for values, follows in zip(averages, pending, strict=True):
            alpha = min(1 - 1 / (count[0] + 1), 0.9)
            if follows:
                for name in values:
                    values[name] = alpha * values[name] + (1 - alpha) * plain.w[name].detach()

    def gradient(plain: Plain, step: Step) -> Gradient:
        if pending:
            let_follow(plain)
        count[0] += 1
        pending[:] = due.pop(0)
        x, labels, heads = step["x"], step["y"], step["head"]
        if not memory.kept:
            return plain.gradient(plain.loss(x, labels, heads))
        images, old, others, _ = memory.at(rows.pop(0))
        replayed = plain.inputs(images)
        plastic, stable = (by(plain, values, replayed, others) for values in averages)
        taught = []
        for place, label in enumerate(old):
            surer = stable[place].softmax(0)[label] > plastic[place].softmax(0)[label]
            stable_was_surer.append(bool(surer))
            taught.append(stable[place] if surer else plastic[place])
        missed = plain.logits(replayed, others) - torch.stack(taught)
        loss = plain.loss(torch.cat([x, replayed]), torch.cat([labels, old]), torch.cat([heads, others]))
        found = plain.gradient(loss + 0.7 * missed.square().sum() / missed.numel())
        return whole(plain, found, plain.multi)

    plain = follow(trained, memory, gradient, running=True)
    let_follow(plain)
    assert not rows
    assert not due
    assert {*stable_was_surer} == {True, False}
    for values, average in zip(averages, (trained.strategy.plastic, trained.strategy.stable), strict=True):
        for name, value in values.items():
            torch.testing.assert_close(average.values[name], value, rtol=1e-5, atol=1e-6)
    learner, data = trained.learner, trained.data[0]
    learner.mbatch = [data.inputs(data.samples), data.labels, data.heads]
    monkeypatch.setattr(ResidentLearner, "heads", int(data.heads[0]))
    trained.strategy.after_eval_forward(learner)
    torch.testing.assert_close(
        learner.mb_output.detach(), by(plain, averages[1], learner.mbatch[0], data.heads), rtol=1e-4, atol=1e-5
    )


def test_statistics_of_normalisation_are_averaged_too() -> None:
    """The averages answer with statistics of their own, which follow like weights."""
    model = small_network()
    live = {name: one.detach() for name, one in model.state_dict().items() if one.is_floating_point()}
    average = Average(0.9, 1.0)
    average.begin(live)
    before = {name: one.clone() for name, one in average.values.items()}
    model(torch.randn(16, 1, 8, 8) + 3)
    average.plan(1, torch.Generator())
    average.follow(live, 50)
    name = "backbone.1.running_mean"
    torch.testing.assert_close(average.values[name], 0.9 * before[name] + 0.1 * live[name])
    learner: Any = FakeLearner(model)
    learner.model.train()
    x = torch.randn(4, 1, 8, 8)
    found = answers(learner, x, 0, average.values)
    assert model.training
    model.load_state_dict(average.values, strict=False)
    torch.testing.assert_close(found, model.eval()(x))


# What all of them share.


def test_subsets_have_no_number_twice_and_every_number_as_often() -> None:
    counts = torch.tensor([0, 1, 3, 9, 9] * 2000)
    found = subsets(counts, 4, torch.Generator().manual_seed(0))
    for count, row in zip(counts[:100].tolist(), found[:100].tolist(), strict=True):
        own = row[: min(count, 4)]
        assert len({*own}) == len(own)
        assert all(0 <= number < count for number in own)
    often = found[counts == 9].flatten().bincount(minlength=9)
    assert all(abs(int(count) - 4000 * 4 / 9) < 150 for count in often)


@pytest.mark.parametrize("name", ONLINE)
@pytest.mark.parametrize(
    "layer",
    [
        SHUFFLED | {"model": {"classifier": "growing"}},
        {"scenario": {"name": "blurry-digits", "tasks": 3}},
        {"scenario": {"name": "split-digits", "tasks": 10, "incremental": "class"}},
        {"scenario": {"name": "permuted-digits", "tasks": 3, "incremental": "domain"}},
        CLASS | {"precision": "bf16", "model": {"name": "lenet", "width": 3, "units": 10}, "epochs": 1},
    ],
    ids=["growing", "blurry", "one class a task", "classes come back", "bf16"],
)
def test_runs_where_streams_differ(name: str, layer: dict[str, Any]) -> None:
    result = run_small({"name": name, "memory": 60}, {"batch_size": 10, "epochs": 1}, layer)
    assert result.status == "ok"
    assert "never fired" not in kinds_of(result.warnings)


@pytest.mark.parametrize("name", ONLINE)
def test_a_budget_in_bytes_is_kept(name: str) -> None:
    result = run_small({"name": name, "memory": "3KB"}, CLASS, {"epochs": 1})
    kept = result.cost[-1].memory_bytes
    assert kept is not None
    assert 2900 < kept <= 3000, "images with label and head; gss keeps a score"


@pytest.mark.parametrize(
    "composition", ["er-ace+dash", "er-ace+ewc", "scr+shrink-perturb", "cls-er+l2-init", "mir+lwf"]
)
def test_composes(composition: str) -> None:
    assert run_small(composition, CLASS, {"epochs": 1}).status == "ok"


@pytest.mark.parametrize(
    ("options", "layer", "says"),
    [
        ({"name": "scr", "memory": 9}, CLASS, r"memory: 9 holds 9 samples.*10 classes.*one place for each class"),
        ({"name": "scr", "memory": 9}, CLASS | {"model": {"classifier": "growing"}}, r"the stream has 10 classes"),
        ({"name": "mir"}, CLASS | {"logits": "current"}, r"logits: 'current' leaves out.*Use logits=seen"),
        ({"name": "scr", "memory": "500B"}, CLASS, r"memory: 500B holds 6 samples"),
        ({"name": "scr"}, {"model": "linear"}, r"'scr' trains features.*Use one with hidden layers"),
        ({"name": "er-aml"}, {"model": "linear"}, r"'er-aml' trains features.*Use one with hidden layers"),
        ({"name": "er-ace", "memory": "ten"}, {}, r"strategy.memory: expected a number of samples"),
        ({"name": "mir", "memory": "10B"}, {}, r"10B holds no sample"),
        ({"name": "scr+cls-er"}, CLASS, r"each of 'scr' and 'cls-er' answers in the classifier's place"),
        ({"name": "er-ace+scr"}, CLASS, r"makes no sense: each of 'er-ace' and 'scr' has a loss of its own"),
    ],
)
def test_refusals(options: dict[str, Any], layer: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        run_small(options, layer)


def test_memory_of_no_samples_is_refused() -> None:
    with pytest.raises(UserError, match="memory"):
        resolve({"strategy": {"name": "er-ace", "memory": 0}})
