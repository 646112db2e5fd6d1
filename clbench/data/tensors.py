"""Tasks as tensors that stay on the device: loading a batch is indexing."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from clbench.data.augment import Augment
from clbench.data.columns import SLOTS, Codes, Rows
from clbench.data.dataset import Dataset, PartName
from clbench.data.inputs import Encoder, Pixels
from clbench.data.streams import Change, Permutation, Rotation, Stream, Task
from clbench.errors import UserError

# Test images of tasks are made once and kept up to this many bytes; long streams make them again.
KEPT_BYTES = 256 * 2**20
Batch = list[Tensor]


@dataclass
class TaskData:
    """Samples of one or several tasks, on the device.

    samples: as they are kept, [n, …] of any one shape (uint8 images [n, channels, height, width], float32 vectors);
    labels, heads: int64 [n]; ``encode`` turns samples into network input. ``head`` is the head of all samples, or None
    if they differ. ``previous``, where samples are rows in order of time: the label, of this task's, of the row before
    each, int64 [n], −1 where it is not known. ``host``: labels and heads once more for the host, where the device is
    another; ``told`` gives them.
    """

    samples: Tensor
    labels: Tensor
    heads: Tensor
    encode: Encoder
    head: int | None
    previous: Tensor | None = None
    host: tuple[Tensor, Tensor] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def told(self) -> tuple[Tensor, Tensor]:
        """Labels and heads on the host, which has brought them; it asks the device only for what was chosen there."""
        if self.labels.device.type == "cpu":
            return self.labels, self.heads
        return self.host or (self.labels.cpu(), self.heads.cpu())

    def inputs(self, samples: Tensor) -> Tensor:
        """Return network input of raw samples."""
        return self.encode(samples)

    def shared(self, heads: Tensor) -> Tensor | int:
        """The head of all samples, which the host knows, or else a batch's own."""
        return heads if self.head is None else self.head

    def batches(self, batch_size: int) -> BatchLoader:
        """Iterate over all samples in order."""
        return BatchLoader(self, batch_size)

    def subset(self, index: Tensor) -> TaskData:
        """Return the samples at the given positions, which may be on the host."""
        at = sent(index, self.labels.device)
        before = None if self.previous is None else self.previous[at]
        known = self.host if index.device.type == "cpu" else None
        host = None if known is None else (known[0][index], known[1][index])
        return TaskData(self.samples[at], self.labels[at], self.heads[at], self.encode, self.head, before, host)

    def drawn(self, count: int | None, random: torch.Generator) -> TaskData:
        """Return at most ``count`` samples, drawn without repeats; all, in order, if there are no more."""
        if count is None or count >= len(self):
            return self
        return self.subset(torch.randperm(len(self), generator=random)[:count])

    @staticmethod
    def concat(parts: Sequence[TaskData]) -> TaskData:
        """Join samples of several tasks into one; the rows before are known if each part knows them."""
        if len(parts) == 1:
            return parts[0]
        heads = {part.head for part in parts}
        before = [part.previous for part in parts if part.previous is not None]
        told = [part.host for part in parts if part.host is not None]
        whole = len(told) == len(parts)
        return TaskData(
            torch.cat([part.samples for part in parts]),
            torch.cat([part.labels for part in parts]),
            torch.cat([part.heads for part in parts]),
            parts[0].encode,
            heads.pop() if len(heads) == 1 else None,
            torch.cat(before) if len(before) == len(parts) else None,
            (torch.cat([one[0] for one in told]), torch.cat([one[1] for one in told])) if whole else None,
        )


def sent(values: Tensor, device: torch.device) -> Tensor:
    """Values of the host on the device; a GPU fetches them while the host goes on, instead of both waiting."""
    if device.type == "cuda" and values.device.type == "cpu":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


