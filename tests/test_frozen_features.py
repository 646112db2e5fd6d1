"""Classifiers on frozen features against second, plain implementations, in any order, and in whole runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from clbench import store
from clbench.checkpoints.checkpoint import StoppedError
from clbench.data.sources import DataPlace
from clbench.data.tensors import TaskData
from clbench.engine.learner import NoEvaluator
from clbench.engine.run import Machine, run
from clbench.errors import Remark, UserError
from clbench.models.network import MultiHeadNetwork, Network
from clbench.strategies._frozen_features import FrozenFeatures
from clbench.strategies.acil import AnalyticLearning
from clbench.strategies.fecam import FeCAM
from clbench.strategies.ncm import NearestClassMean
from clbench.strategies.ranpac import RIDGES, RanPAC
from clbench.strategies.simple_cil import SimpleCIL
from clbench.strategies.slda import StreamingLDA
from tests.helpers import FakeLearner, config, known, run_small, task_data
from tests.test_checkpoint import after, keeping, numbers
from tests.test_rules import Broken
from tests.test_strategy_contract import FROZEN, QUICK

D, CLASSES = 6, 5
CLASS: dict[str, Any] = {"scenario": {"incremental": "class"}}
Samples = tuple[Tensor, Tensor]
Kind = TypeVar("Kind", bound=FrozenFeatures)


@pytest.fixture
def samples() -> Samples:
    """Rectified features of five classes that overlap, the classes of unequal size: [n, D], labels [n]."""
    random = torch.Generator().manual_seed(3)
    labels = torch.arange(CLASSES).repeat_interleave(torch.tensor([30, 12, 25, 9, 40]))
    centres = 2 + 4 * torch.randn(CLASSES, D, generator=random)
    mixing = torch.randn(D, D, generator=random)
    return (centres[labels] + torch.randn(len(labels), D, generator=random) @ mixing).clamp_min(0), labels


def stage_of(features: Tensor, labels: Tensor, head: int = 0) -> TaskData:
    """Samples whose features are they themselves."""
    data = task_data(features[:, None, None, :], labels, head)
    data.heads = torch.full_like(labels, head)
    return data


def taught(strategy: Kind, stages: Sequence[TaskData], model: nn.Module | None = None) -> Kind:
    """Let a strategy pass some stages' samples through a network that leaves them as they are."""
    learner: Any = FakeLearner(Network(nn.Flatten(), nn.Linear(D, CLASSES)) if model is None else model)
    if isinstance(model, MultiHeadNetwork):
        learner.logits = model
    for learner.stage, learner.data in enumerate(stages):
        strategy.after_training_exp(learner)
    return strategy


def by_class(samples: Samples, *groups: Sequence[int]) -> list[TaskData]:
    features, labels = samples
    chosen = [torch.isin(labels, torch.tensor(group)) for group in groups]
    return [stage_of(features[one], labels[one]) for one in chosen]


def scores(strategy: FrozenFeatures, features: Tensor) -> Tensor:
    """Scores of all rows."""
    learner: Any = FakeLearner(Network(nn.Flatten(), nn.Linear(D, CLASSES)))
    strategy.before_eval(learner)
    found: Tensor = strategy.scores(features, slice(len(strategy.counts)))
    strategy.after_eval(learner)
    return found


def assert_equal_but_for(found: Tensor, expected: Tensor, shift: bool = False, rtol: float = 1e-6) -> None:
    """The same scores; with ``shift`` but for what is added to all classes of a sample."""
    if shift:
        found, expected = (one - one.mean(1, keepdim=True) for one in (found, expected))
    torch.testing.assert_close(found, expected.double(), rtol=rtol, atol=1e-6)


# Each against the maths, written out.


