"""Distillation, memories and generated features: the maths, and agreement with Avalanche's own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from clbench.data.tensors import TaskData
from clbench.errors import UserError
from clbench.models.network import MASKED
from clbench.strategies._cutmix import CutMix
from clbench.strategies._flow import Flow, class_vectors
from clbench.strategies._memory import Memory, without_repeats
from clbench.strategies._teacher import frozen_copy
from clbench.strategies.a_gem import AveragedGem, project
from clbench.strategies.der import DarkExperienceReplay
from clbench.strategies.er import ExperienceReplay
from clbench.strategies.feature_distill import FeatureDistillation
from clbench.strategies.gdumb import GDumb, restarted
from clbench.strategies.lwf import LearningWithoutForgetting
from tests.helpers import FakeLearner, run_small, task_data

CLASS: dict[str, Any] = {"scenario": {"incremental": "class"}}
MORE: dict[str, Any] = {"scenario": {"samples_per_task": 150}, "epochs": 4}
CPU = torch.device("cpu")


class Small(nn.Module):
    """A network as strategies know it: a backbone and a classifier."""

    def __init__(self, heads: int = 1, classes: int = 3) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Flatten(), nn.Linear(4, 5), nn.ReLU())
        made = [nn.Linear(5, classes) for _ in range(heads)]
        self.classifier: nn.Module = nn.ModuleList(made) if heads > 1 else made[0]

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.backbone(x))
        return logits


def of_two(heads: int = 1) -> tuple[Small, Small, Tensor]:
    torch.manual_seed(1)
    return Small(heads), Small(heads), torch.randn(6, 1, 2, 2)


def test_lwf_is_the_divergence_from_the_teacher_on_old_classes() -> None:
    model, teacher, x = of_two()
    lwf = LearningWithoutForgetting(temperature=2.0)
    lwf.teacher, lwf.known = frozen_copy(teacher), {0: torch.tensor([0, 2])}
    found = lwf.distance(model, model.backbone(x), teacher.backbone(x))
    p = (teacher(x)[:, [0, 2]] / 2).softmax(1)
    q = (model(x)[:, [0, 2]] / 2).softmax(1)
    torch.testing.assert_close(found, 4 * (p * (p / q).log()).sum(1).mean())


def test_lwf_sums_over_old_heads_and_its_binary_form_over_classes() -> None:
    model, teacher, x = of_two(heads=3)
    lwf = LearningWithoutForgetting(loss="bce")
    lwf.teacher, lwf.known = frozen_copy(teacher), {0: torch.tensor([0, 1]), 2: torch.tensor([1])}
    found = lwf.distance(model, model.backbone(x), teacher.backbone(x))
    expected = torch.zeros(())
    for head, labels in ((0, [0, 1]), (2, [1])):
        mine: Any = model.classifier[head](model.backbone(x))[:, labels].sigmoid()  # type: ignore[index]
        old: Any = teacher.classifier[head](teacher.backbone(x))[:, labels].sigmoid()  # type: ignore[index]
        expected = expected - (old * mine.log() + (1 - old) * (1 - mine).log()).sum(1).mean()
    torch.testing.assert_close(found, expected)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside Avalanche
@pytest.mark.parametrize("layer", [{}, CLASS | {"model": {"classifier": "growing"}}])
def test_lwf_equals_avalanches_own(layer: dict[str, Any]) -> None:
    """Its α is μτ²; the list is by stage in both."""
    ours = run_small({"name": "lwf", "mu": [0.0, 0.5, 1.0], "temperature": 2.0}, layer, MORE)
    plugin = "avalanche.training.plugins.LwFPlugin"
    theirs = run_small({"name": plugin, "alpha": [0, 2, 4, 4, 4], "temperature": 2}, layer, MORE)
    assert ours.accuracy == theirs.accuracy
    assert ours.accuracy != run_small("naive", layer, MORE).accuracy


def test_feature_distillation_is_the_mean_squared_difference() -> None:
    model, _, x = of_two()
    features = model.backbone(x)
    found = FeatureDistillation().distance(model, features, torch.zeros_like(features))
    torch.testing.assert_close(found, features.square().mean())


def test_distilled_features_forget_less() -> None:
    layer = {"scenario": CLASS["scenario"] | {"class_order": "fixed"}, "logits": "current"}
    naive, held = run_small("naive", layer, MORE), run_small({"name": "feature-distill", "mu": 10.0}, layer, MORE)
    assert (held.metrics["forgetting"].value or 0) < 0.5 * (naive.metrics["forgetting"].value or 0)


@pytest.mark.parametrize(
    "mix", ["lwf+ewc", "lwf+l2", "feature-distill+l2", "lwf+feature-distill", "lwf+shrink-perturb"]
)
def test_mixes_run(mix: str) -> None:
    assert run_small(mix).status == "ok"


# A-GEM.


def test_projection_removes_what_conflicts_and_nothing_else() -> None:
    for sign in (1.0, -1.0):
        found = [torch.tensor([1.0, 2.0]), torch.tensor([[3.0]])]
        reference = [sign * torch.tensor([2.0, 0.0]), sign * torch.tensor([[1.0]])]
        before = [part.clone() for part in found]
        dot = sum(float((a * b).sum()) for a, b in zip(found, reference, strict=True))
        norm = sum(float((b * b).sum()) for b in reference)
        project(found, reference)
        share = min(dot, 0.0) / norm
        for now, was, other in zip(found, before, reference, strict=True):
            torch.testing.assert_close(now, was - share * other)
        after = sum(float((a * b).sum()) for a, b in zip(found, reference, strict=True))
        assert after == pytest.approx(max(dot, 0.0), abs=1e-6), "never against the memory's gradient"


# Memories.


def stage(labels: list[int], first: int = 0) -> TaskData:
    images = torch.arange(first, first + len(labels)).reshape(-1, 1, 1, 1).to(torch.uint8)
    return task_data(images, torch.tensor(labels))


def test_balanced_memory_has_as_many_of_each_class() -> None:
    memory, random = Memory(12, "balanced"), torch.Generator().manual_seed(0)
    memory.take(stage([0] * 20 + [1] * 20), random)
    assert memory.data is not None
    assert memory.data.labels.bincount().tolist() == [6, 6]
    memory.take(stage([2] * 30, first=40), random)
    assert memory.data.labels.bincount().tolist() == [4, 4, 4]
    assert (memory.data.samples.flatten().long() >= 40).tolist() == (memory.data.labels == 2).tolist()


def test_the_same_label_of_another_stage_is_another_class() -> None:
    memory, random = Memory(1, "balanced", per_class=3), torch.Generator().manual_seed(0)
    for number in range(4):
        memory.take(stage([0] * 9 + [1] * 9, first=18 * number), random)
    assert memory.data is not None
    assert memory.data.labels.bincount().tolist() == [12, 12]
    assert (memory.data.samples.flatten() // 18).bincount().tolist() == [6, 6, 6, 6]


def test_where_classes_return_a_label_is_one_class() -> None:
    memory, random = Memory(1, "balanced", per_class=3), torch.Generator().manual_seed(0)
    for number in range(4):
        memory.take(stage([0] * 2 + [1] * 9, first=11 * number), random, classes_return=True)
    assert memory.data is not None
    assert memory.data.labels.bincount().tolist() == [3, 3]


def test_balanced_memory_keeps_its_size_when_there_are_more_classes() -> None:
    memory, random = Memory(4, "balanced"), torch.Generator().manual_seed(0)
    for number in range(3):
        memory.take(stage([0, 1, 2] * 5, first=15 * number), random)
    assert memory.data is not None
    assert len(memory.data) == len(memory.stages) == 4


def test_balanced_memory_draws_its_samples_by_seed() -> None:
    kept = []
    for seed in (0, 1):
        memory = Memory(10, "balanced")
        memory.take(stage([0] * 100), torch.Generator().manual_seed(seed))
        assert memory.data is not None
        kept.append(memory.data.samples.flatten().tolist())
    assert kept[0] != kept[1]


def test_per_class_is_for_balanced_memories() -> None:
    with pytest.raises(UserError, match=r"strategy\.per_class"):
        run_small({"name": "er", "per_class": 3})


def test_rare_classes_leave_their_places_to_others() -> None:
    memory, random = Memory(20, "balanced"), torch.Generator().manual_seed(0)
    memory.take(stage([0] * 30 + [1] * 2), random)
    assert memory.data is not None
    assert memory.data.labels.bincount().tolist() == [18, 2]
    memory.take(stage([2] * 30 + [3] * 5, first=32), random)
    counts = memory.data.labels.bincount().tolist()
    assert sorted(counts) == [2, 5, 6, 7]
    assert len(memory.data.samples.unique()) == 20, "no sample twice"


def test_per_class_is_no_more_than_that_of_each() -> None:
    memory, random = Memory(500, "balanced", per_class=4), torch.Generator().manual_seed(0)
    memory.take(stage([0] * 30 + [1] * 2), random)
    assert memory.data is not None
    assert memory.data.labels.bincount().tolist() == [4, 2]


def test_draws_are_subsets_each_as_likely() -> None:
    drawn = without_repeats(4, 2, 6000, torch.Generator().manual_seed(0))
    assert (drawn[:, 0] != drawn[:, 1]).all()
    pairs = (1 << drawn).sum(1).bincount(minlength=13)
    assert (pairs[pairs > 0] / 1000).sub(1).abs().max() < 0.12
    assert (pairs > 0).sum() == 6, "every pair of four"
    assert without_repeats(3, 8, 5, torch.Generator()).sort(1).values.tolist() == [[0, 1, 2]] * 5


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside Avalanche
def test_batches_of_another_plugin_have_no_images_as_they_came() -> None:
    with pytest.raises(UserError, match="makes batches of its own"):
        run_small("der+++avalanche.training.plugins.ReplayPlugin")


# GDumb.


def test_gdumb_trains_on_its_memory_alone() -> None:
    gdumb, learner = GDumb(memory=6), FakeLearner(Small())
    first = gdumb.training_data(learner, stage([0] * 20 + [1] * 20))
    assert len(first) == 6
    second = gdumb.training_data(learner, stage([2] * 20, first=40))
    assert second.labels.bincount().tolist() == [2, 2, 2]


@pytest.mark.parametrize("budget", [{"epochs": 2}, {"epochs": None, "steps": 3}])
def test_gdumb_trains_for_epochs_of_its_own(budget: dict[str, Any]) -> None:
    strategy = {"name": "gdumb", "memory": 32, "epochs": 4}
    done = run_small(strategy, budget)
    assert [(cost.steps, cost.epochs) for cost in done.cost] == [(8, 4)] * 5, "32 samples in batches of 16"
    others = run_small("naive", budget).cost
    assert {cost.steps for cost in others} == {3 if budget["epochs"] is None else 6}


def test_gdumbs_rates_are_those_of_warm_restarts() -> None:
    """As its authors set them: a tenth, then the highest, then a step of the schedule in each epoch."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=1, T_mult=2, eta_min=0.0005)
    optimizer.step()
    for epoch in range(256):
        if epoch > 1:
            schedule.step()
        expected = 0.005 if epoch == 0 else optimizer.param_groups[0]["lr"]
        assert 0.05 * restarted(epoch) == pytest.approx(expected, rel=1e-9)


