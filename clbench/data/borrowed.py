"""A benchmark of Avalanche's, or one that somebody's function returns, as a dataset and a stream over it."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from clbench.data import cache
from clbench.data.arrays import dataset_of
from clbench.data.dataset import Array, Dataset, Part, Raw
from clbench.data.sources import DataPlace
from clbench.data.streams import Incremental, Stream, Task
from clbench.errors import UserError, in_words
from clbench.registry.foreign import unconnected
from clbench.registry.guests import OF_BENCHMARKS, ROOT

NEAR = 1e-3  # of a grey level: pixels that are so near to whole levels were whole before somebody divided them by 255
LEVELS = 255


@dataclass(frozen=True)
class _Experience:
    """Samples [n, …], uint8 or float32, their labels int64 [n], and the task label that all of them share."""

    samples: torch.Tensor
    labels: Array
    task: int


def borrowed(
    name: str, make: Callable[..., Any], options: Mapping[str, Any], seed: int, place: DataPlace, image_size: int | None
) -> tuple[Dataset, Stream]:
    """Make a benchmark and read all of it once: a task for each experience of its streams ``train`` and ``test``.

    Of what the function asks for, the run's seed and data root are given, and transforms that leave images as they
    are: pixels that are whole grey levels are kept as uint8 and normalised as every dataset's are. Task labels that
    differ make a task-incremental stream with the labels of each head counted from 0; else the same classes everywhere
    make a domain-incremental one. One test experience for all tasks is a common test. Nothing is downloaded where
    ``place`` is offline. Raises UserError for a benchmark that cannot be made or does not fit.
    """
    benchmark = _made(name, make, options, seed, place)
    train, test = _read(name, benchmark, "train"), _read(name, benchmark, "test")
    if len(test) not in (1, len(train)):
        raise UserError(
            f"scenario '{name}' has {len(train)} experiences to train on and {len(test)} to test. Expected one test "
            "for each, or one for all: wrap it in a function of your own that returns such a benchmark."
        )
    classes = _classes(train)
    learnt, tested = ([classes.numbers(name, one) for one in part] for part in (train, test))
    whole = not any(one.samples.is_floating_point() for one in (*train, *test))
    raw = Raw(_part(train, learnt, whole), _part(test, tested, whole), classes.names, official=None)
    data = dataset_of(name, raw) if image_size is None else cache.scaled(name, raw, image_size)
    # Seeds may differ in every sample: what the dataset is is told by what it was made of, the rest by the stream.
    source = json.dumps([name, options, data.shape, len(data.train_labels), len(data.test_labels)], sort_keys=True)
    known = replace(data, official=None, fingerprint=hashlib.sha256(source.encode()).hexdigest())
    return known, replace(_stream(train, learnt, tested, classes), content=data.fingerprint)


def _made(name: str, make: Callable[..., Any], options: Mapping[str, Any], seed: int, place: DataPlace) -> Any:
    given: dict[str, Any] = {}
    for parameter in inspect.signature(make).parameters:
        if parameter in OF_BENCHMARKS:
            given[parameter] = seed if parameter == "seed" else _as_it_is
        elif parameter.startswith(ROOT):
            given[parameter] = place.root
    try:
        with unconnected(free=not place.offline):
            benchmark = make(**given, **options)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"scenario '{name}' cannot be made: {in_words(error)}. Its data are looked for under {place.root} "
            f"(--data-root or $CLBENCH_DATA){'; downloads are off' if place.offline else ''}. Its options are set with "
            "--set scenario.…=…"
        ) from None
    if not all(hasattr(benchmark, f"{one}_stream") for one in ("train", "test")):
        raise UserError(
            f"scenario '{name}' is a {type(benchmark).__name__}, no benchmark of Avalanche's: it has no train_stream "
            "and test_stream. Name a function that returns one, for instance avalanche.benchmarks.SplitMNIST."
        )
    return benchmark


def _as_it_is(image: Any) -> torch.Tensor:
    """An image as a tensor: one of Pillow's as uint8 [channels, height, width], a tensor as it is."""
    if isinstance(image, torch.Tensor):
        return image
    array = np.asarray(image)
    planes = array[None] if array.ndim == 2 else array.transpose(2, 0, 1) if array.ndim == 3 else array
    return torch.from_numpy(np.ascontiguousarray(planes))


def _read(name: str, benchmark: Any, part: str) -> list[_Experience]:
    found = []
    for place, experience in enumerate(getattr(benchmark, f"{part}_stream"), start=1):
        where = f"scenario '{name}', {part} experience {place}"
        samples, labels = [], []
        tasks = {int(one) for one in getattr(experience, "task_labels", [0])}
        for sample, label, *_ in experience.dataset:
            samples.append(_as_it_is(sample))
            labels.append(int(label))
        if len({tuple(sample.shape) for sample in samples}) != 1:
            raise UserError(
                f"{where}: expected samples of one shape. Give the benchmark a transform that makes them so."
            )
        if len(tasks) > 1:
            raise UserError(f"{where} has samples of several tasks. Expected one task label in each experience.")
        found.append(_Experience(_compact(torch.stack(samples)), np.array(labels, np.int64), *tasks))
    return found


