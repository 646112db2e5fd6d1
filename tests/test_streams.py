"""Scenarios as streams, tasks as tensors, pixel changes and augmentation."""

from __future__ import annotations

import re
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clbench import registry
from clbench.config import resolve
from clbench.data.augment import PADDING, Augment
from clbench.data.benchmark import make_benchmark
from clbench.data.dataset import Dataset
from clbench.data.known import scenario_names
from clbench.data.streams import Permutation, Rotation, stretch, with_common_options
from clbench.data.tensors import BatchLoader, ResidentStream, TaskData, changed
from clbench.errors import UserError
from tests.helpers import make_stream as make
from tests.helpers import task_data

ALL = sorted(name for name, one in registry.scenario.listed.items() if one.data in ("any", "images"))
# Those of as many tasks as one likes; the others: test_removal.py.
FAMILIES = [name for name in ALL if "tasks" in {option.name for option in registry.scenario.listed[name].options}]
KINDS = ["task", "class", "domain"]


@pytest.mark.parametrize("family", ALL)
def test_contract(family: str, digits: Dataset) -> None:
    declared = registry.scenario.load(family)
    assert declared.version >= 1
    assert "*" in declared.attributes["recipes"], "a recipe for any dataset"
    assert re.search(r"arXiv:\d{4}\.\d{4,5}", registry.scenario.listed[family].doc)
    assert make(family, digits).digest == make(family, digits).digest
    assert family not in FAMILIES or len(make(family, digits, tasks=2).tasks) == 2


@pytest.mark.parametrize(
    ("family", "source"), [*scenario_names(registry.scenario.listed), *((family, "some-folder") for family in ALL)]
)
def test_every_recipe_resolves(family: str, source: str) -> None:
    (config,) = resolve({"strategy": "naive", "scenario": f"{family}-{source}"})
    assert config.epochs or config.until_train_accuracy
    assert config.scenario["name"] == f"{family}-{source}"


INCREMENTAL = [name for name in FAMILIES if "incremental" in registry.scenario.load(name).schema.model_fields]


@pytest.mark.parametrize("family", FAMILIES)
def test_labels_are_those_that_the_tasks_name(family: str, digits: Dataset) -> None:
    stream = make(family, digits, tasks=5)
    resident = ResidentStream(stream, digits, torch.device("cpu"), "unit")
    for index, task in enumerate(stream.tasks):
        trained, tested = (
            {*part.labels.tolist()} for part in (resident.train(index), resident.evaluation(index, "test"))
        )
        assert sorted(trained) == task.classes
        assert tested == trained or (stream.classes_return and tested < trained)
        assert max(task.classes) < stream.outputs


@pytest.mark.parametrize("family", INCREMENTAL)
@pytest.mark.parametrize("kind", KINDS)
def test_labels_heads_and_outputs_fit(family: str, kind: Any, digits: Dataset) -> None:
    stream = make(family, digits, tasks=5, incremental=kind)
    assert stream.heads == (5 if kind == "task" else 1)
    for index, task in enumerate(stream.tasks):
        assert task.head == (index if kind == "task" else 0)
        labels = task.labels[digits.train_labels[task.train]]
        assert labels.min() >= 0
        assert sorted(set(labels.tolist())) == task.classes
        assert max(task.classes) < stream.outputs
    if kind == "class":
        everything = [c for task in stream.tasks for c in task.classes]
        assert sorted(everything) == list(range(stream.outputs)), "every class belongs to one task"


def test_warm_start_deals_chunks_without_overlap(digits: Dataset) -> None:
    stream = make("warm-start", digits, tasks=4, chunk_size=100)
    assert stream.stages == [[0], [0, 1], [0, 1, 2], [0, 1, 2, 3]]
    assert list(stream.tested) == [0]
    dealt = np.concatenate([task.train for task in stream.tasks])
    assert len(set(dealt.tolist())) == 400
    assert make("warm-start", digits, 1, tasks=4, chunk_size=100).digest != stream.digest
    with pytest.raises(UserError, match=r"4 chunks of 500 images are more than the 1,442.*at most 360"):
        make("warm-start", digits, tasks=4, chunk_size=500)


