"""Avalanche whole: its strategies in the learner's place, its benchmarks as streams, and what cannot be run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from clbench import avalanche, registry
from clbench.checkpoints.checkpoint import Checkpoints, StoppedError
from clbench.cli import app
from clbench.config import resolve
from clbench.data import streams
from clbench.data.borrowed import borrowed
from clbench.data.sources import DataPlace
from clbench.engine.run import Machine, run
from clbench.engine.stream import stream_of
from clbench.errors import UserError
from clbench.registry import guests
from clbench.render import catalogue
from clbench.store import Result
from tests import guests as table
from tests.helpers import known

SUPERVISED = "avalanche.training.supervised."
MACHINE = Machine(DataPlace.default(offline=True), "cpu", threads=1)
SMALL: dict[str, Any] = {
    "scenario": {"name": "split-digits", "tasks": 3, "samples_per_task": 64, "incremental": "class"},
    "model": {"name": "mlp", "widths": [16]},
    "epochs": 2,
}


def guest(strategy: Any, *layers: dict[str, Any], checkpoints: Checkpoints | None = None) -> Result:
    """A small run of a strategy of Avalanche's."""
    (config,) = resolve(SMALL, {"strategy": strategy}, *layers)
    return run(config, MACHINE, checkpoints=checkpoints)


# Strategies.


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside Avalanche
@pytest.mark.parametrize("path", table.known())
def test_the_table_says_what_happens(path: str) -> None:
    found = tuple("yes" if table.outcome(path, kind) == table.RUNS else "no" for kind in table.KINDS)
    assert found == table.known()[path]


def test_the_table_has_every_class() -> None:
    assert list(table.known()) == list(guests.listed("strategy"))


def test_naive_is_avalanches_loop_over_the_same_samples() -> None:
    """Written out: the run's network and draws, Avalanche's order of batches, plain SGD."""
    result = guest(SUPERVISED + "Naive", {"optimizer": {"reset": "never"}})
    again = guest(SUPERVISED + "Naive", {"optimizer": {"reset": "never"}})
    assert result.accuracy == again.accuracy
    assert result.accuracy[0] == [None] * 3
    ours = guest("naive")
    for stage in (1, 2, 3):
        mine, theirs = known(result.accuracy[stage])[stage - 1], known(ours.accuracy[stage])[stage - 1]
        assert abs(mine - theirs) < 0.15  # the same task, in batches of another order


def test_one_step_of_naive_is_one_step_of_sgd() -> None:
    """With the whole task as one batch no order is left, so that both loops take the same steps."""
    whole = {"batch_size": 64, "epochs": 5}
    theirs, ours = (guest(name, whole) for name in (SUPERVISED + "Naive", "naive"))
    assert theirs.accuracy[1:] == ours.accuracy[1:]
    assert theirs.diagnostics["training_loss"] == pytest.approx(ours.diagnostics["training_loss"], abs=1e-6)
    assert [cost.samples for cost in theirs.cost] == [cost.samples for cost in ours.cost] == [320] * 3
    assert theirs.confusion == ours.confusion


def test_a_result_says_what_it_is() -> None:
    result = guest(SUPERVISED + "Replay")
    code = result.code[f"strategy {SUPERVISED}Replay"]
    assert code.source is not None
    assert code.source.startswith("avalanche-lib ")
    assert code.sha256 is not None
    assert result.role == "method"
    assert result.online_accuracy is None
    assert {cost.memory_bytes for cost in result.cost} == {None}
    assert [cost.steps for cost in result.cost] == [8, 8, 8]


@pytest.mark.parametrize(("name", "role"), [("Naive", "control"), ("JointTraining", "bound"), ("Cumulative", "bound")])
def test_roles(name: str, role: str) -> None:
    assert registry.strategy.load(SUPERVISED + name).role == role


def test_joint_training_is_one_stage() -> None:
    result = guest(SUPERVISED + "JointTraining")
    assert [cost.tasks for cost in result.cost] == [[0, 1, 2]]
    assert len(result.accuracy) == 2


def test_a_budget_of_steps_is_kept() -> None:
    result = guest(SUPERVISED + "Naive", {"epochs": None, "steps": 7})
    assert [cost.steps for cost in result.cost] == [7, 7, 7]


def test_plugins_compose_with_a_whole_strategy() -> None:
    plain = guest(SUPERVISED + "Naive")
    both = guest({"name": f"{SUPERVISED}Naive+avalanche.training.plugins.EWCPlugin", "ewc_lambda": 10.0})
    assert plain.accuracy[1] == both.accuracy[1]
    assert plain.accuracy[3] != both.accuracy[3]


