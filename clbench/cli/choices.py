"""What options of several commands may be."""

from __future__ import annotations

from enum import Enum


class Device(str, Enum):
    """Devices."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class Place(str, Enum):
    """Where runs are run."""

    local = "local"
    ray = "ray"


class Logger(str, Enum):
    """Experiment trackers."""

    csv = "csv"
    tensorboard = "tensorboard"
    wandb = "wandb"
    mlflow = "mlflow"


class Precision(str, Enum):
    """Number formats."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"
