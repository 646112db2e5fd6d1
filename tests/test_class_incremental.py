"""Rehearsal with distillation against second, plain implementations; exemplars, corrections, refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from clbench.avalanche import SupervisedPlugin
from clbench.config import resolve
from clbench.data.tensors import TaskData
from clbench.engine.learner import ResidentLearner
from clbench.errors import UserError
from clbench.models.copies import bare_copy
from clbench.models.cosine import CosineClassifier
from clbench.store import Result
from clbench.strategies._exemplars import Exemplars
from clbench.strategies._herding import class_means, herded
from clbench.strategies._rehearsal import Classes
from clbench.strategies.bic import fitted, places_in_class
from clbench.strategies.icarl import ICaRL
from clbench.strategies.lucir import margin_ranking
from clbench.strategies.podnet import last_of_each_size, margin_nca, pooled_distance
from clbench.strategies.ss_il import SeparatedSoftmax
from clbench.strategies.wa import WeightAligning, distilled_loss
from tests.helpers import FakeLearner, config, run_small, task_data
from tests.test_checkpoint import check
from tests.test_reference_memory import LR, Plain, Trained, train
from tests.test_strategy_contract import CLASS, NEEDS, ONE_CLASSIFIER

# What grows is in test_reference_networks.py.
KIND = pytest.mark.parametrize("name", [name for name in ONE_CLASSIFIER if name != "expandable"])


def unit(rows: Tensor) -> Tensor:
    found: Tensor = rows / rows.norm(dim=1, keepdim=True)
    return found


# Exemplars.


def one_by_one(features: Tensor, count: int) -> list[int]:
    """Algorithm 4 as it is written: every candidate, one after another."""
    mean, chosen = features.mean(0), list[int]()
    for k in range(1, min(count, len(features)) + 1):
        found = {}
        for row in range(len(features)):
            if row not in chosen:
                found[row] = float((mean - features[[*chosen, row]].sum(0) / k).norm())
        chosen.append(min(found, key=lambda row: found[row]))
    return chosen


def test_herding_is_algorithm_4() -> None:
    torch.manual_seed(0)
    for features in (unit(torch.randn(30, 5, dtype=torch.float64)), torch.randn(20, 3, dtype=torch.float64)):
        assert herded(features, 12).tolist() == one_by_one(features, 12)
    assert sorted(herded(torch.zeros(4, 2), 9).tolist()) == [0, 1, 2, 3], "as many as there are, none twice"


class Backbone(nn.Module):
    """Pixels are features."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.classifier = nn.Flatten(), nn.Linear(4, 9)


def taken(stages: list[tuple[Tensor, Tensor]], **options: Any) -> list[TaskData]:
    """The exemplars after each stage of samples [n, 4] and labels."""
    exemplars, found = Exemplars(**options), []
    for number, (x, labels) in enumerate(stages):
        learner: Any = FakeLearner(Backbone(), task_data(x.reshape(-1, 1, 2, 2), labels))
        learner.stage = number
        exemplars.take(learner)
        assert exemplars.data is not None
        found.append(exemplars.data)
    return found