def test_a_strategy_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "guest_of_mine.py"
    file.write_text(
        "from clbench.avalanche import SupervisedTemplate\n\n\n"
        "class Mine(SupervisedTemplate):\n"
        '    """Mine."""\n\n'
        "    def __init__(self, *, model, optimizer, criterion, strength: float = 1.0, **others):\n"
        "        super().__init__(model=model, optimizer=optimizer, criterion=criterion, **others)\n"
        "        self.strength = strength\n\n"
        "    def criterion(self):\n"
        "        return self.strength * super().criterion()\n"
    )
    strong, weak = (guest({"name": f"{file}:Mine", "strength": one}) for one in (1.0, 0.0))
    assert strong.accuracy != weak.accuracy
    assert strong.code[f"strategy {file}:Mine"].source == "guest_of_mine.py"


def test_a_run_stops_when_asked_and_keeps_nothing() -> None:
    asked = iter([False, False, *[True] * 99])
    with pytest.raises(StoppedError):
        guest(SUPERVISED + "Naive", checkpoints=Checkpoints(stopping=lambda: next(asked)))


def test_nan_ends_the_run() -> None:
    result = guest(SUPERVISED + "Naive", {"optimizer": {"lr": 1e30}})
    assert result.status == "diverged"


@pytest.mark.parametrize(
    ("strategy", "settings", "words"),
    [
        ("Naive", {"logits": "seen"}, "logits: .*Use all"),
        ("Naive", {"augment": "flip"}, "augment: .*Use none"),
        ("Naive", {"evaluate_steps": 3}, "evaluate_steps"),
        ("Naive", {"precision": "bf16"}, "fp32 alone"),
        ("Naive", {"optimizer": {"name": "sam"}}, "optimizer.name"),
        ("Naive", {"optimizer": {"schedule": "cosine"}}, "optimizer.schedule"),
        ("Naive+ewc", {}, "which 'ewc' cannot work in"),
        (f"Naive+{SUPERVISED}Replay", {}, "a training loop of its own. Keep one"),
        ("EWC", {}, "strategy.ewc_lambda is required .* Add --set strategy.ewc_lambda="),
        ("PNNStrategy", {}, "needs Avalanche's PNN"),
        ("AR1", {}, "weights from the network"),
        ("Nonsense", {}, "cannot be imported"),
        ("ICaRL", {"scenario": {"incremental": "task"}}, "Add --set scenario.incremental=class"),
        ("ICaRL", {"strategy": {"memory": 3}}, "Unknown option 'strategy.memory'. Did you mean 'memory_size'"),
        ("DER", {"scenario": {"incremental": "task"}}, "in stage 1: TypeError.*scenario.incremental=class"),
        ("ER_AML", {"batch_size": 64}, "takes whole batches of 64 samples of each class"),
    ],
)
def test_what_cannot_be_done_is_refused(strategy: str, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        guest({"name": SUPERVISED + strategy}, settings)


def test_diagnostics_are_refused() -> None:
    (config,) = resolve(SMALL, {"strategy": SUPERVISED + "Naive"})
    with pytest.raises(UserError, match="Leave --diagnostics out"):
        run(config, Machine(DataPlace.default(offline=True), "cpu", threads=1, diagnostics=True))


# Benchmarks.

PIXELS = torch.arange(24 * 16, dtype=torch.uint8).reshape(24, 1, 4, 4)


def benchmark(
    labels: list[list[int]], tests: list[list[int]], tasks: list[int] | None = None, images: Any = PIXELS
) -> Callable[..., Any]:
    """A function that returns a benchmark with experiences of these labels."""

    def experiences(parts: list[list[int]]) -> Any:
        start, found = 0, []
        for place, part in enumerate(parts):
            samples = images[start : start + len(part)]
            start += len(part)
            data = [(samples[index], label) for index, label in enumerate(part)]
            task = 0 if tasks is None else tasks[place]
            dataset = avalanche.make_classification_dataset(data, targets=part, task_labels=task)
            found.append(_Experience(dataset, [task]))
        return found

    def make(seed: int = 0) -> Any:
        return _Benchmark(experiences(labels), experiences(tests))

    return make


class _Experience:
    def __init__(self, dataset: Any, task_labels: list[int]) -> None:
        self.dataset, self.task_labels = dataset, task_labels


class _Benchmark:
    def __init__(self, train_stream: Any, test_stream: Any) -> None:
        self.train_stream, self.test_stream = train_stream, test_stream


def read(make: Callable[..., Any], image_size: int | None = None) -> tuple[Any, streams.Stream]:
    """What a benchmark becomes."""
    return borrowed("mine", make, {}, 0, MACHINE.place, image_size)


def test_classes_that_differ_make_a_class_incremental_stream() -> None:
    data, stream = read(benchmark([[5, 7, 5], [9, 2]], [[5, 7], [2]]))
    assert (stream.incremental, stream.heads, stream.outputs) == ("class", 1, 4)
    assert data.classes == ["2", "5", "7", "9"]
    assert data.train_labels.tolist() == [1, 2, 1, 3, 0]
    assert [task.train.tolist() for task in stream.tasks] == [[0, 1, 2], [3, 4]]
    assert [task.test.tolist() for task in stream.tasks] == [[0, 1], [2]]
    assert [task.classes for task in stream.tasks] == [[1, 2], [0, 3]]
    assert data.train_samples.dtype == np.uint8
    assert np.array_equal(data.train_samples, PIXELS[:5].numpy())


def test_the_same_classes_everywhere_make_a_domain_incremental_one() -> None:
    _, stream = read(benchmark([[0, 1], [1, 0]], [[0, 1], [1, 0]]))
    assert (stream.incremental, stream.outputs, stream.heads) == ("domain", 2, 1)


def test_task_labels_make_heads_with_labels_of_their_own() -> None:
    data, stream = read(benchmark([[3, 4], [3, 8, 9]], [[3, 4], [8]], tasks=[0, 5]))
    assert (stream.incremental, stream.heads, stream.head_outputs) == ("task", 2, [2, 3])
    assert data.classes == ["0/3", "0/4", "5/3", "5/8", "5/9"]
    assert [task.labels.tolist() for task in stream.tasks] == [[0, 1, -1, -1, -1], [-1, -1, 0, 1, 2]]
    assert [task.head for task in stream.tasks] == [0, 1]


def test_one_test_is_divided_by_new_classes() -> None:
    _, stream = read(benchmark([[0, 1], [2, 0]], [[2, 0, 1, 2]]))
    assert not stream.common_test
    assert [task.test.tolist() for task in stream.tasks] == [[1, 2], [0, 3]]


def test_one_test_is_common_where_no_class_is_new() -> None:
    _, stream = read(benchmark([[0, 1], [1, 0]], [[1, 0, 1]]))
    assert stream.common_test
    assert [task.test.tolist() for task in stream.tasks] == [[0, 1, 2]] * 2


def test_levels_divided_by_255_are_levels_again_and_other_numbers_stay() -> None:
    grey, _ = read(benchmark([[0, 1]], [[0]], images=PIXELS / 255))
    assert np.array_equal(grey.train_samples, PIXELS[:2].numpy())
    scaled, _ = read(benchmark([[0, 1]], [[0]], images=(PIXELS / 255 - 0.13) / 0.31))
    assert scaled.train_samples.dtype == np.float32


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (benchmark([[0], [1], [2]], [[0], [1]]), "3 experiences to train on and 2 to test"),
        (benchmark([[0], [1]], [[0], [7]]), "class 7, which no experience trains on"),
        (lambda: {"no": "benchmark"}, "is a dict, no benchmark of Avalanche's"),
        (lambda: 1 / 0, "cannot be made: ZeroDivisionError"),
    ],
)
def test_benchmarks_that_do_not_fit(make: Callable[..., Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        read(make)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with a small MNIST in torchvision's files."""
    root = tmp_path_factory.mktemp("root")
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for part, count in (("train", 200), ("t10k", 100)):
        labels = np.arange(count, dtype=np.uint8) % 10
        pixels = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        header = np.array([0x803, count, 28, 28], ">i4").tobytes()
        (folder / f"{part}-images-idx3-ubyte").write_bytes(header + pixels.tobytes())
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(np.array([0x801, count], ">i4").tobytes() + labels.tobytes())
    return root


@pytest.mark.parametrize(
    ("name", "options", "kind"),
    [
        ("SplitMNIST", {"n_experiences": 5}, "class"),
        ("SplitMNIST", {"n_experiences": 5, "return_task_id": True}, "task"),
        ("PermutedMNIST", {"n_experiences": 2}, "domain"),
        ("RotatedMNIST", {"n_experiences": 2}, "domain"),
    ],
)
def test_classic_benchmarks(images: Path, name: str, options: dict[str, Any], kind: str) -> None:
    layers = {"scenario": {"name": f"avalanche.benchmarks.{name}", **options}, "strategy": "er"}
    first, second = resolve(layers, {"seeds": 2})
    place = DataPlace.default(images, offline=True)
    data, stream = stream_of(first, place)
    other, another = stream_of(second, place)
    assert other.fingerprint == data.fingerprint  # one benchmark, though seeds differ in its samples
    assert another.digest != stream.digest == stream_of(first, place)[1].digest
    assert (stream.incremental, len(stream.tasks)) == (kind, options["n_experiences"])
    assert data.is_images
    assert data.shape == (1, 28, 28)
    result = run(first, Machine(place, "cpu", threads=1))
    assert result.status == "ok"
    assert result.code[f"scenario avalanche.benchmarks.{name}"].source is not None
    assert result.data.official is None


def test_both_at_once(images: Path) -> None:
    layers = {"scenario": {"name": "avalanche.benchmarks.SplitMNIST", "n_experiences": 2}}
    (config,) = resolve(layers, {"strategy": SUPERVISED + "ICaRL", "model": {"name": "mlp", "widths": [8]}})
    assert run(config, Machine(DataPlace.default(images, offline=True), "cpu", threads=1)).status == "ok"


def test_nothing_is_downloaded_offline(tmp_path: Path) -> None:
    (config,) = resolve({"scenario": {"name": "avalanche.benchmarks.SplitMNIST", "n_experiences": 5}, "strategy": "er"})
    with pytest.raises(UserError, match=r"cannot be made.*downloads are off"):
        stream_of(config, DataPlace.default(tmp_path, offline=True))


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ({"scenario": {"name": "avalanche.benchmarks.SplitMNIST"}}, "scenario.n_experiences is required"),
        ({"scenario": {"name": "avalanche.benchmarks.SplitMNISTT"}}, "cannot be imported"),
        ({"scenario": {"name": "nowhere.py:make"}}, "there is no file nowhere.py"),
        (
            {"scenario": {"name": "avalanche.benchmarks.SplitMNIST", "n_experiences": 5, "tasks": 5}},
            "Unknown option 'scenario.tasks'",
        ),
        (
            {"scenario": {"name": "avalanche.benchmarks.SplitMNIST", "n_experiences": 5}, "data": {"label": "x"}},
            "brings data of its own",
        ),
    ],
)
def test_scenarios_that_cannot_be_made(layer: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        resolve(layer, {"strategy": "naive"})


# The command line.


def test_run_list_and_describe(tmp_path: Path) -> None:
    file = tmp_path / "bench_of_mine.py"
    file.write_text(
        "from avalanche.benchmarks import nc_benchmark\nfrom sklearn.datasets import load_digits\nimport torch\n"
        "from clbench.avalanche import make_classification_dataset\nfrom torch.utils.data import TensorDataset\n\n\n"
        "def tensors(x, y):\n"
        "    return make_classification_dataset(TensorDataset(x, y), targets=y.tolist())\n\n\n"
        "def digits(n: int = 5, seed: int = 0):\n"
        '    """Digits in n experiences."""\n'
        "    x, y = (torch.as_tensor(one) for one in load_digits(return_X_y=True))\n"
        "    x = (x.reshape(-1, 1, 8, 8) / 16).float()\n"
        "    y = y.long()\n"
        "    return nc_benchmark(tensors(x[::2], y[::2]), tensors(x[1::2], y[1::2]), n, False, seed=seed)\n"
    )
    call = ["run", "--strategy", "er", "--scenario", f"{file}:digits", "--set", "scenario.n=2", "--json", "--device"]
    done = CliRunner().invoke(app, [*call, "cpu", "--results", str(tmp_path / "results")])
    assert done.exit_code == 0, done.output
    (result,) = json.loads(done.stdout)
    assert len(result["accuracy"]) == 3
    assert len([*(tmp_path / "results").rglob("*.json")]) == 1
    shown = CliRunner().invoke(app, ["list", "strategies", "--avalanche", "--json"])
    rows = {row["strategy"]: row["what it is"] for row in json.loads(shown.stdout)}
    assert rows[SUPERVISED + "ICaRL"] == "iCaRL Strategy."
    assert rows[SUPERVISED + "AETraining"].startswith("cannot be run: ")
    shown = CliRunner().invoke(app, ["list", "scenarios", "--avalanche", "--format", "markdown"])
    assert "avalanche.benchmarks.SplitMNIST" in shown.stdout
    refused = CliRunner().invoke(app, ["list", "models", "--avalanche"])
    assert isinstance(refused.exception, UserError)


def test_describe_says_what_the_run_gives_and_what_is_left() -> None:
    found = catalogue.description("strategy", SUPERVISED + "ICaRL")
    assert "The run gives it feature_extractor, classifier, optimizer, buffer_transform" in found.doc
    options = {one.key: one for one in found.options}
    assert [*options] == ["strategy.memory_size", "strategy.fixed_memory"]
    assert options["strategy.memory_size"].default == "500"
    assert re.search("saved in the memory", options["strategy.memory_size"].words)
    scenario = catalogue.description("scenario", "avalanche.benchmarks.SplitMNIST")
    assert {"scenario.n_experiences", "scenario.validation"} <= {one.key for one in scenario.options}


def test_features_and_network_share_weights_and_count() -> None:
    from clbench.engine.guest import Features, OneHead
    from clbench.models.network import Network

    network = Network(nn.Linear(3, 2), nn.Linear(2, 4))
    x = torch.randn(5, 3)
    features, one = Features(network), OneHead(network)
    assert torch.equal(one(x), network.classifier(features(x)))
    assert network.rows.count == 10
