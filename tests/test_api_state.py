"""A program's own state is untouched by a run, and a run by it."""

from __future__ import annotations

import gc
import os
import random
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

import clbench as cl
from clbench.api.caller import CUBLAS, flushes_denormals, undisturbed
from clbench.strategy import Learner, Strategy

SMALL: dict[str, Any] = {
    "scenario": {"name": "split-digits", "samples_per_task": 48},
    "model": {"name": "mlp", "widths": [12]},
    "epochs": 1,
    "quiet": True,
}


class Failing(Strategy):
    """Fail in the second stage, having changed what it can."""

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        random.seed(1)
        np.random.seed(1)
        warnings.simplefilter("ignore")
        if learner.stage:
            raise RuntimeError("on purpose")


def state() -> dict[str, Any]:
    """Everything that a run could disturb, as values that compare."""
    kind, keys, *rest = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": (kind, bytes(np.asarray(keys)), rest),
        "torch": torch.get_rng_state().tolist(),
        "cuda": [one.tolist() for one in torch.cuda.get_rng_state_all()] if torch.cuda.is_available() else [],
        "threads": torch.get_num_threads(),
        "denormals": flushes_denormals(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warn only": torch.is_deterministic_algorithms_warn_only_enabled(),
        "fills": torch.utils.deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "products": torch.get_float32_matmul_precision(),
        "cudnn": (torch.backends.cudnn.enabled, torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
        "gradients": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "autocast": torch.is_autocast_enabled("cpu"),
        "warnings": list(warnings.filters),
        "shown by": warnings.showwarning,
        "collects": gc.isenabled(),
        "environment": dict(os.environ),
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        "folder": os.getcwd(),
    }


@contextmanager
def unusual() -> Iterator[None]:
    """A program that has set everything otherwise."""
    before, threads = os.environ.get(CUBLAS), torch.get_num_threads()
    with warnings.catch_warnings(), torch.no_grad(), torch.autocast("cpu", torch.bfloat16), torch.device("meta"):
        warnings.filterwarnings("ignore", "nothing")
        torch.set_default_dtype(torch.float64)
        torch.set_float32_matmul_precision("medium")
        torch.set_num_threads(2)
        torch.set_flush_denormal(False)
        torch.use_deterministic_algorithms(False)
        os.environ.pop(CUBLAS, None)
        gc.disable()
        try:
            yield
        finally:
            gc.enable()
            torch.set_default_dtype(torch.float32)
            torch.set_float32_matmul_precision("highest")
            torch.set_num_threads(threads)
            if before is not None:
                os.environ[CUBLAS] = before


def test_a_run_leaves_everything_as_it_was_and_does_not_mind_it() -> None:
    plain = cl.run("ewc", **SMALL)
    with unusual():
        random.seed(5)
        before = state()
        made = cl.run("ewc", **SMALL)
        assert state() == before
    assert made[0].accuracy == plain[0].accuracy
    assert made[0].environment == plain[0].environment


def test_inference_mode_and_strict_determinism_are_as_before() -> None:
    plain = cl.run("naive", **SMALL)
    torch.use_deterministic_algorithms(True)
    try:
        with torch.inference_mode():
            before = state()
            made = cl.run("naive", **SMALL)
            assert state() == before
    finally:
        torch.use_deterministic_algorithms(False)
    assert made[0].accuracy == plain[0].accuracy


@pytest.mark.parametrize("deterministic", [False, True])
def test_so_it_is_after_an_exception(deterministic: bool) -> None:
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    try:
        before = state()
        with pytest.raises(RuntimeError, match="on purpose"):
            cl.run(Failing(), **SMALL)
        assert state() == before
        with pytest.raises(cl.UserError):
            cl.run("ewc", optimizer={"lrr": 1}, **SMALL)
        assert state() == before
    finally:
        torch.use_deterministic_algorithms(False)


def test_draws_of_the_program_go_on_as_without_a_run() -> None:
    def draws() -> list[float]:
        return [random.random(), float(np.random.rand()), float(torch.rand(()))]

    seeded()
    expected = [draws(), draws()]
    seeded()
    found = [draws()]
    cl.run("er", **SMALL)
    assert [*found, draws()] == expected


def seeded() -> None:
    """Seed what a program may draw from."""
    random.seed(7)
    np.random.seed(7)
    torch.manual_seed(7)


def test_denormals_are_seen_as_they_are() -> None:
    for flushes in (True, False):
        torch.set_flush_denormal(flushes)
        assert flushes_denormals() is flushes
        with undisturbed():
            torch.set_flush_denormal(not flushes)
        assert flushes_denormals() is flushes


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_generators_of_the_gpu_are_as_before() -> None:
    torch.cuda.manual_seed_all(3)
    before = state()
    cl.run("naive", device="cuda", **SMALL)
    assert state() == before
