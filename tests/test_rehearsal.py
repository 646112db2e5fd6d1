"""Distillation, memories and generated features: the maths, and agreement with Avalanche's own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from clbench.data.tensors import TaskData
from clbench.errors import UserError
from clbench.strategies._flow import Flow, class_vectors
from clbench.strategies._memory import Draws, Memory
from clbench.strategies._teacher import frozen_copy
from clbench.strategies.a_gem import project
from clbench.strategies.der import ABSENT, DarkExperienceReplay
from clbench.strategies.feature_distill import FeatureDistillation
from clbench.strategies.gdumb import GDumb
from clbench.strategies.lwf import LearningWithoutForgetting
from tests.helpers import FakeLearner, run_small, task_data

CLASS: dict[str, Any] = {"scenario": {"incremental": "class"}}
MORE: dict[str, Any] = {"scenario": {"samples_per_task": 150}, "epochs": 4}


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
    layer = CLASS | {"logits": "current"}
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
    assert (memory.data.images.flatten().long() >= 40).tolist() == (memory.data.labels == 2).tolist()


def test_the_same_label_of_another_stage_is_another_class() -> None:
    memory, random = Memory(1, "balanced", per_class=3), torch.Generator().manual_seed(0)
    for number in range(4):
        memory.take(stage([0] * 9 + [1] * 9, first=18 * number), random)
    assert memory.data is not None
    assert memory.data.labels.bincount().tolist() == [12, 12]
    assert (memory.data.images.flatten() // 18).bincount().tolist() == [6, 6, 6, 6]


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
        kept.append(memory.data.images.flatten().tolist())
    assert kept[0] != kept[1]


def test_per_class_is_for_balanced_memories() -> None:
    with pytest.raises(UserError, match=r"strategy\.per_class"):
        run_small({"name": "er", "per_class": 3})


def test_gdumb_trains_on_its_memory_alone() -> None:
    gdumb, learner = GDumb(memory=6), FakeLearner(Small())
    first = gdumb.training_data(learner, stage([0] * 20 + [1] * 20))
    assert len(first) == 6
    second = gdumb.training_data(learner, stage([2] * 20, first=40))
    assert second.labels.bincount().tolist() == [2, 2, 2]
    steps = {
        name: [cost.steps for cost in run_small({"name": name} | more).cost]
        for name, more in (("gdumb", {"memory": 32}), ("naive", {}))
    }
    assert steps == {"gdumb": [4] * 5, "naive": [6] * 5}, "two epochs of 32 and of 48 samples in batches of 16"


# Dark experience replay.


def der_step(der: DarkExperienceReplay, learner: Any, logits: Tensor, labels: Tensor) -> None:
    learner.mbatch = [torch.arange(len(labels)).float().reshape(-1, 1), labels, torch.zeros_like(labels)]
    learner.mb_output = logits
    der.after_update(learner)


def test_der_keeps_logits_of_the_moment_and_pads_what_was_not_there() -> None:
    learner: Any = FakeLearner(Small(), stage([0, 1, 1, 0]))
    der = DarkExperienceReplay(memory=4)
    der.before_training_exp(learner)
    der.before_training_epoch(learner)
    first = torch.randn(4, 2)
    der_step(der, learner, first, torch.tensor([0, 1, 1, 0]))
    assert torch.equal(der.z, first)
    assert der.labels.tolist() == [0, 1, 1, 0]
    assert der.seen == 4
    der.before_training_epoch(learner)
    der_step(der, learner, torch.randn(4, 3), torch.tensor([0, 1, 1, 0]))  # the classifier has grown
    assert der.z.shape == (4, 3)
    kept = der.z[:, 2] == ABSENT
    assert torch.equal(der.z[kept][:, :2], first[kept]), "what stays is as it was, its new logit absent"


def test_der_matches_known_logits_only() -> None:
    """α times the mean squared difference over logits that both have, β times the cross-entropy, beside the loss."""
    learner: Any = FakeLearner(Small(), stage([0]), batch_size=8)
    der = DarkExperienceReplay(alpha=2.0, beta=0.0, memory=2)
    der.x, der.labels, der.heads = torch.zeros(2, 1), torch.zeros(2).long(), torch.zeros(2).long()
    der.z = torch.tensor([[1.0, ABSENT], [1.0, ABSENT]])
    der.filled = 2
    der.draws = Draws(torch.Generator())
    learner.logits = lambda x, heads: torch.tensor([[4.0, 7.0, ABSENT]]).expand(len(x), 3)
    learner.loss = torch.tensor(10.0)
    der.before_backward(learner)
    assert float(learner.loss) == pytest.approx(10.0 + 2.0 * 9.0)


@pytest.mark.parametrize("name", ["er", "der++", "a-gem", "gdumb"])
@pytest.mark.parametrize("classifier", ["single", "growing"])
def test_memories_remember_in_class_incremental_streams(name: str, classifier: str) -> None:
    layer = CLASS | {"model": {"classifier": classifier}}
    naive = run_small("naive", layer, MORE).metrics["average_accuracy"].value or 0.0
    assert (run_small({"name": name, "memory": 300}, layer, MORE).metrics["average_accuracy"].value or 0.0) > naive


# Generated features.


def flow_of(features: int = 6) -> tuple[Flow, Tensor, Tensor]:
    torch.manual_seed(2)
    flow = Flow(features)
    for weight in flow.parameters():
        nn.init.normal_(weight, std=0.2)
    x = 3 + 2 * torch.randn(9, features)
    flow.standardise(x)
    return flow, x, class_vectors(torch.arange(9) % 3)


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
    one, other = class_vectors(torch.tensor([5, 2])), class_vectors(torch.tensor([2, 7, 5]))
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