def test_gdumb_gives_the_rate_back_and_starts_each_stage_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []
    step = torch.optim.SGD.step

    def noted(self: torch.optim.SGD, closure: Any = None) -> Any:
        rates.append(self.param_groups[0]["lr"])
        return step(self, closure)

    monkeypatch.setattr(torch.optim.SGD, "step", noted)
    run_small({"name": "gdumb", "memory": 16, "epochs": 4}, {"optimizer": {"lr": 0.1}})
    assert rates == pytest.approx([0.1 * restarted(epoch) for epoch in range(4)] * 5)
    rates.clear()
    run_small({"name": "gdumb", "memory": 16, "epochs": 4}, {"optimizer": {"lr": 0.1, "schedule": "linear"}})
    assert rates == pytest.approx([0.1, 0.075, 0.05, 0.025] * 5), "the optimiser's own schedule replaces it"


def test_cutmix_swaps_a_box_and_its_share_of_the_loss() -> None:
    learner: Any = FakeLearner(Small(), task_data(torch.zeros(64, 1, 8, 6), torch.arange(64)), batch_size=4)
    mix, random = CutMix(0.5), torch.Generator().manual_seed(3)
    mix.plan(learner, random)
    mixed = 0
    for _ in range(16):
        x, labels = torch.randn(4, 1, 8, 6), torch.arange(4)
        learner.mbatch = [x.clone(), labels]
        learner.mb_output = torch.randn(4, 4)
        mix.apply(learner)
        other = learner.mbatch[0] != x
        loss = mix.loss(learner)
        if loss is None:
            assert not other.any()
            continue
        mixed += 1
        assert mix._mixed is not None
        kept, partners = mix._mixed
        inside = torch.zeros(8, 6, dtype=torch.bool)
        rows, columns = other.any(0)[0].any(1).nonzero(), other.any(0)[0].any(0).nonzero()
        if len(rows):
            inside[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = True
            assert kept == pytest.approx(1 - float(inside.float().mean()))
        assert torch.equal(learner.mbatch[0], torch.where(inside, x[partners], x))
        terms = -learner.mb_output.log_softmax(1)
        expected = kept * terms[labels, labels].mean() + (1 - kept) * terms[labels, partners].mean()
        torch.testing.assert_close(loss, expected)
    assert 3 < mixed < 13


def test_gdumb_mixes() -> None:
    plain = {"name": "gdumb", "memory": 32, "epochs": 4}
    assert run_small(plain | {"cutmix": 1.0}).accuracy != run_small(plain).accuracy


# Dark experience replay.


def der_step(der: DarkExperienceReplay, learner: Any, logits: Tensor, labels: Tensor) -> None:
    learner.raw = torch.arange(len(labels)).to(torch.uint8).reshape(-1, 1, 1, 1)
    learner.mbatch = [learner.raw.float(), labels, torch.zeros_like(labels)]
    learner.mb_output = logits
    der.after_update(learner)


def test_der_keeps_logits_of_the_moment_and_pads_what_was_not_there() -> None:
    learner: Any = FakeLearner(Small(), stage([0, 1, 1, 0]))
    der = DarkExperienceReplay(memory=4)
    der.before_training_exp(learner)
    der.before_training_epoch(learner)
    first = torch.randn(4, 2)
    der_step(der, learner, first, torch.tensor([0, 1, 1, 0]))
    assert der.memory.logits is not None
    assert der.memory.data is not None
    assert torch.equal(der.memory.logits, first)
    assert der.memory.data.labels.tolist() == [0, 1, 1, 0]
    assert der.memory.seen == 4
    der.before_training_epoch(learner)
    der_step(der, learner, torch.randn(4, 3), torch.tensor([0, 1, 1, 0]))  # the classifier has grown
    assert der.memory.logits.shape == (4, 3)
    kept = der.memory.logits[:, 2] == MASKED
    assert torch.equal(der.memory.logits[kept][:, :2], first[kept]), "what stays is as it was, its new logit absent"


def test_der_matches_known_logits_only() -> None:
    """α times the mean squared difference over logits that both have, β times the cross-entropy, beside the loss."""
    learner: Any = FakeLearner(Small(), stage([0]), batch_size=8)
    der = DarkExperienceReplay(alpha=2.0, beta=0.0, memory=2)
    der.before_training_exp(learner)
    der.memory.seen, der.memory.data = 2, stage([0, 0])
    der.memory.logits = torch.tensor([[1.0, MASKED], [1.0, MASKED]])
    learner.logits = lambda x, heads: torch.tensor([[4.0, 7.0, MASKED]]).expand(len(x), 3)
    learner.loss = torch.tensor(10.0)
    der.before_forward(learner)
    der.before_backward(learner)
    assert float(learner.loss) == pytest.approx(10.0 + 2.0 * 9.0)


def test_a_last_batch_of_one_more_is_remembered_whole() -> None:
    """A batch of one would stop batch normalisation, so it joins the one before; the memory counts it."""
    learner: Any = FakeLearner(Small(), stage([0] * 9))
    der = DarkExperienceReplay(memory=20)
    der.before_training_exp(learner)
    der.before_training_epoch(learner)
    for count in (4, 5):
        der_step(der, learner, torch.randn(count, 2), torch.zeros(count).long())
    assert der.memory.seen == 9


def test_er_with_the_current_stage_replays_from_the_first_on() -> None:
    one = {"name": "er", "memory": 20}
    now, later, naive = (run_small(strategy).diagnostics for strategy in (one | {"current": True}, one, "naive"))
    assert later["training_loss"][0] == naive["training_loss"][0] != now["training_loss"][0]
    with pytest.raises(UserError, match=r"strategy\.current is for a reservoir"):
        run_small(one | {"current": True, "selection": "balanced"})


@pytest.mark.parametrize("name", ["er", "der++", "a-gem", "gdumb"])
@pytest.mark.parametrize("classifier", ["single", "growing"])
def test_memories_remember_in_class_incremental_streams(name: str, classifier: str) -> None:
    layer = CLASS | {"model": {"classifier": classifier}}
    naive = run_small("naive", layer, MORE).metrics["average_accuracy"].value or 0.0
    strategy = {"name": name, "memory": 300} | ({"epochs": 8} if name == "gdumb" else {})
    assert (run_small(strategy, layer, MORE).metrics["average_accuracy"].value or 0.0) > naive


@pytest.mark.parametrize("strategy", ["er", "a-gem", {"name": "der++", "current": False}])
def test_a_memory_that_is_not_used_is_said(strategy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    name = strategy if isinstance(strategy, str) else strategy["name"]
    kind = {"er": ExperienceReplay, "a-gem": AveragedGem, "der++": DarkExperienceReplay}[name]
    monkeypatch.setattr(kind, "after_training", lambda self, learner, **kwargs: made.append(self), raising=False)
    run_small(strategy, {"scenario": {"keep": 1}})
    assert [warning.partition(":")[0] for warning in made[-1].warnings()] == ["never fired"]
    run_small(strategy, CLASS)
    assert made[-1].warnings() == []


# Generated features.


def flow_of(features: int = 6) -> tuple[Flow, Tensor, Tensor]:
    torch.manual_seed(2)
    flow = Flow(features)
    for weight in flow.parameters():
        nn.init.normal_(weight, std=0.2)
    x = 3 + 2 * torch.randn(9, features)
    flow.standardise(x)
    return flow, x, class_vectors(torch.arange(9) % 3, CPU)


def test_flow_inverts_and_its_density_has_the_jacobians_determinant() -> None:
    flow, x, condition = flow_of()
    z = (x - flow.mean) / flow.std
    for layer in flow.layers:
        z, _ = layer(z, condition)
    back = z
    for layer in reversed(list(flow.layers)):
        back = layer.inverse(back, condition)
    torch.testing.assert_close(back * flow.std + flow.mean, x, rtol=1e-4, atol=1e-4)

    def noise(sample: Tensor) -> Tensor:
        z = (sample[None] - flow.mean) / flow.std
        for layer in flow.layers:
            z, _ = layer(z, condition[:1])
        first: Tensor = z[0]
        return first

    jacobian: Any = torch.autograd.functional.jacobian(noise, x[0])
    normal = torch.distributions.Normal(0.0, 1.0).log_prob(noise(x[0])).sum()
    expected = normal + torch.linalg.slogdet(jacobian).logabsdet
    torch.testing.assert_close(flow.log_likelihood(x, condition)[0], expected, rtol=1e-4, atol=1e-4)


def test_class_vectors_depend_on_the_number_alone() -> None:
    one, other = (class_vectors(torch.tensor(numbers), CPU) for numbers in ([5, 2], [2, 7, 5]))
    assert torch.equal(one[0], other[2])
    assert torch.equal(one[1], other[0])
    assert not torch.equal(other[0], other[1])


def test_generated_features_keep_a_shared_classifier() -> None:
    layer = CLASS | {"model": {"widths": [40]}}
    frozen = run_small("frozen-backbone", layer, MORE).metrics["average_accuracy"].value or 0.0
    name = {"name": "generative-replay+frozen-backbone", "generative-replay": {"flow_steps": 200}}
    assert (run_small(name, layer, MORE).metrics["average_accuracy"].value or 0.0) > frozen + 0.1


# A vision transformer.


def test_attention_alone_learns() -> None:
    from clbench.strategies.l2_attention import L2Attention

    with pytest.raises(UserError, match="found no QKV projections"):
        run_small("l2-attention")
    model: Any = Small()
    model.backbone = nn.ModuleDict({"qkv": nn.Linear(2, 2), "mlp": nn.Linear(2, 2)})
    learner = FakeLearner(model, stage([0, 1]))
    L2Attention().before_training_exp(learner)
    free = [name for name, weight in model.named_parameters() if weight.requires_grad]
    assert free == ["backbone.qkv.weight", "backbone.qkv.bias", "classifier.weight", "classifier.bias"]


@pytest.mark.parametrize("strategy", [{"name": "ewc", "lam": 10.0}, "mas", "lwf+l2"])
def test_importances_know_transformers(strategy: Any) -> None:
    """Tokens by closed form, class token and places by ``torch.func``."""
    vit = {"model": {"name": "vit", "patch": 4, "width": 12, "depth": 1, "heads": 2}}
    assert run_small(strategy, vit).status == "ok"
