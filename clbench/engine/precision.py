"""Devices, threads and number formats: what 'auto' means on this machine."""

from __future__ import annotations

import math
import platform
import warnings
from collections.abc import Sequence

import torch
from torch import nn

from clbench.engine.seeding import available_cores
from clbench.errors import Remark, UserError

# Multiply-adds of a forward pass from which two threads were measured to be faster than one.
PARALLEL_WORK = 20_000_000
# The smallest steps that were measured to be faster in bf16 with AVX512-BF16 ('python -m tests.bench.formats'): an MLP
# 784-256-256 on 64 rows, whose multiply-adds these are, and LeNet on 10 images of 28 × 28 pixels.
HALF_WORK = 17_000_000
HALF_PIXELS = 10 * 28 * 28


def choose_device(name: str) -> torch.device:
    """Return the device of ``auto|cpu|cuda|mps``; UserError if the machine lacks it."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, present in available.items() if present)
    if not available.get(name, False):
        present = ", ".join(kind for kind, there in available.items() if there)
        raise UserError(
            f"--device {name}: not available on this machine. Available: {present}; 'auto' takes the first."
        )
    return torch.device(name)


def choose_precision(name: str, device: torch.device, model: nn.Module, batch: Sequence[int]) -> str:
    """Return ``fp32`` or ``bf16`` for a network and the shape of its batches, of images [n, channels, height, width].

    ``auto`` is bf16 only where it was measured to be faster: on a CPU with AMX for convolutional networks (4.5 ×), on
    one with AVX512-BF16 for steps that are not small (1.0 to 1.8 ×). Other CPUs emulate bf16 and are slower. It is a
    rule, not a timing, so that two runs always agree. A remark says so of bf16 that was asked for and is emulated.
    """
    if name == "bf16" and device.type == "cpu" and emulates_bf16():
        warnings.warn(
            Remark(
                "precision: this CPU emulates bf16. On one without AVX-512 steps of mlp, lenet and cnn6 took 7 to 15 "
                "times as long as in fp32. Leave precision at 'auto'."
            ),
            stacklevel=2,
        )
    if name != "auto":
        return name
    if device.type != "cpu":
        return "fp32"
    convolutional = is_convolutional(model)
    if convolutional and torch.cpu._is_amx_tile_supported():
        return "bf16"
    large = batch[0] * math.prod(batch[2:]) >= HALF_PIXELS if convolutional else _work(model, batch[0]) >= HALF_WORK
    return "bf16" if large and torch.cpu._is_avx512_bf16_supported() else "fp32"


def emulates_bf16() -> bool:
    """Whether this CPU is known to have no instructions for bf16; of CPUs other than Intel's kind nothing is known."""
    known = platform.machine().lower() in {"x86_64", "amd64"}
    return known and not (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def choose_threads(threads: int | None, model: nn.Module, batch_size: int) -> int:
    """Return how many CPU threads to use: as many as asked for, else all cores for large work and one for small.

    Small steps gain nothing from a second thread, and lose a hundredfold when another process wants the core: the
    threads then spin while they wait for each other.
    """
    if threads is not None:
        return threads
    return available_cores() if is_convolutional(model) or _work(model, batch_size) >= PARALLEL_WORK else 1


def is_convolutional(model: nn.Module) -> bool:
    """Say whether a network has a 2-d convolution."""
    return any(isinstance(module, nn.Conv2d) for module in model.modules())


def _work(model: nn.Module, batch_size: int) -> int:
    """Multiply-adds of a forward pass through linear layers."""
    return batch_size * sum(parameter.numel() for parameter in model.parameters())
