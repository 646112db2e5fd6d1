"""Devices and number formats: what 'auto' means on this machine."""

from __future__ import annotations

import torch
from torch import nn

from clbench.errors import UserError


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


def choose_precision(name: str, device: torch.device, model: nn.Module) -> str:
    """Return ``fp32`` or ``bf16``.

    ``auto`` is bf16 only where it was measured to be faster: convolutional networks on a CPU with AMX (4.5 × there;
    without AMX a CPU emulates bf16 and is slower). It is a rule, not a timing, so that two runs always agree.
    """
    if name != "auto":
        return name
    amx = device.type == "cpu" and torch.cpu._is_amx_tile_supported()
    return "bf16" if amx and is_convolutional(model) else "fp32"


def is_convolutional(model: nn.Module) -> bool:
    """Say whether a network has a 2-d convolution."""
    return any(isinstance(module, nn.Conv2d) for module in model.modules())
