"""The engine: determinism, heads and masks, budgets, divergence, other people's plugins."""

from __future__ import annotations

import gc
import warnings
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from clbench import optimizers, registry
from clbench.avalanche import SupervisedPlugin
from clbench.config import RunConfig, resolve
from clbench.data.benchmark import make_benchmark
from clbench.data.sources import DataPlace
from clbench.data.tensors import ResidentStream
from clbench.engine.precision import choose_device, choose_precision, choose_threads
from clbench.engine.run import Machine, run
from clbench.engine.seeding import available_cores
from clbench.errors import Remark, UserError
from clbench.models import network
from clbench.optimizers import AdaptiveGradientClipping
from clbench.store import Result
from tests.helpers import FakeLearner, known, run_small

CLASS: dict[str, Any] = {"scenario": {"incremental": "class"}}


def test_result_describes_the_run() -> None:
    result = run_small("ewc-fixed")
    assert result.run_id == RunConfig.model_validate(result.config | {"code": result.code}).run_id
    assert [len(result.accuracy), len(result.accuracy[0])] == [6, 5]
    assert result.data.train_samples == [48] * 5
    assert sum(result.data.test_samples) == 355
    assert result.data.official is True
    assert result.model.parameters == 64 * 12 + 12 + 5 * (12 * 2 + 2)
    assert result.environment["flush_denormal"] is True
    assert result.environment["threads"] == 1
    assert result.environment["precision"] == "fp32", "too small for anything else"
    assert len(result.cost) == 5
    assert all(stage.samples_per_second > 0 for stage in result.cost)
    assert [(stage.steps, stage.epochs, stage.reached) for stage in result.cost] == [(6, 2, None)] * 5
    assert result.online_accuracy is not None
    assert all(0 <= value <= 1 for value in result.online_accuracy)


def test_accuracies_are_shares_of_test_images() -> None:
    result = run_small("naive")
    for row in result.accuracy:
        for value, count in zip(known(row), result.data.test_samples, strict=True):
            assert value * count == pytest.approx(round(value * count))


def test_threads_and_denormals_are_set() -> None:
    run_small("naive")
    assert torch.get_num_threads() == 1
    assert float(torch.tensor([1e-40]) * 1.0) == 0.0


@pytest.mark.parametrize("kind", ["task", "class", "domain"])
@pytest.mark.parametrize("family", ["split", "permuted", "rotated"])
def test_every_family_in_every_kind(family: str, kind: str) -> None:
    scenario = {"name": f"{family}-digits", "tasks": 2, "incremental": kind, "samples_per_task": 200}
    result = run_small("naive", {"scenario": scenario, "epochs": 10})
    assert result.status == "ok"
    assert result.model.classifier == ("multi" if kind == "task" else "single")
    learning = result.metrics["learning_accuracy"].value
    assert learning is not None
    assert learning > 0.5


def test_unseen_classes_are_never_predicted_when_masked() -> None:
    rows = run_small("naive", CLASS, {"logits": "seen"}).accuracy
    for stage in range(1, 6):
        assert not any(rows[stage][stage:]), "a class that is masked cannot be right"


def test_current_logits_protect_old_rows_of_the_classifier() -> None:
    """Training over the current classes alone leaves the others' weights without a gradient, so more is remembered."""
    current = run_small("naive", CLASS, {"logits": "current"}).metrics["average_accuracy"].value
    everything = run_small("naive", CLASS, {"logits": "all"}).metrics["average_accuracy"].value
    assert current is not None
    assert everything is not None
    assert current > everything


