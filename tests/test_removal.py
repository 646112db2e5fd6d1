"""Streams that ask for samples to be forgotten: what they are, who may answer, and what is measured of the answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from typer.testing import CliRunner

from clbench import metrics, registry, store
from clbench.checkpoints.checkpoint import StoppedError
from clbench.cli import app
from clbench.config import RunConfig, resolve
from clbench.data.dataset import Dataset
from clbench.data.sources import DataPlace
from clbench.data.streams import stretch, with_common_options
from clbench.engine.removal import relearning_steps
from clbench.engine.run import Machine, run
from clbench.errors import UserError
from tests.helpers import FakeLearner, config, make_stream, task_data
from tests.test_checkpoint import after, keeping, numbers
from tests.test_regularisers import small

ANSWERING = sorted(name for name, one in registry.strategy.listed.items() if one.family == "removal")
MACHINE = Machine(DataPlace.default(), "cpu", threads=1)
SMALL: dict[str, Any] = {
    "scenario": {"name": "forget-class-digits", "images": 200},
    "model": {"name": "mlp", "widths": [16]},
    "epochs": 6,
    "batch_size": 16,
}
QUICK: dict[str, dict[str, Any]] = {"linear-forgetting": {"iterations": 30, "tolerance": 0.01}}


def asking(strategy: Any, *layers: dict[str, Any], seed: int = 0) -> RunConfig:
    """A small run on a stream that makes a request."""
    return resolve(SMALL, {"strategy": strategy, "seeds": [seed]}, *layers)[0]


def quick(name: str) -> dict[str, Any]:
    return {"name": name} | QUICK.get(name, {})


def course(result: store.Result) -> tuple[Any, Any, Any]:
    return result.accuracy, result.diagnostics["training_loss"], result.metrics


# The streams.


@pytest.mark.parametrize("classes", [1, 3])
def test_forget_class_removes_whole_classes(classes: int, digits: Dataset) -> None:
    stream = make_stream("forget-class", digits, classes=classes)
    kept, removed, known, unseen = stream.tasks
    gone = set(removed.classes)
    assert len(gone) == classes
    assert gone.isdisjoint(kept.classes)
    assert {*digits.train_labels[removed.train].tolist()} == gone == {*digits.test_labels[unseen.test].tolist()}
    assert gone.isdisjoint(digits.test_labels[kept.test].tolist())
    assert sorted([*kept.train, *removed.train]) == list(range(len(digits.train_labels)))
    assert np.array_equal(known.scored("test")[1], kept.train)
    assert removed.scored("test") == ("train", removed.train)
    assert stream.stages == [[0, 1], [0]]
    assert stream.outputs == 10


def test_forget_images_removes_a_share(digits: Dataset) -> None:
    stream = make_stream("forget-images", digits, share=0.25, images=1000)
    kept, removed, known = stream.tasks
    assert (len(kept.train), len(removed.train)) == (750, 250)
    assert set(kept.train.tolist()).isdisjoint(removed.train.tolist())
    assert np.array_equal(known.train, kept.train)
    assert len(kept.test) == len(digits.test_labels)
    assert kept.classes == removed.classes == list(range(10))


@pytest.mark.parametrize("family", ["forget-class", "forget-images"])
def test_streams_depend_on_the_seed_and_say_that_they_ask(family: str, digits: Dataset) -> None:
    streams = [make_stream(family, digits, seed, images=500) for seed in range(4)]
    assert len({stream.digest for stream in streams}) == 4
    assert make_stream(family, digits, 1, images=500).digest == streams[1].digest
    assert replace(streams[0], request=None).digest != streams[0].digest


@pytest.mark.parametrize(
    ("family", "options", "message"),
    [
        ("forget-class", {"classes": 10}, r"scenario\.classes: .* 10 classes.*at most 9"),
        ("forget-class", {"images": 5000}, r"scenario\.images: .*fewer than 5,000"),
        ("forget-images", {"share": 0.0}, r"scenario\.share: 0\.0 of .* is 0.*Choose another"),
        ("forget-images", {"share": 0.99, "images": 10}, r"scenario\.share: 0\.99 of 10"),
    ],
)
def test_what_cannot_be_removed_is_refused(family: str, options: Any, message: str, digits: Dataset) -> None:
    with pytest.raises(UserError, match=message):
        make_stream(family, digits, **options)


def test_such_a_stream_is_not_cut(digits: Dataset) -> None:
    stream = make_stream("forget-images", digits)
    with pytest.raises(UserError, match=r"scenario\.skip and scenario\.keep.*scenario\.images"):
        stretch(stream, 1, None)
    for samples, validation in ((10, 0.0), (None, 0.1)):
        with pytest.raises(UserError, match=r"scenario\.validation.*scenario\.images takes fewer"):
            with_common_options(stream, 0, samples, validation)


# Who may answer.


def test_strategies_that_know_no_requests_are_refused_by_name() -> None:
    for name in ("er", "ewc+naive", "joint", "er+retrain", "avalanche.training.plugins.ReplayPlugin"):
        with pytest.raises(UserError, match=r"knows no requests to forget.*forget-class-digits.*or naive"):
            run(asking(name), MACHINE)


@pytest.mark.parametrize("name", ANSWERING)
def test_answers_without_a_request_are_refused_by_name(name: str) -> None:
    with pytest.raises(UserError, match=f"'{name}' removes training samples on request, and scenario 'split-digits'"):
        run(config(quick(name)), MACHINE)


def test_two_answers_are_one_too_many() -> None:
    with pytest.raises(UserError, match="each of 'retrain' and 'finetune-kept' removes training samples on request"):
        run(asking("retrain+finetune-kept"), MACHINE)


@pytest.mark.parametrize("scenario", ["forget-class-digits", "forget-images-digits"])
def test_naive_ignores_the_request(scenario: str) -> None:
    found = run(asking("naive", {"scenario": {"name": scenario}}), MACHINE)
    assert found.accuracy[1] == found.accuracy[2]
    assert [cost.steps for cost in found.cost][1] == 0
    assert found.metrics["relearning_steps"].value == 0
    assert found.metrics["distance_to_retrain"].value is None


# The contract.


@pytest.mark.parametrize("scenario", ["forget-class-digits", "forget-images-digits"])
@pytest.mark.parametrize("name", ANSWERING)
def test_repeats_bit_for_bit_and_depends_on_the_seed(name: str, scenario: str) -> None:
    where = {"scenario": {"name": scenario}}
    first, again, other = (run(asking(quick(name), where, seed=seed), MACHINE) for seed in (0, 0, 1))
    assert first.status == "ok"
    assert course(first) == course(again) != course(other)
    composed = run(asking({"name": f"naive+{name}", name: QUICK.get(name, {})}, where), MACHINE)
    assert course(composed) == course(first)
    before, asked = first.accuracy[1:]
    assert before[2] is not None
    assert before[2] > 0.5, "it learnt what stays"
    assert before != asked, "and did something when asked"


@pytest.mark.parametrize("name", [name for name in ANSWERING if name != "linear-forgetting"])  # has no step to stop at
def test_goes_on_bit_for_bit(name: str, tmp_path: Path) -> None:
    one, sittings = asking(name), 0
    whole = run(one, MACHINE)
    while True:
        try:
            found = run(one, MACHINE, None, keeping(tmp_path, after(13)))
            break
        except StoppedError:
            sittings += 1
    assert sittings > 3
    assert numbers(found) == numbers(whole)


SETTINGS: dict[str, dict[str, Any]] = {
    "growing": {"model": {"classifier": "growing"}},
    "steps": {"epochs": None, "steps": 20},
    "until it is learnt": {"epochs": None, "until_train_accuracy": 0.9, "max_epochs": 6},
    "batch norm, half precision": {"model": {"norm": "batch"}, "precision": "bf16"},
    "adam": {"optimizer": {"name": "adam", "lr": 0.001, "reset": "never", "schedule": "cosine"}},
    "sam": {"optimizer": {"name": "sam"}},
    "convolutions, augmented": {
        "model": {"name": "lenet", "width": 3, "units": 10},
        "augment": "crop",
        "scenario": {"image_size": 16, "images": 100},
    },
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_works_in_settings_that_people_use(setting: str) -> None:
    for name in ANSWERING:
        found = run(asking(quick(name), SETTINGS[setting]), MACHINE)
        assert found.status == "ok", (name, setting)
        if setting == "steps" and name != "linear-forgetting":
            assert found.cost[0].steps == 20, "a stage has one budget, however much is removed"


# What is measured.


def test_a_network_trained_without_the_samples_is_like_the_reference() -> None:
    """One batch of everything, so that the order of samples is no difference: the reference is the same network."""
    everything = {"batch_size": 500, "optimizer": {"lr": 0.2}, "epochs": 30}
    machine = Machine(DataPlace.default(), "cpu", threads=1, diagnostics=True)
    found = run(asking("retrain", everything), machine)
    ignored = run(asking("naive", everything), machine)
    distance, far = (result.metrics["distance_to_retrain"].value for result in (found, ignored))
    assert distance == pytest.approx(0, abs=1e-5)
    assert far is not None
    assert far > 0.2
    assert found.accuracy == run(asking("retrain", everything), MACHINE).accuracy, "measuring changes no bit"


def test_retraining_forgets_and_relearning_takes_steps() -> None:
    found = run(asking("retrain", {"epochs": 20}), MACHINE)
    values = {name: found.metrics[name].value for name in found.metrics}
    assert values["removed_accuracy"] == 0
    assert values["kept_accuracy"] == found.accuracy[-1][0]
    assert values["known_accuracy"] == found.accuracy[-1][2]
    steps = values["relearning_steps"]
    assert steps is not None
    assert steps > 3


def test_the_attacks_area_is_that_of_the_roc_curve() -> None:
    random = np.random.default_rng(0)
    removed, unseen = random.integers(0, 9, 40) / 8, random.integers(0, 12, 25) / 8
    members = [*np.ones(len(removed)), *np.zeros(len(unseen))]
    expected = roc_auc_score(members, -np.concatenate([removed, unseen]))
    for first, second, area in ((removed, unseen, expected), (unseen, removed, 1 - expected)):
        found = metrics.Removal(0, 1, 2, first.tolist(), second.tolist())
        values = metrics.compute(metrics.Course([[0.0] * 3], removal=found))
        assert values["membership_attack"] == pytest.approx(0.5 + abs(area - 0.5))


def test_relearning_counts_steps_until_the_old_loss() -> None:
    """Against gradient descent written out, on all removed samples at once."""
    torch.manual_seed(0)
    x, labels = torch.randn(20, 1, 2, 2), torch.randint(3, (20,))
    model = small(torch.nn.Linear(4, 5), torch.nn.Tanh())
    data = task_data(x, labels)
    learner: Any = FakeLearner(model, data)
    learner.seed, learner.rows = 0, model.rows
    one = asking("naive", {"batch_size": 64, "optimizer": {"lr": 0.3}})

    def losses(weights: dict[str, Tensor]) -> Tensor:
        logits = torch.func.functional_call(model, weights, (x,))
        return torch.nn.functional.cross_entropy(logits, labels, reduction="none")

    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    weights = {name: weight.clone().requires_grad_() for name, weight in before.items()}
    for _ in range(7):
        found = torch.autograd.grad(losses(weights).mean(), list(weights.values()))
        weights = {
            name: (weight - 0.3 * g).detach().requires_grad_()
            for (name, weight), g in zip(weights.items(), found, strict=True)
        }
    target = losses(weights).detach()
    assert relearning_steps(learner, one, data, target) == 7
    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters()), "on a copy"
    assert relearning_steps(learner, one, data, torch.zeros(20)) is None


@pytest.mark.parametrize("family", ["forget-class", "forget-images"])
def test_rows_of_numbers_are_forgotten_too(family: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    y = random.integers(0, 3, 240)
    np.savez(tmp_path / "rows.npz", x=random.normal(size=(240, 5)) + 3 * np.eye(5)[y], y=y)
    machine = Machine(DataPlace.default(tmp_path), "cpu", threads=1)
    for name in ANSWERING:
        layer = {"strategy": quick(name), "scenario": f"{family}-rows", "epochs": 4, "batch_size": 16}
        found = run(resolve(layer, {"seeds": [0]}, place=machine.place)[0], machine)
        assert found.status == "ok"
        assert (found.accuracy[1][0] or 0) > 0.7


def test_the_board_shows_what_counts_there(tmp_path: Path) -> None:
    folder = str(tmp_path)
    small = ["--set", "scenario.images=200", "--set", "epochs=2", "--quiet", "--results", folder]
    for name in ("naive", "finetune-kept"):
        made = CliRunner().invoke(app, ["run", "--strategy", name, "--scenario", "forget-class-digits", *small])
        assert made.exit_code == 0, made.output
    told = CliRunner().invoke(app, ["compare", folder])
    assert told.exit_code == 0, told.output
    assert "removed accuracy" in told.output
    assert "average accuracy" not in told.output
    refused = CliRunner().invoke(app, ["run", "--strategy", "er", "--scenario", "forget-class-digits", *small])
    assert refused.exit_code != 0
    assert "knows no requests to forget" in str(refused.exception)
