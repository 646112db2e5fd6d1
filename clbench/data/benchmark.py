"""A resident stream as an Avalanche benchmark, so that Avalanche's templates, plugins and loggers understand it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from clbench.avalanche import CLExperience, CLScenario, EagerCLStream, make_classification_dataset
from clbench.data.tensors import ResidentStream, TaskData


class ResidentExperience(CLExperience):
    """One experience over resident tensors.

    ``data`` is what the engine and our strategies use; ``dataset`` is the same as an AvalancheDataset, made only if
    somebody else's plugin asks for it. ``fresh``: how many of its tasks no earlier experience has had, and at least 1;
    a budget of steps is for each of them. ``again``: how many of its samples the stream itself showed in an earlier
    stage alone, so that whoever trains on them has kept them. ``removed``: samples of earlier stages that the
    experience asks to be forgotten, None if it asks for nothing.
    """

    def __init__(
        self,
        index: int,
        tasks: Sequence[int],
        make_data: Callable[[], TaskData],
        classes: Sequence[Sequence[int]],
        heads: Sequence[int],
        fresh: int = 1,
        again: int = 0,
        make_removed: Callable[[], TaskData] | None = None,
    ) -> None:
        super().__init__(current_experience=index, origin_stream=None)
        self.tasks = list(tasks)
        self.fresh = max(fresh, 1)
        self.again = again
        self.task_labels = sorted(set(heads))
        self.classes_in_this_experience = sorted({c for task in tasks for c in classes[task]})
        self._classes = classes
        self._make_data = make_data
        self._make_removed = make_removed

    @cached_property
    def previous_classes(self) -> list[int]:
        """Classes of the tasks before this experience's first."""
        return sorted({c for task in range(min(self.tasks)) for c in self._classes[task]})

    @cached_property
    def classes_seen_so_far(self) -> list[int]:
        """Those and this experience's own."""
        return sorted({*self.previous_classes, *self.classes_in_this_experience})

    @cached_property
    def future_classes(self) -> list[int]:
        """Classes that have not been seen yet."""
        return sorted({c for known in self._classes for c in known} - {*self.classes_seen_so_far})

    @property
    def task_label(self) -> int:
        """The single task label, for plugins that expect one."""
        return int(self.task_labels[0])

    @property
    def benchmark(self) -> SimpleNamespace:
        """What Avalanche's iCaRL asks of the whole benchmark: how many classes each experience has, and in which order.

        As if each task had an experience of its own.
        """
        sizes, order = [len(known) for known in self._classes], [c for known in self._classes for c in known]
        return SimpleNamespace(n_classes_per_exp=sizes, classes_order=order)

    @cached_property
    def data(self) -> TaskData:
        """The samples, on the device."""
        return self._make_data()

    @cached_property
    def removed(self) -> TaskData | None:
        """The samples to be forgotten, on the device."""
        return None if self._make_removed is None else self._make_removed()

    def release(self) -> None:
        """Forget the tensors; they are made again when asked for."""
        for made in ("data", "removed", "dataset"):
            self.__dict__.pop(made, None)

    @cached_property
    def dataset(self) -> Any:
        """The samples as an AvalancheDataset of (input, label, task label)."""
        data = self.data
        # One number where it is the same for all, so that Avalanche can join it with datasets of its own.
        heads = data.heads.tolist() if data.head is None else data.head
        return make_classification_dataset(_Samples(data), targets=data.labels.tolist(), task_labels=heads)


class _Samples(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """Single samples of a TaskData, for Avalanche's own loaders."""

    def __init__(self, data: TaskData) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.data.inputs(self.data.samples[index]), int(self.data.labels[index])


def make_benchmark(resident: ResidentStream, stages: Sequence[Sequence[int]], part: str) -> CLScenario:
    """Return an Avalanche benchmark.

    Its train stream has one experience per stage, with the data of that stage's tasks; its test stream has one per
    task that is tested, over the test data or (``part="validation"``) the held-out training data. Where the stream asks
    for something to be forgotten, each of its stages has one budget of steps.
    """
    known = [(task.classes, task.head) for task in resident.stream.tasks]
    classes, heads = [one[0] for one in known], [one[1] for one in known]

    def training(stage: Sequence[int]) -> Callable[[], TaskData]:
        return lambda: TaskData.concat([resident.train(task) for task in stage])

    def evaluation(task: int) -> Callable[[], TaskData]:
        return lambda: resident.evaluation(task, part)

    train, seen = [], set[int]()
    before, request = kept_for(stages, resident.stream.stages), resident.stream.request
    for index, stage in enumerate(stages):
        own, fresh = [heads[task] for task in stage], 1 if request else len({*stage} - seen)
        again = sum(len(resident.stream.tasks[task].train) for task in before[index])
        removed = training([request.removed]) if request and index else None
        train.append(ResidentExperience(index, stage, training(stage), classes, own, fresh, again, removed))
        seen |= {*stage}
    test = [
        ResidentExperience(task, [task], evaluation(task), classes, [heads[task]]) for task in resident.stream.tested
    ]
    return CLScenario([EagerCLStream("train", train), EagerCLStream("test", test)])


def kept_for(stages: Sequence[Sequence[int]], own: Sequence[Sequence[int]]) -> list[list[int]]:
    """Say which tasks each stage can only use because somebody has kept their data, given the stream's own stages.

    The latest of the stage's tasks says how far the stream has come; what it shows there is there for everybody, as
    growing streams show all. Joint training over five tasks has to keep four until the fifth comes.
    """
    arrival: dict[int, int] = {}
    for place, stage in enumerate(own):
        for task in stage:
            arrival.setdefault(task, place)
    found = []
    for stage in stages:
        there = {*own[max(arrival[task] for task in stage)]}
        found.append([task for task in stage if task not in there])
    return found


def forget(benchmark: CLScenario) -> None:
    """Let go of a finished run's data at once.

    Avalanche's streams, experiences and scenario hold each other; what they hold besides would stay until the garbage
    collector comes round, and a search runs hundreds of configurations in one process.
    """
    for stream in benchmark.streams.values():
        for experience in stream:
            experience.release()
            experience._make_data = _forgotten
            experience._make_removed = None


def _forgotten() -> TaskData:
    raise RuntimeError("the run is over and its data are gone")