def test_growing_classifier_grows_with_the_classes() -> None:
    result = run_small(
        "ewc", CLASS, {"model": {"classifier": "growing"}, "strategy": {"include_head": True, "lam": 10}}
    )
    assert result.status == "ok"
    assert not any(result.accuracy[1][1:]), "classes that were only tested are not predicted"


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([CLASS, {"model": {"classifier": "multi"}}], "does not fit"),
        ([{"model": {"classifier": "single"}}], "does not fit"),
        ([CLASS, {"model": {"classifier": "growing"}, "logits": "seen"}], "growing classifier"),
        ([{"optimizer": {"nesterov": True}}], "needs a momentum"),
    ],
)
def test_settings_that_do_not_fit(layers: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        run_small("naive", *layers)


def test_stages_cannot_be_changed_twice() -> None:
    with pytest.raises(UserError, match="at most one part"):
        run_small("joint+cumulative")


def test_a_finished_run_lets_go_of_its_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without waiting for the garbage collector: a search runs hundreds of configurations in one process."""
    made: list[weakref.ref[Any]] = []

    class Watched(ResidentStream):
        def __init__(self, *of: Any) -> None:
            super().__init__(*of)
            made.append(weakref.ref(self))

    monkeypatch.setattr("clbench.engine.stream.ResidentStream", Watched)
    gc.disable()
    try:
        run_small("er")
        assert [kept() for kept in made] == [None]
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ewc-fixed+si-fixed", "each of 'ewc-fixed' and 'si-fixed' goes back to an anchor"),
        ("upgd+ewc+a-gem", "each of 'upgd' and 'a-gem' changes the optimiser's step"),
        ("label-noise+icarl", "each of 'label-noise' and 'icarl' has a loss of its own for the batch"),
    ],
)
def test_methods_that_undo_each_other_are_not_composed(name: str, message: str) -> None:
    with pytest.raises(UserError, match=f"makes no sense: {message}"):
        run_small(name)


def test_updates_are_refused_where_a_plugin_makes_the_batches() -> None:
    with pytest.raises(UserError, match=r"each of them comes once\. Leave updates at 1"):
        run_small("avalanche.training.plugins.ReplayPlugin", {"updates": 2})


def test_adaptive_clipping_limits_each_unit() -> None:
    """‖g‖ ≤ τ‖w‖ per row, biases together; small gradients and the classifier are left alone."""
    model = nn.ModuleDict({"backbone": nn.Linear(2, 2), "classifier": nn.Linear(2, 1)})
    layer: Any = model["backbone"]
    layer.weight.data = torch.tensor([[3.0, 4.0], [3.0, 4.0]])
    layer.bias.data = torch.tensor([2.0, 0.0])
    layer.weight.grad = torch.tensor([[30.0, 40.0], [0.03, 0.04]])
    layer.bias.grad = torch.tensor([-8.0, 8.0])
    model["classifier"].weight.grad = torch.full((1, 2), 100.0)
    clipping, learner = AdaptiveGradientClipping(0.1), FakeLearner(model)
    clipping.before_training_exp(learner)
    clipping.before_update(learner)
    torch.testing.assert_close(layer.weight.grad, torch.tensor([[0.3, 0.4], [0.03, 0.04]]))
    torch.testing.assert_close(layer.bias.grad, torch.tensor([-0.2, 0.2]) / 2**0.5)
    assert float(model["classifier"].weight.grad[0, 0]) == 100.0
    assert course(run_small("naive", {"optimizer": {"agc": 0.01}})) != course(run_small("naive"))


def course(result: Result) -> Any:
    return result.accuracy, result.diagnostics["training_loss"]


def test_heads_that_are_not_used_are_left_alone_by_momentum_and_decay() -> None:
    """With a frozen backbone and a strong optimiser, a finished task's accuracy must not move at all."""
    optimizer = {"optimizer": {"momentum": 0.9, "weight_decay": 0.1, "reset": "never"}}
    rows = run_small("frozen-backbone", optimizer).accuracy
    assert {row[0] for row in rows[1:]} == {rows[1][0]}


def test_mixed_heads_equal_each_head_alone() -> None:
    torch.manual_seed(0)
    model = network.MultiHeadNetwork(nn.Flatten(), 4, 3, heads=5)
    x, heads = torch.randn(9, 1, 2, 2), torch.arange(9) % 5
    mixed = model(x, heads)
    for row, head in enumerate(heads.tolist()):
        torch.testing.assert_close(mixed[row], model(x, head)[row])


def test_test_images_are_not_held_by_the_experiences(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    def remembered(*arguments: Any) -> Any:
        made.append(make_benchmark(*arguments))
        return made[0]

    monkeypatch.setattr("clbench.engine.assemble.make_benchmark", remembered)
    run_small("naive")
    for stream in made[0].streams.values():
        assert not any("data" in vars(experience) for experience in stream)


def test_step_budget_is_exact() -> None:
    for steps in (1, 6, 7, 13):  # three batches of 16 per epoch
        losses = run_small("naive", {"steps": steps, "epochs": None}).cost
        assert len(losses) == 5
    counted: list[int] = []

    class Counting(SupervisedPlugin):
        def after_training_exp(self, learner: Any, **_: Any) -> None:
            counted.append(learner.clock.train_exp_iterations)

    registry.strategy("counting")(Counting)
    registry.strategy.listed["counting"] = registry.strategy.listed["naive"]
    try:
        run_small("counting", {"steps": 7, "epochs": None})
    finally:
        del registry.strategy.listed["counting"], registry.strategy._declared["counting"]
    assert counted == [7] * 5


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_schedules_end_near_zero(schedule: Any) -> None:
    class FakeClock:
        train_exp_iterations = 0

    class FakeLearner:
        clock = FakeClock()
        stage_steps = 100
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 0.5)

    plugin = optimizers.ScheduleLearningRate(schedule, 0.5)
    rates = []
    for step in (0, 50, 99):
        FakeLearner.clock.train_exp_iterations = step
        plugin.before_training_iteration(FakeLearner)
        rates.append(FakeLearner.optimizer.param_groups[0]["lr"])
    assert rates[0] == 0.5
    assert rates[1] == pytest.approx(0.25)
    assert 0 < rates[2] < 0.01


def test_optimiser_state_is_kept_or_reset_as_told() -> None:
    kept, reset = (
        run_small("naive", {"optimizer": {"momentum": 0.9, "reset": reset}}) for reset in ("never", "each-task")
    )
    assert kept.accuracy[1] == reset.accuracy[1], "the first stage is the same"
    assert kept.diagnostics["training_loss"][1] != reset.diagnostics["training_loss"][1]


def test_divergence_is_a_status_with_the_step_and_no_number() -> None:
    result = run_small("naive", {"optimizer": {"lr": 1e30}})
    assert result.status == "diverged"
    assert result.reason is not None
    assert "at step" in result.reason
    assert result.metrics == {}
    assert len(result.accuracy) == 1, "only the row before training"


def test_divergence_of_the_last_step_is_found_in_the_weights() -> None:
    result = run_small("naive", {"optimizer": {"lr": 1e38}, "steps": 1, "epochs": None})
    assert result.status == "diverged"
    assert result.reason is not None


def test_precision_bf16_trains_and_is_recorded() -> None:
    result = run_small("ewc", {"precision": "bf16"})
    assert result.environment["precision"] == "bf16"
    assert result.metrics["average_accuracy"].value is not None


def test_small_work_takes_one_thread_and_large_work_all() -> None:
    small, large, cnn = nn.Linear(64, 10), nn.Linear(784, 512), nn.Conv2d(1, 1, 1)
    cores = available_cores()
    assert [choose_threads(None, m, 128) for m in (small, large, cnn)] == [1, cores, cores]
    assert choose_threads(3, small, 1) == 3


@pytest.mark.parametrize(
    ("amx", "avx512", "halved"),
    [(False, False, ""), (True, True, "cnn-28x10 cnn-28x9 cnn-8x32 mlp-64"), (False, True, "cnn-28x10 mlp-64")],
)
def test_auto_precision_is_a_rule(amx: bool, avx512: bool, halved: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: avx512)
    mlp, cnn = nn.Linear(784, 343), nn.Conv2d(1, 1, 1)  # as many weights as 784-256-256-10
    works = {
        "mlp-63": (mlp, (63, 784)),
        "mlp-64": (mlp, (64, 784)),
        "cnn-28x9": (cnn, (9, 1, 28, 28)),
        "cnn-28x10": (cnn, (10, 1, 28, 28)),
        "cnn-8x32": (cnn, (32, 3, 8, 8)),
    }
    for kind, chosen in (("cpu", halved), ("cuda", "")):
        device = torch.device(kind)
        found = [name for name, work in works.items() if choose_precision("auto", device, *work) == "bf16"]
        assert sorted(found) == chosen.split()
    assert choose_precision("fp32", torch.device("cpu"), cnn, (32, 1, 28, 28)) == "fp32"


def test_emulated_bf16_is_remarked_on(monkeypatch: pytest.MonkeyPatch) -> None:
    mlp = nn.Linear(1, 1)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: False)
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: False)
    with pytest.warns(Remark, match="emulates bf16.*Leave precision at 'auto'"):
        assert choose_precision("bf16", torch.device("cpu"), mlp, (1, 1)) == "bf16"
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert choose_precision("bf16", torch.device("cpu"), mlp, (1, 1)) == "bf16"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_missing_device() -> None:
    with pytest.raises(UserError, match=r"--device cuda: not available"):
        choose_device("cuda")


