"""What a GPU makes of it: every strategy on CUDA beside the CPU, and the training rate beside a bare loop.

    python -m tests.bench.cuda strategies [--workers 8] [STRATEGY…]
    python -m tests.bench.cuda speed [--rounds 3]

``strategies`` runs each one at its defaults in the contract tests' hardest setting (unequal classes, heads of their
own, a cosine schedule, pooling) on both devices, and twice more on CUDA, for 3 and 6 epochs, while torch reports every
wait for the device; a place in the code that waits once more in at least every other one of the added steps is named.
With a constant rate it runs with steps launched and with steps replayed: R and losses must be the same.
``speed`` trains on MNIST's or CIFAR-10's images; a bare loop, as a careful person would write it by hand, takes turns
with clbench's learner, steps launched and replayed, and medians are shown. Needs a GPU, and the real images.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional

from clbench.config import resolve
from clbench.data.sources import DataPlace
from clbench.engine import learner as engine
from clbench.engine.learner import ResidentLearner
from clbench.engine.replay import Replay
from clbench.engine.run import Machine, run
from clbench.store import Result
from tests.bench.stages import assembled
from tests.helpers import uneven
from tests.real_data import prepared
from tests.test_strategy_contract import QUICK, STRATEGIES, course, needs_of
from tests.test_strategy_families import HARD

CUDA = torch.device("cuda")


# Every strategy.


@dataclass
class Seen:
    """What became of one strategy on CUDA."""

    name: str
    error: str = ""
    apart: float = 0.0  # the largest difference of R between the devices
    waits: list[str] = field(default_factory=list)  # places that wait for the device in every step
    replayed: str = "no"  # whether steps are replayed, and come out the same


def seen(name: str, root: Path) -> Seen:
    """Run a strategy on both devices, and look for waits."""
    try:
        R = [one.accuracy for one in (_once(name, root, "cpu"), _once(name, root, "cuda"))]
        cells = [(a, b) for mine, theirs in zip(*R, strict=True) for a, b in zip(mine, theirs, strict=True)]
        apart = max(abs(a - b) for a, b in cells if a is not None and b is not None)
        (short, few), (long, many) = (_waits(name, root, epochs) for epochs in (3, 6))
        added = many - few
        in_steps = [place for place in long if added and long[place] - short[place] >= added / 2]
        return Seen(name, apart=apart, waits=sorted(in_steps), replayed=_replayed(name, root))
    except Exception:
        return Seen(name, traceback.format_exc())


def _replayed(name: str, root: Path) -> str:
    """Whether steps are replayed at a constant rate, and R and losses are those of launched ones."""
    constant = {"optimizer": {"schedule": "constant"}}
    with steps_are("launched"):
        launched = course(_once(name, root, "cuda", **constant))
    made = 0
    step = Replay.step

    def counted(self: Replay, learner: Any, middle: Any) -> None:
        nonlocal made
        step(self, learner, middle)
        made += len(self.recorded)

    with steps_are("replayed"), patch.object(Replay, "step", counted):
        replayed = course(_once(name, root, "cuda", **constant))
    if not made:
        return "no"
    return "same" if replayed == launched else "differs"


@contextmanager
def steps_are(how: Literal["launched", "replayed"]) -> Iterator[None]:
    """Replay the steps of every stage that can be, or of none."""
    with patch.object(engine, "WORTH", 0 if how == "replayed" else sys.maxsize):
        yield


def _once(name: str, root: Path, device: str, **settings: Any) -> Result:
    strategy = {"strategy": {"name": name} | QUICK.get(name, {}), "seeds": [0]}
    (config,) = resolve(HARD, strategy, needs_of(name), settings)
    return run(config, Machine(DataPlace.default(root), device=device, threads=1))


def _waits(name: str, root: Path, epochs: int) -> tuple[Counter[str], int]:
    """Waits for the device inside of training, by place, and how many steps there were."""
    with _reported() as found:
        result = _once(name, root, "cuda", epochs=epochs)
    return Counter(found), sum(stage.steps or 0 for stage in result.cost)


@contextmanager
def _reported() -> Iterator[list[str]]:
    """Places that wait while a stage is trained."""
    places: list[str] = []
    fit = ResidentLearner.fit

    def fit_watched(self: ResidentLearner, experience: Any) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                fit(self, experience)
            finally:
                torch.cuda.set_sync_debug_mode("default")
        places.extend(f"{_short(one.filename)}:{one.lineno}" for one in caught if "synchroniz" in str(one.message))

    ResidentLearner.fit = fit_watched  # type: ignore[method-assign]
    try:
        yield places
    finally:
        ResidentLearner.fit = fit  # type: ignore[method-assign]


def _short(file: str) -> str:
    return "/".join(Path(file).parts[-2:])


def strategies(names: list[str], workers: int) -> None:
    """Print what became of every strategy."""
    root = uneven(Path(tempfile.mkdtemp()))
    print("| strategy | CUDA − CPU, largest difference in R, points | waits for the GPU in each step | replayed |")
    print("|---|---:|---|---|")
    failed = []
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        for one in pool.map(partial(seen, root=root), names):
            apart = "fails" if one.error else f"{100 * one.apart:.1f}"
            print(f"| {one.name} | {apart} | {', '.join(one.waits) or 'none'} | {one.replayed} |", flush=True)
            failed += [one] if one.error else []
    for one in failed:
        print(f"\n{one.name} fails:\n{one.error}")


# Speed.


@dataclass(frozen=True)
class Case:
    """A network on one stage of real images."""

    model: str
    scenario: str
    batch: int
    strategy: str = "naive"
    epochs: int = 1

    def config(self, precision: str) -> dict[str, Any]:
        """What clbench is told: 400 steps an epoch at most."""
        scenario: dict[str, Any] = {
            "name": self.scenario,
            "tasks": 2,
            "samples_per_task": min(400 * self.batch, 25_000),
        }
        if self.scenario.startswith("split"):
            scenario["incremental"] = "class"
        return {
            "strategy": self.strategy, "scenario": scenario, "model": self.model, "precision": precision,
            "batch_size": self.batch, "epochs": self.epochs, "optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9},
        }  # fmt: skip


CASES = [
    Case("mlp", "permuted-mnist", 128),
    Case("mlp", "permuted-mnist", 128, "ewc"),
    Case("mlp", "permuted-mnist", 128, "ewc-fixed"),
    Case("mlp", "permuted-mnist", 128, "er"),
    Case("mlp", "permuted-mnist", 1024, epochs=8),
    Case("lenet", "split-cifar10", 32),
    Case("cnn6", "split-cifar10", 32),
    Case("cnn6", "split-cifar10", 256, epochs=2),
    Case("resnet18", "split-cifar10", 32),
    Case("resnet18", "split-cifar10", 128),
    Case("resnet18", "split-cifar10", 128, "er"),
]


def bare(model: nn.Module, inputs: Tensor, labels: Tensor, case: Case, precision: str) -> float:
    """Train epochs of a bare loop with everything on the device; return samples per second."""
    half, images = precision == "bf16", inputs.dim() == 4
    layout = {"memory_format": torch.channels_last} if half and images else {}
    model, inputs = model.to(**layout), inputs.contiguous(**layout)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, 0.9, foreach=True)
    torch.cuda.synchronize()
    begun = time.perf_counter()
    for _ in range(case.epochs):
        for index in torch.randperm(len(inputs), device=CUDA).split(case.batch):
            optimizer.zero_grad()
            with torch.autocast("cuda", torch.bfloat16) if half else nullcontext():
                output = model(inputs[index])
            functional.cross_entropy(output.float(), labels[index]).backward()
            optimizer.step()
    torch.cuda.synchronize()
    return case.epochs * len(inputs) / (time.perf_counter() - begun)


def rates(case: Case, precision: str, rounds: int, root: Path) -> dict[str, list[float]]:
    """Samples per second of the bare loop and of clbench, launched and replayed, in turns; the first round warms up."""
    (config,) = resolve(case.config(precision))
    learner, benchmark, _ = assembled(config, root, CUDA)
    plain = assembled(config, root, CUDA)[0].model
    first, second = benchmark.streams["train"]
    data = first.data
    inputs, labels = data.inputs(data.samples), data.labels
    learner.fit(first)  # so that what remembers has something to remember
    found: dict[str, list[float]] = {"bare": [], "launched": [], "replayed": []}
    for _ in range(rounds + 1):
        found["bare"].append(bare(plain, inputs, labels, case, precision))
        for how in ("launched", "replayed"):
            assert len(second.data)
            torch.cuda.synchronize()
            begun = time.perf_counter()
            with steps_are(how):
                learner.fit(second)
            torch.cuda.synchronize()
            found[how].append(case.epochs * len(second.data) / (time.perf_counter() - begun))
    return {key: values[1:] for key, values in found.items()}


def speed(rounds: int) -> None:
    """Print the table."""
    root = prepared()
    if root is None:
        sys.exit("This benchmark needs the real images: set CLBENCH_TEST_DATA or provide ../shared/data.")
    print(
        f"{torch.cuda.get_device_name()}, torch {torch.__version__}, medians of {rounds} rounds, samples per second\n"
    )
    print("| network | batch | strategy | precision | bare loop | launched | ÷ bare loop | replayed | ÷ bare loop |")
    print("|---|---:|---|---|---:|---:|---:|---:|---:|")
    for case in CASES:
        for precision in ("fp32", "bf16"):
            found = rates(case, precision, rounds, root)
            rate = {key: statistics.median(values) for key, values in found.items()}
            print(
                f"| {case.model} | {case.batch} | {case.strategy} | {precision} | {rate['bare']:,.0f} | "
                f"{rate['launched']:,.0f} | {rate['launched'] / rate['bare']:.2f} | "
                f"{rate['replayed']:,.0f} | {rate['replayed'] / rate['bare']:.2f} |",
                flush=True,
            )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["strategies", "speed"])
    parser.add_argument("names", nargs="*", default=[])
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("tests.bench.cuda needs a GPU that torch can use; without one there is nothing to measure.")
    if options.what == "strategies":
        strategies(options.names or STRATEGIES, options.workers)
    else:
        speed(options.rounds)


if __name__ == "__main__":
    main()
