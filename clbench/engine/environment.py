"""What a Result says of the machine and the software that made it."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import clbench
from clbench.engine.learner import Arithmetic


def describe(device: torch.device, arithmetic: Arithmetic, threads: int) -> dict[str, Any]:
    """Return versions, device, threads and number format of this process."""
    return {
        "clbench": clbench.__version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": version("torchvision"),
        "avalanche": version("avalanche-lib"),
        "system": f"{platform.system()} {platform.machine()}",
        "device": device.type,
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "threads": threads,
        "precision": arithmetic.precision,
        "memory_format": str(arithmetic.memory_format).removeprefix("torch."),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "flush_denormal": True,
    }


def peak_memory_mib(device: torch.device) -> float:
    """Return the highest memory of the process so far (on CUDA: of its tensors), in MiB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


@cache
def _commit() -> str | None:
    """The commit of a source checkout, with '+' if its code has changed; None for an installed package."""
    root = Path(clbench.__file__).parent.parent
    if not (root / ".git").exists():
        return None
    try:
        head, status = (
            subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=True).stdout
            for words in (
                ["rev-parse", "--short=12", "HEAD"],
                ["status", "--porcelain", "--untracked-files=no", "--", "clbench", "strategies", "scenarios"],
            )
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.strip() + ("+" if status.strip() else "")


@cache
def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