def test_ncm_and_simple_cil_are_distances_and_cosines_to_means(samples: Samples) -> None:
    features, labels = samples
    means = torch.stack([features[labels == c].double().mean(0) for c in range(CLASSES)])
    stages = by_class(samples, [0, 3], [1, 2, 4])
    distances = torch.stack([torch.stack([-((f.double() - m) ** 2).sum() for m in means]) for f in features])
    assert_equal_but_for(scores(taught(NearestClassMean(), stages), features), distances, shift=True)
    found = scores(taught(SimpleCIL(), stages), features)
    for row, f in zip(found, features.double(), strict=True):
        cosines = torch.stack([torch.dot(f, m) / (f.norm() * m.norm()) for m in means])
        torch.testing.assert_close(row / f.norm(), cosines)


def test_slda_is_welfords_recursion(samples: Samples) -> None:
    """Mean and scatter, a sample at a time: S += n/(n + 1)·(f − μ)(f − μ)ᵀ with its class's mean and n before it."""
    features, labels = samples
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))
    means, counts = torch.zeros(CLASSES, D, dtype=torch.float64), [0] * CLASSES
    scatter = torch.zeros(D, D, dtype=torch.float64)
    for f, label in zip(features[order].double(), labels[order].tolist(), strict=True):
        away, n = f - means[label], counts[label]
        scatter += n / (n + 1) * torch.outer(away, away)
        means[label] += away / (n + 1)
        counts[label] += 1
    inverse = torch.linalg.inv((1 - 1e-4) * scatter / len(labels) + 1e-4 * torch.eye(D))
    expected = torch.stack(
        [torch.stack([f @ inverse @ m - 0.5 * m @ inverse @ m for m in means]) for f in features.double()]
    )
    assert_equal_but_for(scores(taught(StreamingLDA(), by_class(samples, [4, 1], [0, 2], [3])), features), expected)


def test_fecam_step_by_step(samples: Samples) -> None:
    features, labels = samples
    x = features.double().numpy()
    expected = np.zeros((len(x), CLASSES))
    vectors = np.sqrt(x) / np.linalg.norm(np.sqrt(x), axis=1, keepdims=True)
    for c in range(CLASSES):
        own = x[(labels == c).numpy()]
        covariance = np.cov(np.sqrt(own).T)
        for _ in range(2):
            off = ~np.eye(D, dtype=bool)
            shrunk = covariance.copy()
            shrunk[off] += covariance[off].mean()
            shrunk[~off] += covariance[~off].mean()
            covariance = shrunk
        deviations = np.sqrt(np.diag(covariance))
        precision = np.linalg.inv(covariance / np.outer(deviations, deviations))
        prototype = np.sqrt(own.mean(0))
        prototype /= np.linalg.norm(prototype)
        for i, vector in enumerate(vectors):
            expected[i, c] = -(vector - prototype) @ precision @ (vector - prototype)
    found = taught(FeCAM(), by_class(samples, [0, 3], [1, 2, 4]))
    assert_equal_but_for(scores(found, features), torch.from_numpy(expected))
    assert found.precisions.numel() == 0, "they go when the evaluation is over"


def ridge_of(inputs: Tensor, labels: Tensor, strength: float) -> Tensor:
    """Ridge regression by least squares of a larger system: [H; √λ·I]·W = [Y; 0]."""
    targets = torch.eye(CLASSES, dtype=torch.float64)[labels]
    above = torch.cat([inputs, strength**0.5 * torch.eye(inputs.shape[1], dtype=torch.float64)])
    below = torch.zeros(inputs.shape[1], CLASSES, dtype=torch.float64)
    solved: Tensor = torch.linalg.lstsq(above, torch.cat([targets, below])).solution
    return solved


@pytest.mark.parametrize("units", [None, 40])
def test_acil_is_ridge_on_all_data(samples: Samples, units: int | None) -> None:
    features, labels = samples
    found = taught(AnalyticLearning(units=units, gamma=0.3), by_class(samples, [2], [0, 3], [1, 2, 4]))
    again = torch.cat([torch.arange(len(labels)), (labels == 2).nonzero()[:, 0]])  # class 2 came twice
    inputs = features if found.expand is None else (features @ found.expand.weights).relu()
    weights = ridge_of(inputs.double()[again], labels[again], 0.3)
    assert found.expand is None or found.expand.weights.shape == (D, units)
    torch.testing.assert_close(found.weights, weights.T, rtol=1e-5, atol=1e-8)
    assert_equal_but_for(scores(found, features), inputs.double() @ weights, rtol=1e-5)