def test_label_noise_hits_its_share_and_never_the_test(digits: Dataset) -> None:
    stream = make("warm-start", digits, tasks=2, label_noise=0.25)
    resident = ResidentStream(stream, digits, torch.device("cpu"), "unit")
    true = [torch.from_numpy(digits.train_labels[task.train]) for task in stream.tasks]
    wrong = sum(int((resident.train(i).labels != labels).sum()) for i, labels in enumerate(true))
    assert wrong == round(0.25 * len(digits.train_labels))
    assert torch.equal(resident.evaluation(0, "test").labels, torch.from_numpy(np.array(digits.test_labels)))


def test_class_drip_keeps_the_old_classes(digits: Dataset) -> None:
    stream = make("class-drip", digits, tasks=5)
    assert stream.stages[-1] == [0, 1, 2, 3, 4]
    assert (stream.outputs, stream.heads) == (10, 1)
    assert sorted(c for task in stream.tasks for c in task.source_classes) == list(range(10))


def test_continual_deals_every_class_once_a_round(digits: Dataset) -> None:
    stream = make("continual", digits, tasks=10)
    for start in (0, 5):
        assert sorted(c for t in range(start, start + 5) for c in stream.tasks[t].source_classes) == list(range(10))
    assert [stream.tasks[t].source_classes for t in range(5)] != [stream.tasks[t].source_classes for t in range(5, 10)]
    with pytest.raises(UserError, match="has 10 classes, fewer than 11"):
        make("continual", digits, classes=11)


def test_random_labels_are_new_for_each_task_on_the_same_images(digits: Dataset) -> None:
    stream = make("random-label", digits, tasks=3, images=300, last_task="true")
    resident = ResidentStream(stream, digits, torch.device("cpu"), "unit")
    first, second, last = (resident.train(task) for task in range(3))
    assert torch.equal(first.samples, second.samples)
    assert 0.8 < float((first.labels != second.labels).float().mean()) < 0.97  # 9 of 10 by chance
    assert torch.equal(resident.evaluation(1, "test").labels, second.labels), "tested on what it memorises"
    assert torch.equal(last.labels, torch.from_numpy(digits.train_labels[stream.tasks[2].train]))
    assert len(resident.evaluation(2, "test")) == len(digits.test_labels)
    with pytest.raises(UserError, match="fewer than 2,000"):
        make("random-label", digits, images=2000)


@pytest.mark.parametrize("family", ["permuted", "random-label", "continual"])
def test_long_streams_hold_no_tasks(family: str, digits: Dataset) -> None:
    """What is reachable from a stream of 800 tasks takes no more memory than from one of 2."""
    import tracemalloc

    sizes = []
    for tasks in (2, 800):
        tracemalloc.start()
        stream = with_common_options(make(family, digits, tasks=tasks), 0, samples_per_task=100, validation=0.0)
        assert len({len(task.train) for task in stream.tasks}) == 1
        sizes.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
    assert sizes[1] < sizes[0] + 20_000


def test_split_divides_images_without_overlap(digits: Dataset) -> None:
    stream = make("split", digits, class_order="fixed")
    together = np.concatenate([task.train for task in stream.tasks])
    assert sorted(together.tolist()) == list(range(len(digits.train_labels)))
    assert [task.source_classes for task in stream.tasks] == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]