def stage_of(*counts: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Random samples, so many of each label, shuffled."""
    labels = torch.cat([torch.full((count,), label) for label, count in counts])
    labels = labels[torch.randperm(len(labels))]
    return torch.rand(len(labels), 4), labels


def test_older_classes_keep_the_first_of_their_ranking() -> None:
    torch.manual_seed(1)
    first, second = stage_of((7, 20), (2, 20)), stage_of((0, 20), (4, 20))
    one, two = taken([first, second], memory=20)
    for label in (2, 7):
        x = unit(first[0][first[1] == label])
        best = first[0][first[1] == label][one_by_one(x, 10)]
        assert torch.equal(one.samples[one.labels == label].flatten(1), best)
        assert torch.equal(two.samples[two.labels == label].flatten(1), best[:5])
    assert two.labels.bincount().tolist() == [5, 0, 5, 0, 5, 0, 0, 5]


def test_places_that_a_rare_class_cannot_fill_go_to_others() -> None:
    (one,) = taken([stage_of((0, 2), (1, 20), (2, 20))], memory=12)
    assert one.labels.bincount().tolist() == [2, 5, 5]
    (one,) = taken([stage_of((0, 2), (1, 20), (2, 20))], memory=1, per_class=4)
    assert one.labels.bincount().tolist() == [2, 4, 4]


def test_a_class_that_comes_back_is_ranked_anew() -> None:
    torch.manual_seed(2)
    first, second = stage_of((0, 12), (1, 12)), stage_of((0, 12), (2, 12))
    one, two = taken([first, second], memory=12)
    pool = torch.cat([one.samples[one.labels == 0].flatten(1), second[0][second[1] == 0]])
    assert torch.equal(two.samples[two.labels == 0].flatten(1), pool[one_by_one(unit(pool), 4)])


def test_exemplars_drawn_at_random_are_of_the_class() -> None:
    x, labels = stage_of((0, 30), (1, 30))
    (one,) = taken([(x, labels)], memory=10, choice="random")
    (herd,) = taken([(x, labels)], memory=10)
    assert one.labels.bincount().tolist() == [5, 5]
    assert not torch.equal(one.samples, herd.samples)
    for sample, label in zip(one.samples.flatten(1), one.labels, strict=True):
        assert label in labels[(x == sample).all(1)]


# Losses, over several steps and tasks.


@pytest.fixture(autouse=True)
def look(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What each strategy has after each stage."""
    found: list[dict[str, Any]] = []
    fit = ResidentLearner.fit

    def watched(self: ResidentLearner, experience: Any) -> None:
        fit(self, experience)
        kept = [plugin for plugin in self.plugins if hasattr(plugin, "exemplars")]
        for plugin in kept:
            weights = {name: weight.detach().clone() for name, weight in self.model.named_parameters()}
            lines = dict(getattr(plugin, "corrections", {}))
            found.append({"data": plugin.exemplars.data, "weights": weights, "corrections": lines})

    monkeypatch.setattr(ResidentLearner, "fit", watched)
    return found


class Course:
    """A class-incremental run gone through beside: the classes so far, the teacher, a plain network."""

    def __init__(self, trained: Trained, look: list[dict[str, Any]], positive: bool = False) -> None:
        self.plain = Plain(trained)
        self.trained, self.look, self.positive = trained, look, positive
        self.known: list[int] = []
        self.groups: list[list[int]] = []
        self.teacher: Plain | None = None
        self.new: list[int] = []
        self.lines: dict[int, tuple[float, float]] = {}

    def logits(self, of: Plain, x: Tensor) -> Tensor:
        return of.logits(x, torch.zeros(len(x), dtype=torch.int64))

    def run(self, loss: Callable[[Course, dict[str, Any]], Tensor], after: Callable[[Course], None]) -> None:
        for number, stage in enumerate(self.trained.recorded.stages):
            self.new = sorted(set(self.trained.data[number].labels.tolist()))
            for position, step in enumerate(stage):
                self.plain.step(self.plain.gradient(loss(self, step)), LR * (1 - position / len(stage)))
                if self.positive:
                    self.plain.w["classifier.weight"].data.clamp_(min=0)
                for name, weight in step["weights"].items():
                    torch.testing.assert_close(self.plain.w[name].detach(), weight, rtol=1e-5, atol=3e-6)
            after(self)
            at_end = self.look[number]
            for name, weight in at_end["weights"].items():
                torch.testing.assert_close(self.plain.w[name].detach(), weight, rtol=1e-5, atol=3e-6)
            self.lines = at_end["corrections"]
            self.teacher = Plain(self.trained)
            self.teacher.w = {name: weight.detach().clone() for name, weight in self.plain.w.items()}
            self.known += self.new
            self.groups.append(self.new)


def as_it_is(course: Course) -> None:
    """Nothing after a stage."""


def softened(teacher: Tensor, student: Tensor) -> Tensor:
    """4·KL at τ = 2, sample by sample."""
    found = []
    for t, s in zip(teacher, student, strict=True):
        p, q = (t / 2).softmax(0), (s / 2).softmax(0)
        found.append(4 * (p * (p.log() - q.log())).sum())
    return torch.stack(found).mean()


def entropy(logits: Tensor, labels: Tensor, classes: list[int]) -> Tensor:
    """Cross-entropies over some classes [n]."""
    return torch.stack(
        [-(z[classes].log_softmax(0)[classes.index(int(y))]) for z, y in zip(logits, labels, strict=True)]
    )


def icarl_loss(course: Course, step: dict[str, Any]) -> Tensor:
    z, total = course.logits(course.plain, step["x"]), []
    taught = None if course.teacher is None else course.logits(course.teacher, step["x"]).sigmoid()
    for row, label in enumerate(step["y"].tolist()):
        for one in course.known + course.new:
            target = float(one == label) if one in course.new or taught is None else float(taught[row, one])
            g = z[row, one].sigmoid()
            total.append(-target * g.log() - (1 - target) * (1 - g).log())
    return torch.stack(total).sum() / len(z)


def wa_loss(course: Course, step: dict[str, Any]) -> Tensor:
    z, seen = course.logits(course.plain, step["x"]), course.known + course.new
    z = corrected(course, z)
    loss = entropy(z, step["y"], seen).mean()
    if course.teacher is None:
        return loss
    share = len(course.known) / len(seen)
    taught = corrected(course, course.logits(course.teacher, step["x"]))
    return (1 - share) * loss + share * softened(taught[:, course.known], z[:, course.known])


def corrected(course: Course, logits: Tensor) -> Tensor:
    """bic's logits; of wa as they are."""
    lines = [course.lines.get(label, (1.0, 0.0)) for label in range(logits.shape[1])]
    alpha, beta = torch.tensor(lines).T
    found: Tensor = logits * alpha + beta
    return found


def align(course: Course) -> None:
    if course.known:
        with torch.no_grad():
            w = course.plain.w["classifier.weight"]
            lengths = [float(row.square().sum().sqrt()) for row in w]
            mean = {
                name: sum(lengths[i] for i in rows) / len(rows)
                for name, rows in (("old", course.known), ("new", course.new))
            }
            for row in course.new:
                w[row] *= mean["old"] / mean["new"]


def ss_il_loss(course: Course, step: dict[str, Any]) -> Tensor:
    x, y = step["x"], step["y"]
    if course.known:
        data = course.look[len(course.groups) - 1]["data"]
        rows = course.trained.recorded.rows.pop(0)
        x, y = torch.cat([x, course.plain.inputs(data.samples[rows])]), torch.cat([y, data.labels[rows]])
    z, arrived = course.logits(course.plain, x), len(step["y"])
    total = entropy(z[:arrived], y[:arrived], course.new).sum()
    if course.known:
        total = total + entropy(z[arrived:], y[arrived:], course.known).sum()
    loss = total / len(z)
    for group in course.groups:
        assert course.teacher is not None
        loss = loss + softened(course.logits(course.teacher, x)[:, group], z[:, group])
    return loss


@pytest.mark.parametrize(
    ("strategy", "loss", "after"),
    [
        ({"name": "icarl"}, icarl_loss, as_it_is),
        ({"name": "wa"}, wa_loss, align),
        ({"name": "wa", "positive": False}, wa_loss, align),
        ({"name": "bic"}, wa_loss, as_it_is),
        ({"name": "ss-il"}, ss_il_loss, as_it_is),
    ],
)
def test_every_step_is_the_papers(
    strategy: dict[str, Any], loss: Any, after: Any, monkeypatch: pytest.MonkeyPatch, look: list[dict[str, Any]]
) -> None:
    trained = train(strategy | {"memory": 24}, monkeypatch, CLASS)
    course = Course(trained, look, positive=strategy == {"name": "wa"})
    course.run(loss, after)
    assert not trained.recorded.rows
    assert len(course.groups) == 3
    for stage in look:  # balanced, and of fixed size in all
        counts = stage["data"].labels.bincount()
        assert len(stage["data"]) == 24
        assert counts[counts > 0].max() - counts[counts > 0].min() <= 1


class Cosine(Plain):
    """With a classifier by angles."""

    def features(self, x: Tensor) -> Tensor:
        weight, bias = (self.w[name] for name in self.hidden)
        return (x.flatten(1) @ weight.T + bias).clamp_min(0)

    def cosines(self, x: Tensor) -> Tensor:
        return unit(self.features(x) + 0.0) @ unit(self.w["classifier.weight"]).T


def test_lucir_is_the_papers(monkeypatch: pytest.MonkeyPatch, look: list[dict[str, Any]]) -> None:
    trained = train({"name": "lucir", "memory": 24}, monkeypatch, CLASS)
    course = Course(trained, look)
    course.plain = plain = Cosine(trained)

    def loss(course: Course, step: dict[str, Any]) -> Tensor:
        x, y, seen = step["x"], step["y"], course.known + course.new
        cosines = plain.cosines(x)
        found = entropy(plain.w["classifier.scale"] * cosines, y, seen).mean()
        if course.teacher is None:
            return found
        old = Cosine.features(course.teacher, x)  # type: ignore[arg-type]
        turned = torch.stack([1 - (a @ b) / (a.norm() * b.norm()) for a, b in zip(plain.features(x), old, strict=True)])
        short = []
        for row, label in enumerate(y.tolist()):
            if label in course.known:
                hardest = sorted((cosines[row, k] for k in course.new), key=lambda one: float(one.detach()))[-2:]
                short += [(0.5 - cosines[row, label] + one).clamp_min(0) for one in hardest]
        found = found + 5 * (len(course.known) / len(course.new)) ** 0.5 * turned.mean()
        ranked: Tensor = torch.stack(short).mean() if short else torch.zeros(())
        total: Tensor = found + ranked
        return total

    course.run(loss, as_it_is)


# Corrections.


def test_wa_makes_new_weights_as_long_as_old_ones(look: list[dict[str, Any]]) -> None:
    run_small({"name": "wa", "memory": 60}, CLASS)
    lengths = look[-1]["weights"]["classifier.weight"].norm(dim=1)
    labels = look[-1]["data"].labels.unique()
    assert float(lengths[labels[-2:]].mean()) == pytest.approx(float(lengths[labels[:-2]].mean()), rel=1e-5)
    run_small({"name": "wa", "memory": 60, "align": False}, CLASS)
    lengths = look[-1]["weights"]["classifier.weight"].norm(dim=1)
    assert float(lengths[labels[-2:]].mean()) != pytest.approx(float(lengths[labels[:-2]].mean()), rel=1e-2)


def test_bic_finds_the_minimum() -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(40, 5, dtype=torch.float64) * 3, torch.randint(5, (40,))
    is_new = torch.tensor([False, True, False, False, True])
    alpha, beta = fitted(logits, targets, is_new, 1e-3)
    line = torch.tensor([alpha, beta], dtype=torch.float64, requires_grad=True)
    new = torch.where(is_new, line[0] * logits + line[1], logits)
    ridge = 5e-4 * ((line[0] - 1) ** 2 + line[1] ** 2)
    (slope,) = torch.autograd.grad(nn.functional.cross_entropy(new, targets) + ridge, line)
    assert slope.abs().max() < 1e-8
    told_apart = torch.eye(5, dtype=torch.float64)[targets] * 50
    assert all(abs(one) < 1e3 for one in fitted(told_apart, targets, is_new, 1e-3))


def test_bic_holds_out_as_many_of_each_class(monkeypatch: pytest.MonkeyPatch, look: list[dict[str, Any]]) -> None:
    found: list[tuple[TaskData, Any]] = []

    class Look(SupervisedPlugin):
        def before_training_exp(self, learner: Any, **kwargs: Any) -> None:
            held = next(plugin.held_out for plugin in learner.plugins if hasattr(plugin, "held_out"))
            found.append((learner.dataloader.data, held))

    monkeypatch.setattr("clbench.engine.watches.Watches.around", lambda self, plugins: [*plugins, Look(), self.answers])
    run_small({"name": "bic", "memory": 90}, CLASS)
    assert found[0][1] is None
    for stage, (training, held) in enumerate(found[1:], start=1):
        fewest = int(look[stage - 1]["data"].labels.unique(return_counts=True)[1].min())
        assert held.labels.bincount().tolist() == [fewest // 10] * (2 * stage + 2)
        assert len(training) + len(held) == 48 + len(look[stage - 1]["data"])
        rows = {tuple(sample.flatten().tolist()) for sample in held.samples}
        assert not rows & {tuple(sample.flatten().tolist()) for sample in training.samples}
    place, count = places_in_class(torch.tensor([3, 1, 3, 3, 1]))
    assert place.tolist() == [0, 0, 1, 2, 1]
    assert count.tolist() == [3, 2, 3, 3, 2]


def test_icarl_answers_with_the_nearest_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Tensor, Tensor, Any, nn.Module]] = []
    after = ICaRL.after_eval_forward

    def noted(self: ICaRL, learner: Any, **kwargs: Any) -> None:
        after(self, learner, **kwargs)
        if self.exemplars.data is not None:
            seen.append((learner.mbatch[0], learner.mb_output, self.exemplars.data, bare_copy(learner.model)))

    monkeypatch.setattr(ICaRL, "after_eval_forward", noted)
    run_small({"name": "icarl", "memory": 30}, CLASS)
    x, output, data, model = seen[-1]
    features = unit(model.backbone(data.inputs(data.samples)))  # type: ignore[operator]
    labels = sorted(set(data.labels.tolist()))
    means = unit(torch.stack([features[data.labels == label].mean(0) for label in labels]))
    nearest = (unit(model.backbone(x))[:, None] - means).norm(dim=2).argmin(1)  # type: ignore[operator]
    assert torch.equal(output.argmax(1), torch.tensor(labels)[nearest])