def test_ranpac_is_ridge_with_a_strength_of_the_current_stage_alone(samples: Samples) -> None:
    features, labels = samples
    stages = by_class(samples, [0, 3], [1, 2, 4])
    found = taught(RanPAC(units=20), stages)
    assert found.expand is not None
    # What a strategy chooses that has only met the second stage, by the definition.
    data = stages[1]
    own = (data.samples.flatten(1) @ found.expand.weights).clamp_min(0).double()
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(len("held out of stage 1")))
    held, fitted = order[: len(data) // 5], order[len(data) // 5 :]
    targets = torch.eye(CLASSES, dtype=torch.float64)[data.labels]
    errors = [
        (own[held] @ ridge_of(own[fitted], data.labels[fitted], ridge) - targets[held]).square().sum()
        for ridge in RIDGES
    ]
    assert found.ridge == RIDGES[int(torch.stack(errors).argmin())]
    assert 0 < RIDGES.index(found.ridge) < len(RIDGES) - 1, "neither end"
    whole = (features @ found.expand.weights).clamp_min(0).double()
    assert_equal_but_for(scores(found, features), whole @ ridge_of(whole, labels, found.ridge), rtol=1e-5)


def test_ranpac_keeps_its_strength_where_a_stage_is_too_small(samples: Samples) -> None:
    features, labels = samples
    assert taught(RanPAC(units=20), [stage_of(features[:4], labels[:4])]).ridge == 1.0


def test_fecam_of_a_class_of_one_sample_and_of_features_that_never_fire(samples: Samples) -> None:
    features, labels = samples
    features = torch.cat([features[:, :-1], torch.zeros(len(features), 1)], 1)
    few = labels != 3
    few[int((labels == 3).nonzero()[0])] = True  # one of them
    answers = scores(taught(FeCAM(), [stage_of(features[few], labels[few])]), features).argmax(1)
    assert (answers == labels).float().mean() > 0.6
    assert (answers == 3).float().mean() < 0.3


# The order of the data.

EXACT: dict[str, Callable[[], FrozenFeatures]] = {
    "ncm": NearestClassMean,
    "simple-cil": SimpleCIL,
    "slda": StreamingLDA,
    "fecam": FeCAM,
    "ranpac": lambda: RanPAC(units=20, ridge=0.1),
    "acil": lambda: AnalyticLearning(units=20),
}


@pytest.mark.parametrize("name", EXACT)
def test_the_classifier_is_the_same_whatever_the_order_of_the_data(name: str, samples: Samples) -> None:
    features, labels = samples
    expected = scores(taught(EXACT[name](), [stage_of(features, labels)]), features)
    for seed in range(4):
        random = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(labels), generator=random)  # classes come back
        pieces = order.split([1, 5, 40, 30, 40]) if seed else [order[labels[order] == c] for c in (3, 1, 4, 0, 2)]
        found = scores(taught(EXACT[name](), [stage_of(features[one], labels[one]) for one in pieces]), features)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ["ncm", "slda", "acil"])
def test_runs_of_any_number_of_tasks_end_alike(name: str) -> None:
    """One network that is never trained; all digits in two tasks or in five, whatever the classifier it has."""
    right = set()
    for tasks, classifier in ((2, "single"), (5, "growing"), (5, "single")):
        scenario = {"tasks": tasks, "samples_per_task": None, "incremental": "class"}
        strategy = {"name": name, "first": "frozen"} | QUICK.get(name, {})
        result = run_small(strategy, {"scenario": scenario, "model": {"classifier": classifier}})
        assert [cost.steps for cost in result.cost] == [0] * tasks
        assert result.warnings == []
        row = known(result.accuracy[-1])
        right.add(round(sum(a * n for a, n in zip(row, result.data.test_samples, strict=True))))
    assert len(right) == 1
    assert right.pop() > 0.6 * 360


# Against Avalanche's.


