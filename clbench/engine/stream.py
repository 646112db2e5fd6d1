"""From a configuration to data: the stream of tasks, its samples on the device, another dataset beside it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from clbench import registry
from clbench.avalanche import SupervisedPlugin
from clbench.config import RunConfig
from clbench.config.names import scenario_parts
from clbench.data import cache
from clbench.data.borrowed import borrowed
from clbench.data.columns import SLOTS
from clbench.data.dataset import Dataset, Shape
from clbench.data.sources import DataPlace
from clbench.data.streams import Stream, check_filled, stretch, whole, with_common_options
from clbench.data.tensors import ResidentStream, TaskData
from clbench.errors import UserError
from clbench.strategy import Strategy


def scenario_of(config: RunConfig) -> registry.Declared:
    """Return the scenario family of a config."""
    family, _ = scenario_parts(config.scenario["name"])
    return registry.scenario.load(family)


def stream_of(config: RunConfig, place: DataPlace) -> tuple[Dataset, Stream]:
    """Load the dataset and cut the stream of tasks from it."""
    _, source = scenario_parts(config.scenario["name"])
    options, unit = dict(config.scenario), scenario_of(config)
    size = options.pop("image_size")
    samples, validation = options.pop("samples_per_task"), options.pop("validation")
    skip, keep = options.pop("skip"), options.pop("keep")
    del options["name"], options["normalisation"]
    if unit.terms is not None:  # somebody's benchmark brings data of its own
        data, whole_stream = borrowed(source, unit.make, options, config.seed, place, size)
    else:
        data = cache.load(source, place, size, config.data)
        whole_stream = unit.make(data, config.seed, **options)
    stream = stretch(whole_stream, skip, keep)
    stream = with_common_options(stream, config.seed, samples, validation)
    check_filled(stream, data, config.evaluate)
    return data, stream


def resident_of(
    config: RunConfig, stream: Stream, data: Dataset, stages: list[list[int]], device: torch.device
) -> ResidentStream:
    """Put the stream's samples on the device; what makes network input of them has seen the first stage."""
    slots = (config.data or {}).get("slots", SLOTS)
    resident = ResidentStream(stream, data, device, config.scenario["normalisation"], slots)
    resident.see(stages[0])
    if config.augment != "none" and not data.is_images:
        raise UserError(f"augment: '{config.augment}' is for images, and '{data.name}' has none. Use none.")
    return resident


@dataclass(frozen=True)
class Beside:
    """Training data that a strategy uses beside the stream, and their dataset's fingerprint."""

    data: TaskData
    fingerprint: str


def beside(
    config: RunConfig, plugins: list[SupervisedPlugin], place: DataPlace, shape: Shape, device: torch.device
) -> Beside | None:
    """Load the other dataset that a strategy asks for, at the stream's image size; None where none does.

    Raises UserError if it cannot be found, has too few classes, or has images of another number of channels.
    """
    asked = [wanted for p in plugins if isinstance(p, Strategy) and (wanted := p.upstream()) is not None]
    if not asked:
        return None
    (wanted,) = asked
    if len(shape) != 3:
        raise UserError("strategy.upstream: another dataset can stand beside a stream of images only.")
    data = cache.load(wanted.name, place, shape[1])
    if data.shape != shape:
        raise UserError(
            f"strategy.upstream: images of '{wanted.name}' are {_size(data.shape)}, those of the stream "
            f"{_size(shape)}. Name a dataset with as many channels."
        )
    if (wanted.classes or 0) > len(data.classes):
        raise UserError(f"strategy.classes: {data.name} has {len(data.classes)} classes, not {wanted.classes}.")
    resident = ResidentStream(whole(data, wanted.classes), data, device, config.scenario["normalisation"])
    resident.see([0])
    return Beside(resident.train(0), data.fingerprint)


def _size(shape: Shape) -> str:
    channels, height, width = shape
    return f"{height} × {width} with {channels} channel{'s' if channels > 1 else ''}"