# Classes in any order.


def test_new_are_the_classes_of_the_stage_whatever_their_numbers() -> None:
    """Not the labels above the highest seen, as in a code that many use."""
    classes = Classes.of({5, 1, 8}, {0, 3, 8}, torch.device("cpu"))
    assert classes.seen.tolist() == [0, 1, 3, 5, 8]
    assert (classes.old.tolist(), classes.new.tolist()) == ([1, 5], [0, 3, 8]), "one that comes back is new"
    assert classes.is_new.tolist() == [True, False, True, False, True]
    assert classes.share == pytest.approx(2 / 5)
    torch.manual_seed(0)
    logits, taught, labels = torch.randn(6, 9), torch.randn(6, 9), torch.tensor([0, 5, 3, 8, 1, 1])
    found = distilled_loss(logits[:, classes.seen], classes.place[labels], taught, classes)
    kept = entropy(logits, labels, classes.seen.tolist()).mean()
    expected = 0.6 * kept + 0.4 * softened(taught[:, [1, 5]], logits[:, [1, 5]])
    torch.testing.assert_close(found, expected)


def test_icarl_and_ss_il_in_any_order() -> None:
    torch.manual_seed(0)
    classes = Classes.of({5, 1, 7}, {0, 3}, torch.device("cpu"))
    logits, taught, labels = torch.randn(5, 9), torch.randn(5, 9), torch.tensor([0, 5, 3, 7, 1])
    icarl = ICaRL()
    icarl.taught = taught
    target = torch.zeros(5, 9)
    target[range(5), labels] = 1
    target[:, [5, 1, 7]] = taught[:, [5, 1, 7]].sigmoid()
    g, seen = logits.sigmoid(), [0, 1, 3, 5, 7]
    expected = -(target * g.log() + (1 - target) * (1 - g).log())[:, seen].sum() / 5
    torch.testing.assert_close(icarl.loss(logits[:, seen], classes.place[labels], classes), expected)
    ss_il = SeparatedSoftmax()
    ss_il.taught, ss_il.past = taught, classes.place[torch.tensor([[1, 5], [7, 7]])]
    ss_il.past[1, 1] = -1
    apart = [entropy(logits[[row]], labels[[row]], [0, 3] if row in (0, 2) else [1, 5, 7]) for row in range(5)]
    expected = torch.cat(apart).mean() + softened(taught[:, [1, 5]], logits[:, [1, 5]])
    torch.testing.assert_close(ss_il.loss(logits[:, seen], classes.place[labels], classes), expected)