def test_validation_scores_on_held_out_training_images() -> None:
    result = run_small("naive", {"scenario": {"validation": 0.25, "class_order": "fixed"}, "evaluate": "validation"})
    assert result.data.test_samples == [72, 72, 73, 72, 71]


def test_augmentation_changes_training_and_repeats() -> None:
    first, second, plain = (run_small("naive", {"augment": a}) for a in ("flip+crop", "flip+crop", "none"))
    assert first.diagnostics == second.diagnostics != plain.diagnostics


# Other people's plugins.

AVALANCHE = "avalanche.training.plugins."


@pytest.mark.parametrize(
    "plugin", ["EWCPlugin", "ReplayPlugin", "LwFPlugin", "SynapticIntelligencePlugin", "AGEMPlugin"]
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside Avalanche
def test_avalanche_plugins_run_as_they_are(plugin: str) -> None:
    required: dict[str, dict[str, Any]] = {
        "EWCPlugin": {"ewc_lambda": 1.0},
        "SynapticIntelligencePlugin": {"si_lambda": 1.0},
        "AGEMPlugin": {"patterns_per_experience": 10, "sample_size": 10},
    }
    # Avalanche's SI expects a gradient for every weight, which the heads of other tasks never have.
    domain = {"scenario": {"incremental": "domain"}}
    result = run_small({"name": AVALANCHE + plugin} | required.get(plugin, {}), domain)
    assert result.status == "ok"
    assert result.metrics["average_accuracy"].value is not None
    assert result.metrics["average_accuracy"].value > 0.6


def test_ewc_equals_avalanches_own() -> None:
    """An independent implementation: same Fisher (batched, all weights), λ twice theirs for want of a ½."""
    scenario = {"scenario": {"name": "permuted-digits", "tasks": 3, "samples_per_task": 64}, "epochs": 3}
    options = {"fisher": "batched", "fisher_samples": None, "include_head": True}
    ours = run_small({"name": "ewc", "lam": 20.0} | options, scenario)
    theirs = run_small({"name": AVALANCHE + "EWCPlugin", "ewc_lambda": 10.0}, scenario)
    naive = run_small("naive", scenario)
    assert ours.accuracy == theirs.accuracy != naive.accuracy


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside Avalanche
def test_replay_plugin_gets_its_own_loader() -> None:
    naive = run_small("naive", CLASS).metrics["average_accuracy"].value
    replay = run_small({"name": AVALANCHE + "ReplayPlugin", "mem_size": 200}, CLASS).metrics["average_accuracy"].value
    assert naive is not None
    assert replay is not None
    assert replay > naive


def test_something_that_is_no_plugin() -> None:
    with pytest.raises(UserError, match="no Avalanche SupervisedPlugin"):
        run_small("collections.Counter")


# Experience replay's memory.


def test_reservoir_keeps_every_sample_with_the_same_probability() -> None:
    from clbench.strategies._memory import reservoir_slots

    counts = np.zeros(60)
    for seed in range(400):
        random = torch.Generator().manual_seed(seed)
        place = np.full(15, -1)
        for start in (0, 20, 40):
            for sample, slot in enumerate(reservoir_slots(start, 20, 15, random), start=start):
                if slot >= 0:
                    place[slot] = sample
        counts[place] += 1
    expected = 400 * 15 / 60
    assert counts.sum() == 400 * 15
    chi_squared = float(((counts - expected) ** 2 / expected).sum())
    assert chi_squared < 98, "99.9 % quantile for 59 degrees of freedom"


def test_replay_remembers() -> None:
    er = run_small({"name": "er", "memory": 100}, CLASS, {"epochs": 8}).metrics["average_accuracy"].value
    naive = run_small("naive", CLASS, {"epochs": 8}).metrics["average_accuracy"].value
    assert er is not None
    assert naive is not None
    assert er > naive + 0.1


@pytest.mark.real_data
def test_real_mnist_and_cifar(real_data: Path) -> None:
    place = DataPlace.default(real_data)
    mnist = {"strategy": "ewc-fixed", "scenario": {"name": "permuted-mnist", "tasks": 2, "samples_per_task": 6000}}
    result = run(resolve(mnist, {"epochs": 2})[0], Machine(place))
    assert result.data.official is True
    assert known(result.accuracy[1])[0] > 0.8
    cifar = {"strategy": "ewc", "scenario": {"name": "split-cifar10", "samples_per_task": 150, "tasks": 2}}
    small = {"model": {"name": "cnn6", "width": 8, "norm": "batch"}, "epochs": 2, "evaluate": "test"}
    result = run(resolve(cifar, small)[0], Machine(place))
    assert result.data.official is False, "re-encoded images are not the official bytes"
    assert result.metrics["average_accuracy"].value is not None
    assert result.metrics["average_accuracy"].value > 0.22, "five classes per task: chance is 0.2"
