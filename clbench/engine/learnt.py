"""Whether a run's network has learnt anything: pure functions of its last answers, for ``Result.warnings``.

What is told is meant to be true of every run that it is told of. Forgetting is not a collapse, however complete:
a network that knows its last task has learnt. Nor is it one if a network keeps its first task and learns no other.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from clbench.data.dataset import Dataset
from clbench.data.streams import Task

Z = 2.33  # of one-sided 99 %: what luck alone would exceed in one of a hundred runs


@dataclass(frozen=True)
class Column:
    """A column of R: the task's head, how many of its scored images have each label, whether the last stage trained on
    it, and how many outputs the head has.
    """

    head: int
    labels: dict[int, int]
    last: bool
    outputs: int

    @property
    def images(self) -> int:
        """Number of scored images."""
        return sum(self.labels.values())


def column_of(task: Task, data: Dataset, part: str, last: bool, outputs: int) -> Column:
    """Return what is known of a task's scored images: test images, or (part 'validation') held-out ones."""
    images, index = task.scored(part)
    if images == "train" and task.train_labels is not None:
        found = task.train_labels[index]
    else:
        found = task.labels[(data.train_labels if images == "train" else data.test_labels)[index]]
    values, counts = np.unique(found, return_counts=True)
    return Column(task.head, dict(zip(values.tolist(), counts.tolist(), strict=True)), last, outputs)


def chance(tasks: Sequence[Column]) -> float:
    """Return the best mean accuracy over tasks that a network reaches whose answers never depend on its input.

    Each head has one answer c of its own: Σ_heads max_c Σ_{tasks j of the head} share_j(c) / N. Where all images of a
    head have one label this would be 1 and say nothing: then an answer drawn from its outputs, mean_j 1/outputs_j.
    """
    shares: dict[int, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    for task in tasks:
        for label, count in task.labels.items():
            if label >= 0:  # −1, a class that the stream does not know, is nobody's answer
                shares[task.head][label] += count / task.images
    best = sum(max(of_head.values()) for of_head in shares.values()) / len(tasks)
    return best if best < 1 else fmean(1 / task.outputs for task in tasks)


def imbalance(tasks: Sequence[Column]) -> float:
    """Return max_j max_c share_j(c) · classes of j: how many times an even share the largest class of a task has.

    Classes are those that occur among the scored samples of task j; 1: all are of one size.
    """
    known = [[count for label, count in task.labels.items() if label >= 0] for task in tasks]
    return max((max(counts) / sum(counts) * len(counts) for counts in known if counts), default=1.0)


def within_luck(accuracy: Sequence[float], tasks: Sequence[Column]) -> bool:
    """Whether a mean accuracy is not above chance by more than luck on so many images allows (one-sided, 99 %).

    The error of a mean of N shares of n_j images each: √(p(1−p) Σ 1/n_j) / N, at p = chance.
    """
    p = chance(tasks)
    error = math.sqrt(p * (1 - p) * sum(1 / task.images for task in tasks)) / len(tasks)
    return fmean(accuracy) <= p + Z * error


def collapsed(row: Sequence[float], tasks: Sequence[Column]) -> str | None:
    """Return a warning if the network knows nothing at the end; None if it does.

    Two things must come together: mean accuracy over all tasks is within luck of chance, and so is that over the tasks
    of the last stage. ``row`` is R's last.
    """
    last = [place for place, task in enumerate(tasks) if task.last]
    newest, new_tasks = [row[place] for place in last], [tasks[place] for place in last]
    if not (within_luck(row, tasks) and within_luck(newest, new_tasks)):
        return None
    images = sum(task.images for task in tasks)
    found = f"final accuracy {_told(row, tasks)}"
    if len(last) < len(tasks):
        found += f", on what was trained last {_told(newest, new_tasks)}"
    return f"collapsed: {found}: no better than chance, within the error of {images:,} test samples"


def single_class(answers: Sequence[int | None], tasks: Sequence[Column]) -> str | None:
    """Return a warning if each head gives one and the same answer to all of its scored images; None if one does not.

    ``answers`` has the class that was the answer to all of a task's images, or None where there were several. Images
    that the last stage trained on must have several labels: a stream of one class per task, all but the last
    forgotten, looks the same otherwise.
    """
    by_head: dict[int, set[int | None]] = defaultdict(set)
    labels: dict[int, set[int]] = defaultdict(set)
    for answer, task in zip(answers, tasks, strict=True):
        by_head[task.head].add(answer)
        if task.last:
            labels[task.head] |= {*task.labels}
    if any(None in found or len(found) > 1 for found in by_head.values()):
        return None
    if all(len(known) < 2 for known in labels.values()):
        return None
    each = "each head gives one answer to all of its" if len(by_head) > 1 else "the network gives one answer to all"
    return f"single class: {each} {sum(task.images for task in tasks):,} test samples"


def _told(accuracy: Sequence[float], tasks: Sequence[Column]) -> str:
    return f"{100 * fmean(accuracy):.1f} % (chance: {100 * chance(tasks):.1f} %)"