def test_wa_aligns_the_rows_of_the_stage() -> None:
    model = nn.Module()
    model.classifier = nn.Linear(3, 6)
    before = model.classifier.weight.detach().clone()
    learner: Any = FakeLearner(model)
    WeightAligning().correct(learner, Classes.of({4, 1}, {0, 3}, torch.device("cpu")))
    gain = before[[1, 4]].norm(dim=1).mean() / before[[0, 3]].norm(dim=1).mean()
    before[[0, 3]] *= gain
    torch.testing.assert_close(model.classifier.weight.detach(), before)


@KIND
def test_answers_with_classes_that_it_has_seen(name: str) -> None:
    result = run_small({"name": name, "memory": 40}, NEEDS[name], {"epochs": 1})
    for stage, accuracies in enumerate(result.accuracy[1:-1], start=1):
        assert accuracies[stage:] == [0.0] * (5 - stage)


# PODNet.


def test_pooled_maps_are_compared() -> None:
    torch.manual_seed(0)
    ours, old = ([torch.randn(3, 2, 4, 5), torch.randn(3, 4, 2, 2)] for _ in range(2))
    total = []
    for one, other in zip(ours, old, strict=True):
        for a, b in zip(one, other, strict=True):
            pools = [torch.cat([(m**2).sum(2).flatten(), (m**2).sum(1).flatten()]) for m in (a, b)]
            total.append((pools[0] / pools[0].norm() - pools[1] / pools[1].norm()).norm())
    torch.testing.assert_close(pooled_distance(ours, old), torch.stack(total).mean())
    maps = [torch.zeros(1, c, side, side) for c, side in ((1, 8), (2, 8), (3, 4), (4, 1))]
    assert [one.shape[1] for one in last_of_each_size(maps)] == [2, 3]