def test_random_class_order_depends_on_the_seed_alone(digits: Dataset) -> None:
    orders = [[t.source_classes for t in make("split", digits, seed).tasks] for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


def test_a_first_task_in_the_datasets_order_and_the_others_by_seed(digits: Dataset) -> None:
    options = {"first": 4, "then": 2, "class_order": "first-fixed", "tasks": None}
    orders = [[t.source_classes for t in make("split", digits, seed, **options).tasks] for seed in (0, 0, 1, 2)]
    assert all(order[0] == [0, 1, 2, 3] for order in orders)
    assert all(sorted(chain(*order[1:])) == [4, 5, 6, 7, 8, 9] for order in orders)
    assert orders[0] == orders[1] != orders[2] != orders[3]
    with pytest.raises(UserError, match="first-fixed needs a first task"):
        make("blurry", digits, class_order="first-fixed")


def test_coarse_class_order_keeps_superclasses_together(digits: Dataset) -> None:
    from dataclasses import replace

    odd_and_even = replace(digits, coarse=[c % 2 for c in range(10)])
    stream = make("split", odd_and_even, tasks=2, class_order="coarse")
    assert [task.source_classes for task in stream.tasks] == [[0, 2, 4, 6, 8], [1, 3, 5, 7, 9]]
    with pytest.raises(UserError, match="no superclasses"):
        make("split", digits, class_order="coarse")


def test_common_options(digits: Dataset) -> None:
    stream = with_common_options(make("split", digits), 0, samples_per_task=40, validation=0.25)
    for task in stream.tasks:
        assert task.validation is not None
        assert len(task.train) == 40
        assert not set(task.train.tolist()) & set(task.validation.tolist())
    assert len(stream.tasks[0].validation if stream.tasks[0].validation is not None else []) == round(0.25 * 289)
    with pytest.raises(UserError, match="validation"):
        with_common_options(make("split", digits), 0, None, validation=0.0001)


def test_permutation_moves_pixels_of_all_channels_alike() -> None:
    images = torch.arange(2 * 3 * 2 * 2, dtype=torch.uint8).reshape(2, 3, 2, 2)
    order = np.array([2, 0, 3, 1])
    moved = changed(images, Permutation(order))
    assert torch.equal(moved.flatten(2), images.flatten(2)[:, :, order])


def test_rotation_by_a_quarter_turn_is_exact() -> None:
    images = torch.randint(0, 256, (3, 2, 5, 5), dtype=torch.uint8)
    assert torch.equal(changed(images, Rotation(90.0)), images.rot90(1, (2, 3)))
    assert torch.equal(changed(images, Rotation(0.0)), images)


def test_rotation_of_an_oblong_image_keeps_its_centre() -> None:
    images = torch.zeros(1, 1, 5, 9, dtype=torch.uint8)
    images[0, 0, 2, 5] = 200  # one to the right of the centre
    turned = changed(images, Rotation(90.0))
    assert turned[0, 0, 1, 4] == 200, "counter-clockwise: now one above"


@pytest.mark.parametrize(("kind", "low", "high"), [("unit", 0.0, 1.0), ("none", 0.0, 255.0)])
def test_normalisation(kind: str, low: float, high: float, digits: Dataset) -> None:
    resident = ResidentStream(make("split", digits), digits, torch.device("cpu"), kind)
    data = resident.train(0)
    x = data.inputs(data.samples)
    assert (float(x.min()), float(x.max())) == (low, high)


def test_standard_normalisation_has_mean_0_and_variance_1(digits: Dataset) -> None:
    resident = ResidentStream(make("permuted", digits, tasks=1), digits, torch.device("cpu"), "standard")
    data = resident.train(0)
    x = data.inputs(data.samples)
    assert float(x.mean()) == pytest.approx(0, abs=1e-5)
    assert float(x.std()) == pytest.approx(1, abs=1e-3)


def some(n: int = 10, head: int | None = 0) -> TaskData:
    return task_data(torch.arange(n, dtype=torch.uint8).reshape(n, 1, 1, 1), torch.arange(n), head)


def test_loader_visits_every_sample_once_per_epoch_in_a_new_order() -> None:
    loader = BatchLoader(some(), 4, torch.Generator().manual_seed(0))
    epochs = [torch.cat([labels for _, labels, _ in loader]).tolist() for _ in range(2)]
    assert len(loader) == 3
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(10))
    assert epochs[0] != epochs[1]
    for x, labels, heads in loader:
        assert torch.equal(x.flatten(), labels.float()), "images and labels stay together"
        assert len(heads) == len(labels)


@pytest.mark.parametrize(("n", "sizes"), [(9, [4, 5]), (8, [4, 4]), (10, [4, 4, 2]), (1, [1]), (4, [4]), (5, [5])])
@pytest.mark.parametrize("shuffled", [True, False])
def test_a_last_batch_of_one_joins_the_one_before(n: int, sizes: list[int], shuffled: bool) -> None:
    loader = BatchLoader(some(n), 4, torch.Generator() if shuffled else None)
    assert [len(labels) for _, labels, _ in loader] == sizes
    assert len(loader) == len(sizes)


