"""What bf16 gains or costs in training on this CPU, beside what ``precision: auto`` chooses here.

    python -m tests.bench.formats [--rounds 3] [--threads 2]

Bare steps (forward, backward, SGD with momentum), fp32 and bf16 in turns; ratios are medians over rounds. Then, where
real images are at hand (CLBENCH_TEST_DATA or ../shared/data), clbench's own learner as ``auto`` has it beside a bare
loop in fp32, for the recipes of permuted MNIST and split CIFAR-10 and for ResNet-18.
"""

from __future__ import annotations

import argparse
import statistics
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from clbench import registry
from clbench.config import resolve
from clbench.engine.precision import choose_precision, is_convolutional
from tests.bench.stages import assembled
from tests.real_data import prepared

SECONDS = 0.5  # of a turn, at least one step
CLASSES = 10
CASES: tuple[tuple[str, dict[str, Any], tuple[int, ...], int], ...] = (
    ("mlp", {"widths": [100, 100]}, (64,), 16),
    ("mlp", {"widths": [256, 256]}, (784,), 32),
    ("mlp", {"widths": [256, 256]}, (784,), 64),
    ("mlp", {"widths": [256, 256]}, (784,), 128),  # permuted MNIST as its standard recipe has it
    ("mlp", {"widths": [1000, 1000]}, (784,), 128),
    ("mlp", {"widths": [2000, 2000]}, (3072,), 256),
    ("lenet", {}, (1, 8, 8), 32),
    ("lenet", {}, (3, 16, 16), 10),
    ("lenet", {}, (3, 16, 16), 32),
    ("lenet", {}, (1, 28, 28), 10),
    ("lenet", {}, (3, 32, 32), 1),
    ("lenet", {}, (3, 32, 32), 10),
    ("lenet", {}, (3, 32, 32), 32),
    ("cnn6", {"width": 16, "norm": "batch"}, (3, 32, 32), 10),
    ("cnn6", {"width": 16, "norm": "batch"}, (3, 32, 32), 32),
    ("cnn6", {}, (3, 32, 32), 10),
    ("cnn6", {}, (3, 32, 32), 32),
    ("slim-resnet18", {}, (3, 32, 32), 10),
    ("slim-resnet18", {}, (3, 32, 32), 32),
    ("resnet18", {}, (3, 32, 32), 10),
    ("resnet18", {}, (3, 32, 32), 32),
    ("vit", {}, (3, 32, 32), 10),
    ("vit", {}, (3, 32, 32), 32),
)

# A stage of each takes a few seconds at most.
STAGES: tuple[dict[str, Any], ...] = (
    {"scenario": {"name": "permuted-mnist", "samples_per_task": 25_600}},
    {
        "scenario": {"name": "split-domain-cifar10", "samples_per_task": 1600},
        "model": {"name": "cnn6", "width": 64, "norm": "none"},
    },
    {"scenario": {"name": "split-domain-cifar10", "samples_per_task": 640}, "model": "resnet18"},
)


class _Training:
    """A network with a head, its optimiser and one batch."""

    def __init__(self, name: str, options: dict[str, Any], shape: tuple[int, ...], batch: int) -> None:
        backbone = registry.model.load(name).make(shape, **options)
        self.inputs = torch.randn(batch, *shape)
        if is_convolutional(backbone):
            backbone, self.inputs = (part.to(memory_format=torch.channels_last) for part in (backbone, self.inputs))
        self.network = nn.Sequential(backbone, nn.Linear(backbone(self.inputs).shape[1], CLASSES))
        self.labels = torch.randint(CLASSES, (batch,))
        self.optimizer = torch.optim.SGD(self.network.parameters(), 0.001, 0.9)

    def turn(self, precision: str) -> float:
        """Train for a while; return seconds of a step."""
        begun, steps = time.perf_counter(), 0
        while not steps or time.perf_counter() - begun < SECONDS:
            self.optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else nullcontext():
                logits = self.network(self.inputs)
            functional.cross_entropy(logits.float(), self.labels).backward()
            self.optimizer.step()
            steps += 1
        return (time.perf_counter() - begun) / steps


def _against_bare_loop(setting: dict[str, Any], rounds: int, root: Path) -> tuple[str, int, list[float], list[float]]:
    """The network, the batch, and samples per second of a bare loop in fp32 and of clbench, in turns, once warm."""
    (config,) = resolve({"strategy": "naive", "epochs": 1}, setting)
    learner, benchmark, _ = assembled(config, root)
    model = assembled(config, root)[0].model
    data = next(iter(benchmark.streams["train"])).data
    inputs, labels = data.inputs(data.samples), data.labels
    if is_convolutional(model):
        model, inputs = (part.to(memory_format=torch.channels_last) for part in (model, inputs))
    optimizer = torch.optim.SGD(model.parameters(), config.optimizer["lr"], config.optimizer.get("momentum", 0.0))
    theirs, ours = [], []
    for experience in list(benchmark.streams["train"])[: rounds + 1]:
        begun = time.perf_counter()
        for index in torch.randperm(len(inputs)).split(config.batch_size):
            optimizer.zero_grad()
            functional.cross_entropy(model(inputs[index]), labels[index]).backward()
            optimizer.step()
        theirs.append(len(inputs) / (time.perf_counter() - begun))
        assert len(experience.data)  # made before the clock starts, as the inputs above
        begun = time.perf_counter()
        learner.fit(experience)
        ours.append(len(experience.data) / (time.perf_counter() - begun))
    return config.model["name"], config.batch_size, theirs[1:], ours[1:]


def _steps(rounds: int) -> None:
    """Print the table of bare steps."""
    print("| network | batch | fp32, ms a step | bf16, ms a step | times as fast | auto |")
    print("|---|---:|---:|---:|---:|---|")
    for name, chosen, shape, batch in CASES:
        training = _Training(name, chosen, shape, batch)
        turns = [{kind: training.turn(kind) for kind in ("fp32", "bf16")} for _ in range(rounds + 1)][1:]
        one, half = (1000 * statistics.median(turn[kind] for turn in turns) for kind in ("fp32", "bf16"))
        gain = statistics.median(turn["fp32"] / turn["bf16"] for turn in turns)
        auto = choose_precision("auto", torch.device("cpu"), training.network, training.inputs.shape)
        sizes = "-".join(str(size) for size in (*shape, *chosen.get("widths", ())))
        width = f", width {chosen['width']}" if "width" in chosen else ""
        print(f"| {name} {sizes}{width} | {batch} | {one:.2f} | {half:.2f} | {gain:.2f} | {auto} |", flush=True)


def _stages(rounds: int, root: Path) -> None:
    """Print the table of clbench beside a bare loop."""
    print("| network | batch | bare loop in fp32, samples/s | clbench, samples/s | ÷ bare loop |")
    print("|---|---:|---:|---:|---:|")
    for setting in STAGES:
        model, batch, theirs, ours = _against_bare_loop(setting, rounds, root)
        bare, mine = statistics.median(theirs), statistics.median(ours)
        ratio = statistics.median(one / other for one, other in zip(ours, theirs, strict=True))
        print(f"| {model} | {batch} | {bare:,.0f} | {mine:,.0f} | {ratio:.2f} |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{torch.backends.cpu.get_cpu_capability()}, {options.threads} threads\n")
    _steps(options.rounds)
    root = prepared()
    if root is None:
        print("\nReal images are not here: clbench itself is not measured.")
    else:
        print()
        _stages(options.rounds, root)


if __name__ == "__main__":
    main()