def test_the_margin_is_of_the_right_class_alone() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(8, 4), torch.tensor([0, 1, 2, 3, 3, 2, 1, 0])
    found = []
    for z, y in zip(logits, labels.tolist(), strict=True):
        others = sum(z[i].exp() for i in range(4) if i != y)
        found.append((-((z[y] - 0.6).exp() / others).log()).clamp_min(0))
    torch.testing.assert_close(margin_nca(logits, labels, 0.6), torch.stack(found).mean())
    assert margin_nca(logits, labels, 0.6) > margin_nca(logits, labels, 0.0)


def test_the_margin_ranks_old_samples_against_the_hardest_new_classes() -> None:
    cosines = torch.tensor([[0.9, 0.1, 0.7, 0.2], [0.0, 0.5, 0.9, 0.1]], requires_grad=True)
    is_new = torch.tensor([False, True, True, True])
    found = margin_ranking(cosines, torch.tensor([0, 1]), is_new, 0.5, 2)
    torch.testing.assert_close(found, torch.tensor((0.5 - 0.9 + 0.7) / 2))
    assert margin_ranking(cosines, torch.tensor([1, 1]), is_new, 0.5, 2) == 0
    one = torch.tensor([False, False, False, True])
    found = margin_ranking(cosines, torch.tensor([0, 1]), one, 0.5, 2)
    torch.testing.assert_close(found, torch.tensor((0.0 + 0.1) / 2))
    found.backward()
    assert cosines.grad is not None
    assert cosines.grad.isfinite().all()