def test_batches_come_as_often_as_they_are_trained_on() -> None:
    once, thrice = (BatchLoader(some(), 4, torch.Generator().manual_seed(0), None, n) for n in (1, 3))
    batches, updates = [labels.tolist() for _, labels, _ in once], []
    repeated = []
    for _, labels, _ in thrice:
        repeated.append(labels.tolist())
        updates.append(thrice.update)
    assert repeated == [batch for batch in batches for _ in range(3)]
    assert updates == [0, 1, 2] * 3
    assert len(thrice) == 9
    assert thrice.sizes() == [4, 4, 4, 4, 4, 4, 2, 2, 2]


def test_batches_of_one_stay() -> None:
    assert [len(labels) for _, labels, _ in BatchLoader(some(3), 1)] == [1, 1, 1]


def test_concatenated_tasks_know_that_their_heads_differ() -> None:
    one, other = some(3, 0), some(3, 1)
    assert TaskData.concat([one, one]).head == 0
    assert TaskData.concat([one, other]).head is None


def test_evaluation_data_are_kept_only_while_there_is_room(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clbench.data.tensors.KEPT_BYTES", 50_000)
    resident = ResidentStream(make("permuted", digits, tasks=10), digits, torch.device("cpu"), "unit")
    for task in range(10):
        resident.evaluation(task, "test")
    assert len(resident._kept) == 50_000 // (355 * 64)
    assert torch.equal(resident.evaluation(9, "test").samples, resident.evaluation(9, "test").samples)


def test_avalanche_sees_a_benchmark(digits: Dataset) -> None:
    resident = ResidentStream(make("split", digits), digits, torch.device("cpu"), "unit")
    benchmark = make_benchmark(resident, [[0], [1], [2], [3], [4]], "test")
    experience = benchmark.streams["train"][1]
    assert experience.classes_in_this_experience == [0, 1]
    assert experience.task_labels == [1]
    x, label, task = experience.dataset[0]
    assert torch.equal(x, experience.data.inputs(experience.data.samples[0]))
    assert (label, task) == (int(experience.data.labels[0]), 1)
    assert len(benchmark.streams["test"]) == 5


@given(st.integers(1, 5), st.booleans(), st.booleans(), st.integers(0, 1000))
def test_augmented_images_are_windows_of_the_padded_original(n: int, flip: bool, crop: bool, seed: int) -> None:
    images = torch.randint(1, 256, (n, 2, 6, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    found = Augment(flip, crop, torch.Generator().manual_seed(seed))(images)
    assert found.shape == images.shape
    for image, result in zip(images, found, strict=True):
        candidates = [image] + ([image.flip(-1)] if flip else [])
        windows = []
        for candidate in candidates:
            padded = torch.nn.functional.pad(candidate, [PADDING] * 4)
            shifts = range(2 * PADDING + 1) if crop else [PADDING]
            windows += [padded[:, r : r + 6, c : c + 7] for r in shifts for c in shifts]
        assert any(torch.equal(result, window) for window in windows)


def test_augmentation_draws_for_each_image() -> None:
    images = torch.arange(1, 65, dtype=torch.uint8).reshape(1, 1, 8, 8).expand(50, 1, 8, 8)
    found = Augment(True, True, torch.Generator().manual_seed(0))(images)
    assert len({tuple(image.flatten().tolist()) for image in found}) > 20


def test_scenario_files_import_no_torch() -> None:
    for listed in registry.scenario.listed.values():
        assert "import torch" not in Path(listed.file).read_text()


@pytest.mark.parametrize("kind", ["task", "class", "domain"])
def test_a_stretch_of_a_stream_counts_labels_and_heads_anew(kind: str, digits: Dataset) -> None:
    whole = make("split", digits, incremental=kind)
    part = stretch(whole, 2, 2)
    assert len(part.tasks) == 2
    for index, task in enumerate(part.tasks):
        assert task.source_classes == whole.tasks[index + 2].source_classes
        assert np.array_equal(task.train, whole.tasks[index + 2].train)
        assert task.classes == ([2 * index, 2 * index + 1] if kind == "class" else [0, 1])
        assert task.head == (index if kind == "task" else 0)
    assert (part.outputs, part.heads) == (4 if kind == "class" else 2, 2 if kind == "task" else 1)
    assert stretch(whole, 0, None) is whole
    with pytest.raises(UserError, match="leaves none of 5 tasks"):
        stretch(whole, 5, None)
