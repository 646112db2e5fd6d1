"""What a scenario makes: a stream of tasks over one dataset, as indices and maps. No pixel is touched here."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Any, Literal, Protocol

import numpy as np
from annotated_types import Ge

from clbench.data.dataset import PARTS, Dataset, PartName
from clbench.errors import UserError
from clbench.registry import Count, Share

Incremental = Literal["task", "class", "domain"]


class Change(Protocol):
    """A fixed change of images that makes a task of its own, such as a permutation."""

    @property
    def description(self) -> bytes:
        """What the change is, for the stream's hash."""


@dataclass(frozen=True)
class Permutation:
    """Every image's pixels in a new order: position i takes the old pixel ``order[i]``; channels move together."""

    order: np.ndarray[Any, Any]

    @property
    def description(self) -> bytes:
        """The order itself."""
        return b"permutation" + self.order.astype("<i8").tobytes()


@dataclass(frozen=True)
class Rotation:
    """Every image turned counter-clockwise about its centre by ``degrees``, bilinear, black outside."""

    degrees: float

    @property
    def description(self) -> bytes:
        """The angle."""
        return f"rotation {self.degrees!r}".encode()


@dataclass(frozen=True)
class Task:
    """One task.

    ``train``, ``validation`` and ``test`` index the dataset's training and test images (validation images are
    training images that are held out). ``labels[c]`` is the label that the dataset's class c has in this task, −1 if
    the class does not occur; ``train_labels``, if given, are the labels of the dataset's training images one by one
    instead. ``head`` is the task identity given to a multi-head network: 0 unless task-incremental. A ``memorised``
    task is tested on its training images: there is nothing in its labels that others could share.
    """

    train: np.ndarray[Any, Any]
    test: np.ndarray[Any, Any]
    labels: np.ndarray[Any, Any]
    head: int = 0
    pixels: Change | None = None
    validation: np.ndarray[Any, Any] | None = None
    train_labels: np.ndarray[Any, Any] | None = None
    memorised: bool = False

    def scored(self, part: str) -> tuple[PartName, np.ndarray[Any, Any]]:
        """Return which images are scored, and their indices: test images or (``validation``) held-out training ones."""
        if part == "validation":
            assert self.validation is not None
            return "train", self.validation
        return ("train", self.train) if self.memorised else ("test", self.test)

    @property
    def classes(self) -> list[int]:
        """The labels that occur in this task."""
        return sorted({int(label) for label in self.labels if label >= 0})

    @property
    def source_classes(self) -> list[int]:
        """The dataset's classes that occur in this task."""
        return [int(c) for c in np.flatnonzero(self.labels >= 0)]


class Tasks(Sequence[Task]):
    """Tasks that are made when asked for and not kept, so that a stream of hundreds takes no more memory than one."""

    def __init__(self, count: int, make: Callable[[int], Task]) -> None:
        self._count = count
        self._make = make

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            raise TypeError("tasks are made one by one")
        if not -self._count <= index < self._count:
            raise IndexError(index)
        return self._make(index % self._count)


@dataclass(frozen=True)
class Request:
    """What a stream of two stages asks to be forgotten, as numbers of its tasks.

    The first stage trains on the tasks ``kept`` and ``removed``; the second has the training samples of ``kept`` and
    asks that those of ``removed`` be forgotten. ``removed`` is scored on its training samples, and so is the task
    ``known``, which are those of ``kept``. ``unseen``: the task that is scored on test samples like the removed ones,
    which no network was trained on.
    """

    kept: int
    removed: int
    known: int
    unseen: int