def test_a_cosine_classifier() -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 3)
    plain, mixed = CosineClassifier(3, 5, scale=2.0), CosineClassifier(3, 5, proxies=2)
    torch.testing.assert_close(plain(x), 2 * unit(x) @ unit(plain.weight).T)
    apart = unit(x) @ unit(mixed.weight).T
    for label in range(5):
        s = apart[:, 2 * label : 2 * label + 2]
        torch.testing.assert_close(mixed(x)[:, label], (s.softmax(1) * s).sum(1))
    assert class_means(unit(x), torch.tensor([2, 2, 0, 2]), torch.tensor([0, 1, 2])).shape == (3, 3)


# What they are for, and with what.


@KIND
def test_holds_what_fine_tuning_forgets(name: str) -> None:
    more: dict[str, Any] = {"scenario": {"samples_per_task": 150, "keep": 3}, "epochs": 12, "batch_size": 16}
    more |= {"model": {"name": "lenet", "width": 4, "units": 24}} if name == "podnet" else {"model": {"widths": [40]}}
    result = run_small({"name": name, "memory": 150}, CLASS, more)
    final = result.metrics["average_accuracy"].value
    assert final is not None
    assert final > 0.6, "fine-tuning ends at .33"


@KIND
def test_a_growing_classifier_goes_on_where_it_was_stopped(name: str, tmp_path: Path) -> None:
    layer = {"model": {"classifier": "growing"}, "epochs": 2, "batch_size": 8}
    check(config({"name": name, "memory": 30}, NEEDS[name], layer), tmp_path)