class BatchLoader:
    """Batches ``[inputs, labels, heads]`` of a TaskData; shuffled anew each epoch if a generator is given.

    Shuffled batches come ``updates`` times each, one after another, augmented anew. ``order`` and ``position`` say
    where a shuffled epoch is; ``between`` is called before each of its batches, and may set them.
    """

    def __init__(
        self,
        data: TaskData,
        batch_size: int,
        shuffle: torch.Generator | None = None,
        augment: Augment | None = None,
        updates: int = 1,
    ) -> None:
        self.data = data
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.augment = augment
        self.updates = updates
        self.order: Tensor | None = None  # samples of this epoch
        self.position = 0  # its next batch
        self.rows: Tensor | None = None  # samples of the batch that was yielded last
        self.between: Callable[[], None] | None = None

    def __len__(self) -> int:
        return len(self._starts()) * self.updates

    def sizes(self) -> list[int]:
        """How many samples each batch of an epoch has."""
        return [end - start for start, end in self._bounds() for _ in range(self.updates)]

    @property
    def update(self) -> int:
        """Which of the times that its batch comes the last one was, counted from 0."""
        return (self.position - 1) % self.updates

    def _bounds(self) -> list[tuple[int, int]]:
        """Where each batch begins and ends."""
        starts = self._starts()
        return list(zip(starts, [*starts[1:], len(self.data)], strict=True))

    def _starts(self) -> range:
        """Where batches begin. A last batch of one would stop batch normalisation, so it joins the one before."""
        n = len(self.data)
        return range(0, n - 1 if n > self.batch_size > 1 else n, self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        data = self.data
        bounds = self._bounds()
        if self.shuffle is None:
            for part in (slice(*bound) for bound in bounds):
                yield [data.inputs(data.samples[part]), data.labels[part], data.heads[part]]
            return
        self.order = sent(torch.randperm(len(data), generator=self.shuffle), data.labels.device)
        self.position = 0
        while self.position < len(bounds) * self.updates:
            if self.between is not None:
                self.between()
            index = self.order[slice(*bounds[self.position // self.updates])]
            self.position += 1
            self.rows = index
            images = data.samples.index_select(0, index)
            if self.augment is not None:
                images = self.augment(images)
            labels = data.labels.index_select(0, index)
            # A view of the shared head saves a gather per step.
            heads = data.heads[: len(index)] if data.head is not None else data.heads.index_select(0, index)
            yield [data.inputs(images), labels, heads]


class ResidentStream:
    """A stream's tasks as tensors, made when asked for; the dataset is moved to the device once.

    ``samples`` has all of it, by part; ``encode`` makes network input of them, and has to ``see`` what is trained on.
    """

    def __init__(
        self, stream: Stream, data: Dataset, device: torch.device, normalisation: str, slots: int = SLOTS
    ) -> None:
        self.stream = stream
        self.device = device
        self.data = data
        train = _resident(data.train_samples, device)
        self.samples = {"train": train, "test": train if data.undivided else _resident(data.test_samples, device)}
        self.encode = encoder_of(data, device, normalisation, slots)
        self._shown: set[int] = set()
        self._kept: OrderedDict[tuple[int, str], TaskData] = OrderedDict()
        self._kept_bytes = 0

    def see(self, tasks: Sequence[int]) -> None:
        """Let the encoder see tasks that are about to be trained on, those that it has not seen yet."""
        for task in tasks:
            if task not in self._shown:
                self._shown.add(task)
                self.encode.see(self._samples(self.stream.tasks[task].train, "train"))

    def train(self, task: int) -> TaskData:
        """Training data of a task; not kept, since a stage uses it once."""
        chosen = self.stream.tasks[task]
        return self._make(chosen, chosen.train, "train")

    def evaluation(self, task: int, part: str) -> TaskData:
        """Test or validation data of a task, kept while there is room."""
        key = (task, part)
        if key not in self._kept:
            chosen = self.stream.tasks[task]
            which, index = chosen.scored(part)
            data = self._make(chosen, index, which)
            if self._kept_bytes + data.samples.nbytes > KEPT_BYTES:
                return data
            self._kept_bytes += data.samples.nbytes
            self._kept[key] = data
        return self._kept[key]

    def _samples(self, index: np.ndarray[Any, Any], part: PartName) -> Tensor:
        """Samples of a part; a view where they lie side by side, so that a long table stays on the disk."""
        samples = self.samples[part]
        if len(index) and index[-1] - index[0] + 1 == len(index) and (np.diff(index) == 1).all():
            return samples[index[0] : index[0] + len(index)]
        return samples.index_select(0, torch.from_numpy(np.ascontiguousarray(index)).to(self.device))

    def _make(self, task: Task, index: np.ndarray[Any, Any], part: PartName) -> TaskData:
        known = self.data.part(part)
        own = task.train_labels if part == "train" else None
        labels = torch.from_numpy(task.labels[known.labels[index]] if own is None else own[index])
        heads = torch.full_like(labels, task.head)
        host = None if self.device.type == "cpu" else (labels, heads)
        before = None
        if known.previous is not None and own is None:
            rows = known.previous[index]
            before = torch.from_numpy(np.where(rows < 0, -1, task.labels[rows])).to(self.device)
        samples = changed(self._samples(index, part), task.pixels)
        labels, heads = labels.to(self.device), heads.to(self.device)
        return TaskData(samples, labels, heads, self.encode, task.head, before, host)


def encoder_of(data: Dataset, device: torch.device, normalisation: str, slots: int) -> Encoder:
    """Return what makes network input of a dataset's samples."""
    if data.train_samples.dtype == np.int64:
        return Codes(data.shape)
    if not data.is_images:
        if normalisation == "unit":
            raise UserError("scenario.normalisation: 'unit' is for images. Use standard or none.")
        categories = len(data.columns.categories) if data.columns else 0
        return Rows(data.shape, categories, slots, normalisation == "standard", device)
    channels = data.shape[0]
    scale, shift = {
        "standard": (
            [1 / (255 * s) for s in data.std],
            [-m / s for m, s in zip(data.mean, data.std, strict=True)],
        ),
        "unit": ([1 / 255] * channels, [0.0] * channels),
        "none": ([1.0] * channels, [0.0] * channels),
    }[normalisation]
    one, other = (torch.tensor(values, device=device).reshape(-1, 1, 1) for values in (scale, shift))
    return Pixels(one, other, data.shape)


def _resident(images: np.ndarray[Any, Any], device: torch.device) -> Tensor:
    """A memory-mapped array as a tensor; on a CPU it stays memory-mapped."""
    return torch.from_numpy(np.asarray(images)).to(device)


def changed(images: Tensor, pixels: Change | None) -> Tensor:
    """Apply a task's pixel change to uint8 images [n, channels, height, width]."""
    match pixels:
        case None:
            return images
        case Permutation(order=order):
            flat = images.flatten(2)
            where = torch.from_numpy(order).to(images.device)
            # gather over an expanded index: measured five times faster here than index_select.
            return flat.gather(2, where.expand_as(flat)).reshape(images.shape)
        case Rotation(degrees=degrees):
            return _rotated(images, degrees)
        case _:
            raise TypeError(f"unknown pixel change {pixels!r}")


def _rotated(images: Tensor, degrees: float) -> Tensor:
    angle = math.radians(degrees)
    height, width = images.shape[2:]
    # affine_grid works in coordinates from −1 to 1, so the aspect ratio enters the off-diagonal terms.
    turn = torch.tensor(
        [
            [math.cos(angle), -math.sin(angle) * height / width, 0.0],
            [math.sin(angle) * width / height, math.cos(angle), 0.0],
        ],
        device=images.device,
    )
    out = torch.empty_like(images)
    for part, target in zip(images.split(1024), out.split(1024), strict=True):
        grid = functional.affine_grid(turn.expand(len(part), 2, 3), list(part.shape), align_corners=False)
        turned = functional.grid_sample(part.float(), grid, align_corners=False)
        target.copy_(turned.round_().clamp_(0, 255))
    return out