def _compact(samples: torch.Tensor) -> torch.Tensor:
    """Images whose pixels are whole grey levels as uint8; all else as float32."""
    if samples.dtype == torch.uint8:
        return samples
    samples = samples.float()
    if samples.dim() == 4 and samples.min() >= 0 and samples.max() <= 1:
        levels = (samples * LEVELS).round()
        if (samples * LEVELS - levels).abs().max() < NEAR:
            return levels.to(torch.uint8)
    return samples


@dataclass(frozen=True)
class _Classes:
    """The classes of a benchmark, as (task label, label): those of a task-incremental one are each task's own."""

    keys: list[tuple[int, int]]
    incremental: Incremental

    def numbers(self, name: str, one: _Experience) -> Array:
        """Return the number of each sample's class; UserError for one that no experience trains on."""
        place = {key: number for number, key in enumerate(self.keys)}
        task = one.task if self.incremental == "task" else self.keys[0][0]
        labels, of_label = np.unique(one.labels, return_inverse=True)
        unknown = [int(label) for label in labels if (task, int(label)) not in place]
        if unknown:
            raise UserError(
                f"scenario '{name}': its test has samples of class {unknown[0]}, which no experience trains on. Leave "
                "them out of the benchmark."
            )
        found: Array = np.array([place[task, int(label)] for label in labels], np.int64)[of_label]
        return found

    @property
    def names(self) -> list[str]:
        """What the classes are called."""
        return [f"{task}/{label}" if self.incremental == "task" else str(label) for task, label in self.keys]

    @property
    def heads(self) -> list[int]:
        """The task labels, in order."""
        return sorted({task for task, _ in self.keys})

    @property
    def labels(self) -> Array:
        """The label of each class, counted from 0 within its head."""
        of_head = {head: [label for task, label in self.keys if task == head] for head in self.heads}
        return np.array([of_head[task].index(label) for task, label in self.keys])


def _classes(train: Sequence[_Experience]) -> _Classes:
    if len({one.task for one in train}) > 1:
        return _Classes(sorted({(one.task, int(label)) for one in train for label in np.unique(one.labels)}), "task")
    known = [frozenset(one.labels.tolist()) for one in train]
    alike = len(known) > 1 and len(set(known)) == 1
    keys = [(train[0].task, label) for label in sorted(frozenset().union(*known))]
    return _Classes(keys, "domain" if alike else "class")


def _part(experiences: Sequence[_Experience], numbers: Sequence[Array], whole: bool) -> Part:
    """All experiences one behind the other; as grey levels if those of both parts are ``whole``."""
    samples = [one.samples if whole or one.samples.is_floating_point() else one.samples / LEVELS for one in experiences]
    return Part(torch.cat(samples).numpy(), np.concatenate(numbers))


def _stream(train: Sequence[_Experience], learnt: Sequence[Array], tests: Sequence[Array], classes: _Classes) -> Stream:
    """The experiences as tasks. Of one test for all each gets the classes that are new in it, where each has some."""
    starts = _stretches(learnt)
    held_out, common = _stretches(tests), False
    if len(tests) == 1 < len(train):
        held_out = _by_new_classes(learnt, tests[0])
        common = classes.incremental != "class" or not all(map(len, held_out))
        held_out = [np.arange(len(tests[0]))] * len(train) if common else held_out
    everything = np.concatenate(tests)
    tasks = []
    for one, numbers, own, tested in zip(train, learnt, starts, held_out, strict=True):
        known = np.union1d(numbers, everything[tested])
        labels = np.where(np.isin(np.arange(len(classes.keys)), known), classes.labels, -1)
        tasks.append(Task(own, tested, labels, classes.heads.index(one.task) if len(classes.heads) > 1 else 0))
    return Stream(tasks, int(classes.labels.max()) + 1, len(classes.heads), classes.incremental, common_test=common)


def _stretches(parts: Sequence[Array]) -> list[Array]:
    """Indices of each part's samples, all parts one behind the other."""
    ends = np.cumsum([len(one) for one in parts])
    return [np.arange(end - len(one), end) for end, one in zip(ends, parts, strict=True)]


def _by_new_classes(learnt: Sequence[Array], test: Array) -> list[Array]:
    """Of each experience, where the test samples are whose class it is the first to train on."""
    seen: set[int] = set()
    found = []
    for numbers in learnt:
        new = {*numbers.tolist()} - seen
        seen |= new
        found.append(np.flatnonzero(np.isin(test, sorted(new))))
    return found