@dataclass(frozen=True)
class Stream:
    """Tasks in order. ``outputs`` is how many labels one head must tell apart, the largest where they differ.

    growing: stage t trains on the data of all tasks up to t; window: on the last so many up to t. common_test: all
    tasks have the same test images and labels, which are evaluated once. periods: tasks are periods in time, one after
    another. request: the last stage asks that training samples be forgotten; tasks that it does not name are scored
    alone. content: what its samples are, where that is not the dataset's to say: a benchmark's differ by seed.
    """

    tasks: Sequence[Task]
    outputs: int
    heads: int
    incremental: Incremental
    growing: bool = False
    common_test: bool = False
    window: int = 1
    periods: bool = False
    request: Request | None = None
    content: str = ""

    @property
    def stages(self) -> list[list[int]]:
        """Which tasks' data each stage trains on, unless the strategy has a say in it."""
        if self.request is not None:
            return [[self.request.kept, self.request.removed], [self.request.kept]]
        first = len(self.tasks) if self.growing else self.window
        return [list(range(max(task + 1 - first, 0), task + 1)) for task in range(len(self.tasks))]

    @property
    def tested(self) -> range:
        """The tasks that are evaluated: R has a column for each."""
        return range(1 if self.common_test else len(self.tasks))

    @cached_property
    def head_outputs(self) -> list[int]:
        """How many labels each head must tell apart: up to the highest of its tasks; ``outputs`` where there is one."""
        if self.heads == 1:
            return [self.outputs]
        found = [1] * self.heads
        for task in self.tasks:
            found[task.head] = max(found[task.head], max(task.classes, default=0) + 1)
        return found

    @cached_property
    def classes_return(self) -> bool:
        """Whether several tasks have samples of one class, told by its label: class-incremental, borders blurred."""
        if self.incremental != "class":
            return False
        found = [label for task in self.tasks for label in task.classes]
        return len(set(found)) < len(found)

    @cached_property
    def digest(self) -> str:
        """sha256 (16 hex digits) of everything that makes the stream: indices, label maps, pixel changes."""
        digest = hashlib.sha256(f"{self.outputs} {self.heads} {self.incremental}".encode())
        if self.growing or self.common_test:
            digest.update(f"growing {self.growing}, common test {self.common_test}".encode())
        if self.window > 1:
            digest.update(f"window {self.window}".encode())
        if self.periods:
            digest.update(b"periods")
        if self.request is not None:
            digest.update(f"{self.request}".encode())
        if self.content:
            digest.update(self.content.encode())
        for task in self.tasks:
            for array in (task.train, task.test, task.labels, task.validation):
                digest.update(b"-" if array is None else array.astype("<i8").tobytes())
            if task.train_labels is not None:
                digest.update(f"memorised {task.memorised}".encode() + task.train_labels.astype("<i8").tobytes())
            digest.update(f"{task.head}".encode() + (task.pixels.description if task.pixels else b"as it is"))
        return digest.hexdigest()[:16]


def whole(data: Dataset, classes: int | None) -> Stream:
    """Return a dataset, or its first so many classes, as a stream of one task."""
    count = classes or len(data.classes)
    labels = np.where(np.arange(len(data.classes)) < count, np.arange(len(data.classes)), -1)
    train, test = (data.rows(part, labels >= 0) for part in PARTS)
    return Stream([Task(train, test, labels)], outputs=count, heads=1, incremental="class")


def same_classes_stream(data: Dataset, tasks: int, pixels: Callable[[int], Change], incremental: Incremental) -> Stream:
    """Make a stream in which every task is the whole dataset with its pixels changed by ``pixels(task)``.

    domain: the labels stay the same. task: they stay the same and each task has its own head. class: task t's class c
    is label t·C + c.
    """
    classes = len(data.classes)
    everything = data.rows("train"), data.rows("test")

    def make(index: int) -> Task:
        return Task(
            *everything,
            labels=np.arange(classes) + (index * classes if incremental == "class" else 0),
            head=index if incremental == "task" else 0,
            pixels=pixels(index),
        )

    return Stream(
        Tasks(tasks, make),
        outputs=classes * tasks if incremental == "class" else classes,
        heads=tasks if incremental == "task" else 1,
        incremental=incremental,
    )


def check_filled(stream: Stream, data: Dataset, part: str) -> None:
    """Raise UserError for a task that has no training samples, or is tested and has none that are scored.

    A class that has only one of the two does no harm where its task has others.
    """
    for index, task in enumerate(stream.tasks):
        empty = "training" if not len(task.train) else None
        if index in stream.tested and not len(task.scored(part)[1]):
            empty = "test" if part == "test" else part
        if empty is not None:
            names = ", ".join(data.classes[c] for c in task.source_classes[:5])
            raise UserError(
                f"scenario: task {index + 1} of {len(stream.tasks)} has no {empty} samples; its classes are {names}"
                f"{', …' if len(task.source_classes) > 5 else ''}. Add some to '{data.name}', leave these classes out "
                "of it, or change how classes are divided (scenario.tasks)."
            )