def test_ncm_answers_as_avalanches(samples: Samples) -> None:
    from avalanche.models import NCMClassifier

    features, labels = samples
    theirs = NCMClassifier(normalize=False)
    theirs.update_class_means_dict({c: features[labels == c].mean(0) for c in range(CLASSES)})
    ours = scores(taught(NearestClassMean(), by_class(samples, [0, 3], [1, 2, 4])), features)
    assert torch.equal(ours.argmax(1), theirs(features).argmax(1))


def test_slda_answers_as_avalanches_but_where_its_covariance_depends_on_the_order(samples: Samples) -> None:
    """Theirs measures a sample from its class's mean before it, and weighs by the count of all classes."""
    from avalanche.training.supervised import StreamingLDA as Theirs

    features, labels = samples
    theirs = Theirs(
        slda_model=nn.Identity(),
        criterion=nn.CrossEntropyLoss(),
        input_size=D,
        num_classes=CLASSES,
        device="cpu",
        evaluator=NoEvaluator(),
    )
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    for row in order.tolist():
        theirs.fit(features[row : row + 1], labels[row : row + 1])
    ours = taught(StreamingLDA(), [stage_of(features, labels)])
    torch.testing.assert_close(ours.means().float(), theirs.muK, rtol=1e-5, atol=1e-5)
    agree = (scores(ours, features).argmax(1) == theirs.predict(features).argmax(1)).float().mean()
    assert agree > 0.95


# In a run.


def test_answers_of_a_head_are_among_its_classes(samples: Samples) -> None:
    features, labels = samples
    heads = MultiHeadNetwork(nn.Flatten(), D, 3, [2, 3])
    first, second = labels < 2, labels >= 2
    stages = [stage_of(features[first], labels[first]), stage_of(features[second], labels[second] - 2, 1)]
    strategy = taught(NearestClassMean(), stages[:1], heads)
    learner: Any = FakeLearner(heads)
    strategy.before_eval(learner)
    strategy.looking = True

    def answered(head: int) -> Tensor:
        learner.heads = head
        with torch.no_grad():
            learner.mb_output = logits = heads(features, head)
        strategy.after_eval_forward(learner)
        assert learner.mb_output.shape == logits.shape
        answers: Tensor = learner.mb_output.argmax(1)
        return answers

    assert torch.equal(answered(1), heads(features, 1).argmax(1)), "of a head without a class the network answers"
    taught(strategy, stages[1:], heads)
    means = torch.stack([features[labels == c].mean(0) for c in range(CLASSES)])
    nearest = torch.cdist(features, means)
    assert torch.equal(answered(0), nearest[:, :2].argmin(1))
    assert torch.equal(answered(1), nearest[:, 2:].argmin(1))


@pytest.mark.parametrize("name", FROZEN)
def test_in_class_incremental_runs_old_classes_are_kept(name: str) -> None:
    """Growing or not, in bfloat16, on a blurry stream, measured inside of stages and between."""
    strategy = {"name": name} | QUICK.get(name, {})
    layers: list[dict[str, Any]] = [
        CLASS | {"model": {"classifier": "growing"}, "precision": "bf16"},
        {"scenario": {"name": "blurry-digits", "tasks": 3}, "evaluate_steps": 2},
    ]
    for layer in layers:
        result = run(config(strategy, layer, {"scenario": {"samples_per_task": 100}}), Machine(DataPlace.default()))
        assert result.status == "ok"
        assert sum(known(result.accuracy[-1])) / len(result.accuracy[-1]) > 0.4
        assert [cost.steps for cost in result.cost][1:] == [0] * (len(result.cost) - 1)


def test_diagnostics_measure_it_too() -> None:
    result = run(config("ncm", CLASS), Machine(DataPlace.default(), diagnostics=True))
    assert result.accuracy == run_small("ncm", CLASS).accuracy


