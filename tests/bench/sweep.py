"""What sweeps cost: 2,000 runs from start to leaderboard, a worker's overhead, two workers against one.

    python -m tests.bench.sweep [permuted | convolutions | digits [RUNS]]

The plan: four strategies × λ × learning rate × seeds on split-digits, with 5 epochs a task; a tenth of it again with
the standard recipe's 20. Before, permuted MNIST, real images, with one worker and with two, in turn; and convolutional
networks on CIFAR-10, by two workers of one thread and by one of two. Where a run's seconds go is what workers
themselves report. Two bare processes that train at once, with nothing of clbench around
them, say what two cores of this machine are worth.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from clbench import store
from clbench.sweeps.local import PRELOADED
from tests.real_data import prepared

GRID = {
    "strategy": ["ewc", "l2", "si", "mas"],
    "strategy.lam": [0.1, 1, 10, 100, 1000],
    "optimizer.lr": [0.01, 0.02, 0.05, 0.1, 0.2],
}
ROUNDS = 3


def clbench(*words: str, cwd: Path) -> tuple[float, str]:
    """Seconds of a command, and what it said."""
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "clbench", *words], cwd=cwd, capture_output=True, text=True, check=True
    )
    return time.perf_counter() - begun, done.stderr


def sweep(plan: dict[str, Any], folder: Path, name: str, *words: str) -> tuple[float, str]:
    """Seconds of a sweep into a new folder, and the line that says where they went."""
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(plan))
    seconds, said = clbench("sweep", f"{name}.yaml", "--results", name, *words, cwd=folder)
    (line,) = (one for one in said.splitlines() if "of each, on average" in one)
    return seconds, line


def digits(runs: int, folder: Path) -> None:
    """Start to leaderboard."""
    for name, base, count in (("five epochs", {"epochs": 5}, runs), ("standard recipe", {}, runs // 10)):
        plan = {"base": {"scenario": "split-digits"} | base, "grid": GRID, "seeds": max(count // 100, 1)}
        seconds, line = sweep(plan, folder, name, "--workers", "2")
        compared, _ = clbench("compare", name, "--format", "csv", cwd=folder)
        whole = seconds + compared
        print(f"split-digits, {name}: {count} runs in {whole / 60:.1f} min, {compared:.1f} s of it the leaderboard's")
        print(f"  {line}; import {_importing() / count:.4f} s", flush=True)


def _importing() -> float:
    """Seconds until a worker has imported all it needs, once for all its runs."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {', '.join(PRELOADED)}"], check=True)
    return time.perf_counter() - begun


def permuted(root: Path, folder: Path) -> None:
    """One worker and two, in turn; and two bare processes."""
    scenario = {"name": "permuted-mnist", "tasks": 3, "samples_per_task": 20_000}
    plan = {"base": {"scenario": scenario, "strategy": "ewc"}, "seeds": 8}
    ratios, bare = [], []
    for number in range(ROUNDS):
        rates = {}
        for workers in (1, 2):
            words = ("--workers", str(workers), "--threads", "1", "--data-root", str(root))
            _, line = sweep(plan, folder, f"permuted-{number}-{workers}", *words)
            rates[workers] = _rate(folder / f"permuted-{number}-{workers}")
            print(f"permuted MNIST, {workers} workers: {rates[workers]:.2f} runs a minute; {line}", flush=True)
        ratios.append(rates[2] / rates[1])
        bare.append(_bare(2) / _bare(1))
    print(f"two workers against one: {statistics.median(ratios):.2f} × (rounds: {_shown(ratios)})")
    print(f"two bare processes against one: {statistics.median(bare):.2f} × (rounds: {_shown(bare)})")


def convolutions(root: Path, folder: Path) -> None:
    """Two workers with a thread each against one with two, in turn."""
    for network in ("lenet", "slim-resnet18"):
        scenario = {"name": "split-cifar10", "keep": 2, "samples_per_task": 500}
        plan = {"base": {"scenario": scenario, "strategy": "naive", "model": network, "epochs": 2}, "seeds": 4}
        ratios = []
        for number in range(ROUNDS):
            rates = []
            for workers in (1, 2):
                name = f"{network}-{number}-{workers}"
                words = ("--workers", str(workers), "--threads", str(3 - workers), "--data-root", str(root))
                sweep(plan, folder, name, *words)
                rates.append(_rate(folder / name))
            ratios.append(rates[1] / rates[0])
        middle = statistics.median(ratios)
        print(f"{network}, two workers ÷ one on two threads: {middle:.2f} × (rounds: {_shown(ratios)})", flush=True)


def _rate(folder: Path) -> float:
    """Runs per minute from the beginning of the first to the end of the last: without importing."""
    files = [file for _, file in store.find([folder])]
    ends = [file.stat().st_mtime for file in files]
    begun = min(end - store.read(file).seconds for end, file in zip(ends, files, strict=True))
    return 60 * len(files) / (max(ends) - begun)


BARE = """
import sys, time, torch
torch.set_num_threads(1)
from torch import nn
model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))
optimizer = torch.optim.SGD(model.parameters(), 0.01)
x, y = torch.rand(128, 784), torch.randint(10, (128,))
print("ready", flush=True)
sys.stdin.readline()
begun = time.perf_counter()
for _ in range(4000):
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(x), y).backward()
    optimizer.step()
print(time.perf_counter() - begun)
"""


def _bare(processes: int) -> float:
    """Steps per second of so many training loops at once, each in a process of its own."""
    words = [sys.executable, "-c", BARE]
    running = [
        subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(processes)
    ]
    for one in running:
        assert one.stdout is not None
        one.stdout.readline()
    for one in running:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    answers = [re.findall(r"[\d.]+", one.communicate()[0])[-1] for one in running]
    return sum(4000 / float(seconds) for seconds in answers)


def _shown(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


def main() -> None:
    """Measure and print."""
    part = sys.argv[1] if len(sys.argv) > 1 else ""
    print(f"{os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as place:
        root = prepared()
        for name, measure in (("permuted", permuted), ("convolutions", convolutions)):
            if root is not None and part in ("", name):
                measure(root, Path(place))
        if part in ("", "digits"):
            digits(int(sys.argv[2]) if len(sys.argv) > 2 else 2000, Path(place))


if __name__ == "__main__":
    main()