def common_options(
    *,
    samples_per_task: Count | None = None,
    validation: Share = 0.0,
    image_size: Count | None = None,
    normalisation: Literal["standard", "unit", "none"] = "standard",
    skip: Annotated[int, Ge(0)] = 0,
    keep: Count | None = None,
) -> None:
    """Declare the options that every scenario has beside its own; the engine applies them.

    samples_per_task: train on at most so many images of each task, drawn by seed (default: all).
    validation: share of each task's training images that is held out; 'evaluate: validation' scores on them.
    image_size: scale images to a square of so many pixels (default: as they are).
    normalisation: 'standard' (zero mean and unit variance over the dataset's training images, per channel),
    'unit' (0 to 1) or 'none' (0 to 255).
    skip, keep: leave out the first 'skip' tasks, then all but the first 'keep' of the rest (default: none), so that
    settings can be chosen on some tasks and scored on others.
    """


def stretch(stream: Stream, skip: int, keep: int | None) -> Stream:
    """Return the stream's tasks from ``skip`` on, at most ``keep`` of them, with labels and heads counted anew.

    Raises UserError if no task is left.
    """
    if skip == 0 and keep is None:
        return stream
    _whole_requests(stream, "scenario.skip and scenario.keep")
    chosen = range(len(stream.tasks))[skip:][:keep]
    if not chosen:
        raise UserError(f"scenario.skip: {skip} leaves none of {len(stream.tasks)} tasks. Choose a smaller number.")
    tasks = [stream.tasks[index] for index in chosen]
    heads = sorted({task.head for task in tasks})
    outputs, places = stream.outputs, np.arange(stream.outputs)
    if stream.incremental == "class":
        labels = sorted({label for task in tasks for label in task.classes})
        outputs = len(labels)
        places = np.full(stream.outputs, -1)
        places[labels] = np.arange(outputs)

    def make(index: int) -> Task:
        task = stream.tasks[chosen[index]]
        known = np.where(task.labels >= 0, places[task.labels], -1)
        own = None if task.train_labels is None else places[task.train_labels]
        return replace(task, labels=known, train_labels=own, head=heads.index(task.head))

    count = len(heads) if stream.heads > 1 else 1
    return replace(stream, tasks=Tasks(len(chosen), make), outputs=outputs, heads=count)


def _whole_requests(stream: Stream, keys: str) -> None:
    """Refuse to cut a stream whose last stage asks that some of its samples be forgotten."""
    if stream.request is not None:
        raise UserError(
            f"{keys}: a stream that asks for forgetting is scored on the very samples that it removes and keeps, so it "
            "has no tasks to leave out and no images to hold out. Leave them out; scenario.images takes fewer images."
        )


def with_common_options(stream: Stream, seed: int, samples_per_task: int | None, validation: float) -> Stream:
    """Hold out the validation share of each task, then keep at most ``samples_per_task`` of the rest.

    Raises UserError if a task is left without training images, or its validation share is empty.
    """

    def chosen(index: int) -> Task:
        task = stream.tasks[index]
        order = np.random.default_rng([seed, index, 1]).permutation(len(task.train))
        held_out = round(validation * len(order))
        if validation > 0 and not 0 < held_out < len(order):
            raise UserError(
                f"scenario.validation: a share of {validation} of task {index + 1}'s {len(order)} training images "
                "leaves nothing on one side. Choose another share."
            )
        kept = order[held_out:][:samples_per_task]
        return replace(
            task,
            train=task.train[np.sort(kept)],
            validation=task.train[np.sort(order[:held_out])] if held_out else None,
        )

    if samples_per_task is None and validation == 0:
        return stream
    _whole_requests(stream, "scenario.samples_per_task and scenario.validation")
    for index in range(len(stream.tasks)) if validation > 0 else ():
        chosen(index)  # so that a wrong share is found before training
    return replace(stream, tasks=Tasks(len(stream.tasks), chosen))