def test_a_stage_is_passed_through_the_network_once_and_costs_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    passed = []
    learn = NearestClassMean.learn

    def counted(self: NearestClassMean, learner: Any, features: Tensor, rows: Tensor) -> None:
        passed.append(tuple(features.shape))
        learn(self, learner, features, rows)

    monkeypatch.setattr(NearestClassMean, "learn", counted)
    result = run_small("ncm", CLASS)
    assert passed == [(48, 12)] * 5
    assert [cost.samples for cost in result.cost] == [96, 0, 0, 0, 0]
    fingerprint = 2 * 2 * 8  # of weight and bias
    classes = [2, 4, 6, 8, 10]
    assert [cost.state_bytes for cost in result.cost] == [8 * c * (12 + 1) + fingerprint for c in classes]
    assert [cost.memory_bytes for cost in result.cost] == [0] * 5


def test_features_come_pretrained(tmp_path: Path) -> None:
    place = DataPlace(tmp_path / "data", tmp_path / "cache", offline=True)
    layer = CLASS | {"pretrain": {"name": "digits", "epochs": 2, "augment": "none"}}
    with pytest.warns(Remark, match="pretraining"):
        result = run(config({"name": "slda", "first": "frozen"}, layer), Machine(place))
    assert [cost.steps for cost in result.cost] == [0] * 5
    assert sum(known(result.accuracy[-1])) / 5 > 0.6


# Compositions.


@pytest.mark.parametrize("name", ["er+ncm", "ncm+ewc", "ewc+ncm", "lwf+ncm"])
def test_beside_it_what_acts_in_later_stages_changes_nothing(name: str) -> None:
    result = run_small(name, CLASS)
    assert result.accuracy == run_small("ncm", CLASS).accuracy
    assert any("never fired" in warning for warning in result.warnings) is (name == "er+ncm")


def test_composes_with_what_acts_while_the_first_stage_trains() -> None:
    composed, alone = run_small({"name": "l2-init+ncm", "l2-init": {"lam": 0.1}}, CLASS), run_small("ncm", CLASS)
    assert composed.diagnostics["training_loss"][0] != alone.diagnostics["training_loss"][0]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ncm+slda", "each of 'ncm' and 'slda' answers from statistics of frozen features"),
        ("shrink-perturb+ncm", "'shrink-perturb' changes the network before later stages. Compose with"),
        ("acil+dash", "'dash' changes the network before later stages"),
        ("icarl+ncm", "each of 'icarl' and 'ncm' answers in the classifier's place. Keep one of them"),
        ("ranpac+gdumb", "another part trains the network in later stages too"),
    ],
)
def test_what_would_move_the_features_is_refused(name: str, words: str) -> None:
    quick = {part: QUICK[part] for part in name.split("+") if part in QUICK}
    with pytest.raises(UserError, match=words.replace("+", r"\+")):
        run_small({"name": name} | quick, CLASS)


def test_features_that_have_moved_are_noticed(samples: Samples) -> None:
    model = Network(nn.Sequential(nn.Flatten(), nn.Linear(D, D)), nn.Linear(D, CLASSES))
    stages = by_class(samples, [0, 3], [1, 2, 4])
    strategy = taught(NearestClassMean(), stages[:1], model)
    with torch.no_grad():
        next(model.backbone.parameters()).mul_(0.5)
    with pytest.raises(UserError, match="another part has changed the network since"):
        taught(strategy, stages[1:], model)


# Checkpoints.


def stopped_twice(one: Any, folder: Path) -> store.Result:
    """Stop at a step of the first stage, and fail behind the third."""
    machine = Machine(DataPlace.default(), "cpu", threads=1)
    with pytest.raises(StoppedError):
        run(one, machine, None, keeping(folder, after(5)))
    with pytest.raises(ConnectionError):
        run(one, machine, Broken(), keeping(folder))
    return run(one, machine, None, keeping(folder))


@pytest.mark.parametrize("name", FROZEN)
def test_goes_on_bit_for_bit(name: str, tmp_path: Path) -> None:
    one = config({"name": name} | QUICK.get(name, {}), {"batch_size": 8}, CLASS)
    found = stopped_twice(one, tmp_path)
    assert numbers(found) == numbers(run(one, Machine(DataPlace.default(), "cpu", threads=1)))
    assert found.environment["continued"] == 2