MIXES = [
    "icarl+ewc",
    "shrink-perturb+icarl",
    "wa+dash",
    "bic+l2-init",
    "lucir+ewc",
    "ss-il+fire",
    "podnet+shrink-perturb",
]


@pytest.mark.parametrize("mix", MIXES)
def test_composes(mix: str) -> None:
    needs = NEEDS["podnet"] if "podnet" in mix else CLASS
    assert run_small(mix, needs, {"epochs": 1}).status == "ok"


@KIND
def test_runs_in_half_precision_on_a_growing_classifier_with_a_mask(name: str) -> None:
    for layer in ({"precision": "bf16"}, {"logits": "seen"}, {"optimizer": {"name": "sam"}}):
        assert run_small({"name": name, "memory": 30}, NEEDS[name], layer, {"epochs": 1}).status == "ok"


# Budgets.


@pytest.mark.parametrize(
    "strategy", ["er", "der++", "gdumb", "a-gem", "icarl", {"name": "er", "current": True}], ids=str
)
def test_a_budget_in_bytes_holds_what_is_kept(strategy: Any) -> None:
    options = {"name": strategy} if isinstance(strategy, str) else strategy
    options = options | {"memory": "4KB"} | ({"epochs": 2} if options["name"] == "gdumb" else {})
    result = run_small(options, CLASS)
    kept = [cost.memory_bytes or 0 for cost in result.cost]
    assert 3600 < kept[-1] <= 4000


def test_a_budget_in_samples_changes_no_run() -> None:
    (one,) = resolve({"strategy": {"name": "er"}})
    (other,) = resolve({"strategy": {"name": "er", "memory": 500}})
    assert one.run_id == other.run_id
    assert one.strategy["memory"] == 500
    assert resolve({"strategy": {"name": "er", "memory": "1MB"}})[0].run_id != one.run_id


# Refusals.


def refused(strategy: Any, *layers: dict[str, Any]) -> str:
    with pytest.raises(UserError) as error:
        run_small(strategy, *layers)
    return str(error.value)


@KIND
def test_refuses_what_it_cannot_do(name: str) -> None:
    needs = {key: value for key, value in NEEDS[name].items() if key != "scenario"}
    assert "Set scenario.incremental=class" in refused(name, needs)
    assert "Set scenario.incremental=class" in refused(name, needs, {"scenario": {"incremental": "domain"}})
    assert "logits=seen" in refused(name, NEEDS[name], {"logits": "current"})
    least = 20 if name == "bic" else 10
    assert f"at least {least}" in refused({"name": name, "memory": least - 1}, NEEDS[name])
    assert "strategy.memory" in refused({"name": name, "memory": "0.4KB"}, NEEDS[name])
    assert "keeps exemplars" in refused(f"{name}+{'wa' if name != 'wa' else 'icarl'}", NEEDS[name])


def test_refuses_a_stage_of_one_class_or_a_network_without_convolutions() -> None:
    assert "two or more" in refused("ss-il", CLASS, {"scenario": {"tasks": 10}})
    assert "convolutions" in refused("podnet", CLASS)


def test_says_so_where_every_stage_brings_all_classes() -> None:
    result: Result = run_small("wa", CLASS, {"scenario": {"tasks": 1}})
    assert any("never fired" in one for one in result.warnings)
