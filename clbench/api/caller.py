"""What a run sets for its process and a program may have set otherwise: as in a fresh process inside, as before after.

Random generators, threads, number formats, determinism, gradients, warnings: everything that ``clbench run`` may rely
on because it has a process of its own.
"""

from __future__ import annotations

import os
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

CUBLAS = "CUBLAS_WORKSPACE_CONFIG"


@contextmanager
def undisturbed() -> Iterator[None]:
    """Work as in a process of one's own; afterwards, also after an error, the caller's state is what it was.

    Denormals are flushed by each thread for itself: what is put back is this thread's setting. Imports torch.
    """
    with warnings.catch_warnings(), ExitStack() as stack:
        import clbench.engine.run  # noqa: F401  torch and Avalanche first: what they draw or set is not the caller's

        for put_back in (*_generators(), *_settings(), _environment()):
            stack.callback(put_back)
        _as_in_a_fresh_process(stack)
        yield


def _generators() -> Iterator[Callable[[], object]]:
    """Put back the global random generators."""
    import numpy as np
    import torch

    yield _calling(random.setstate, random.getstate())
    yield _calling(np.random.set_state, np.random.get_state())
    yield _calling(torch.set_rng_state, torch.get_rng_state())
    if torch.cuda.is_available():
        yield _calling(torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all())
    if torch.backends.mps.is_available():
        yield _calling(torch.mps.set_rng_state, torch.mps.get_rng_state())


def _settings() -> Iterator[Callable[[], object]]:
    """Put back what torch keeps for the whole process."""
    import torch

    yield _calling(torch.set_num_threads, torch.get_num_threads())
    yield _calling(torch.set_flush_denormal, flushes_denormals())
    enabled, warn_only = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    yield lambda: torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
    fills = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    yield _calling(setattr, torch.utils.deterministic, "fill_uninitialized_memory", fills)
    yield _calling(torch.set_default_dtype, torch.get_default_dtype())
    yield _calling(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())


def _environment() -> Callable[[], object]:
    """Put back the one variable that a run sets."""
    before = os.environ.get(CUBLAS)
    return (
        _calling(os.environ.pop, CUBLAS, None) if before is None else _calling(os.environ.__setitem__, CUBLAS, before)
    )


def _as_in_a_fresh_process(stack: ExitStack) -> None:
    """Set what a run leaves at torch's defaults; whatever is a context ends with the stack."""
    import torch

    torch.set_default_dtype(torch.float32)
    torch.set_float32_matmul_precision("highest")
    stack.enter_context(torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=False, allow_tf32=True))
    stack.enter_context(torch.inference_mode(False))
    stack.enter_context(torch.enable_grad())
    for kind in ("cpu", "cuda"):
        if torch.is_autocast_enabled(kind):
            stack.enter_context(torch.autocast(kind, enabled=False))
    if torch.get_default_device() != torch.device("cpu"):  # only then: the context costs time at every call
        stack.enter_context(torch.device("cpu"))


def flushes_denormals() -> bool:
    """Whether this thread takes numbers below the normal ones for zero; torch has no function that tells."""
    import torch

    tiny: torch.Tensor = torch.tensor([1e-300], dtype=torch.float64, device="cpu") * 1e-10
    return tiny.item() == 0.0


def _calling(function: Callable[..., object], *arguments: Any) -> Callable[[], object]:
    return lambda: function(*arguments)
