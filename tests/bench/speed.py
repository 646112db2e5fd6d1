"""Speed on permuted MNIST: stock Avalanche, clbench and a bare loop, in one run on the same machine and work.

    python -m tests.bench.speed [--rounds 3] [--tasks 10] [--without-avalanche]

MLP 784-256-256-10 in fp32, SGD 0.05, batch 128, one epoch, all tasks evaluated after each. Every measurement is a
process of its own with two threads; rounds go through the candidates in either order by turns, and the table shows
medians. EWC is the same work: the squared mini-batch gradients of all weights. Needs the real MNIST images
(CLBENCH_TEST_DATA or ../shared/data).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from tests.real_data import prepared

THREADS = 2
EWC = {"name": "ewc", "fisher": "batched", "fisher_samples": None, "include_head": True}
Measured = dict[str, float]


def work_bare(method: str, tasks: int, root: Path) -> Measured:
    """The bare loop."""
    import numpy as np
    import torch
    from torchvision.datasets import MNIST as Images

    from tests.bench import bare

    torch.set_num_threads(THREADS)
    torch.set_flush_denormal(True)
    arrays: list[torch.Tensor] = []
    for train in (True, False):
        part = Images(str(root), train=train)
        arrays += [torch.from_numpy(np.asarray(part.data)), torch.from_numpy(np.asarray(part.targets))]
    found = bare.train((arrays[0], arrays[1]), (arrays[2], arrays[3]), tasks, method)
    return {"rate": found["samples_per_second"], "accuracy": statistics.fmean(found["R"][-1])}


def work_avalanche(method: str, tasks: int, root: Path) -> Measured:
    """Avalanche 0.6 as its documentation shows it: its own benchmark, loader and strategy."""
    import torch
    from avalanche.benchmarks.classic import PermutedMNIST
    from avalanche.evaluation.metrics import accuracy_metrics
    from avalanche.training.plugins import EvaluationPlugin
    from avalanche.training.supervised import EWC as StockEWC
    from avalanche.training.supervised import Naive as StockNaive

    from tests.bench import bare

    torch.set_num_threads(THREADS)
    benchmark = PermutedMNIST(n_experiences=tasks, seed=0, dataset_root=root)
    model = torch.nn.Sequential(torch.nn.Flatten(), *bare.network())
    evaluator = EvaluationPlugin(accuracy_metrics(experience=True, stream=True), loggers=[])
    settings: dict[str, Any] = {
        "model": model,
        "optimizer": torch.optim.SGD(model.parameters(), 0.05),
        "criterion": torch.nn.CrossEntropyLoss(),
        "train_mb_size": 128,
        "train_epochs": 1,
        "eval_mb_size": 128,
        "evaluator": evaluator,
    }
    strategy = StockNaive(**settings) if method == "naive" else StockEWC(ewc_lambda=50.0, **settings)
    seconds, samples, metrics = 0.0, 0, {}
    for experience in benchmark.train_stream:
        begun = time.perf_counter()
        strategy.train(experience)
        seconds += time.perf_counter() - begun
        samples += len(experience.dataset)
        metrics = strategy.eval(benchmark.test_stream)
    return {"rate": samples / seconds, "accuracy": metrics["Top1_Acc_Stream/eval_phase/test_stream/Task000"]}


def measure(candidate: str, method: str, tasks: int, root: Path) -> Measured:
    """Run one candidate in a process of its own: rate, accuracy, whole wall time and peak memory."""
    if candidate == "clbench":
        return _measure_clbench(method, tasks, root)
    command = [sys.executable, "-m", "tests.bench.speed", "--work", candidate, "--method", method]
    command += ["--tasks", str(tasks), "--root", str(root)]
    begun = time.perf_counter()
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: Measured = json.loads(output.splitlines()[-1])
    return found | {"seconds": time.perf_counter() - begun}


def _measure_clbench(method: str, tasks: int, root: Path) -> Measured:
    """The real command line."""
    strategy: dict[str, Any] = EWC if method == "ewc" else {"name": method}
    settings = [f"--set=strategy.{k}={json.dumps(v)}" for k, v in strategy.items() if k != "name"]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "clbench", "run", "--strategy", strategy["name"]]
        command += ["--scenario", "permuted-mnist", f"--set=scenario.tasks={tasks}", *settings, "--json"]
        command += ["--precision", "fp32", "--threads", str(THREADS)]  # as the bare loop
        command += ["--data-root", str(root), "--results", folder, "--offline"]
        begun = time.perf_counter()
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        seconds = time.perf_counter() - begun
    (result,) = json.loads(output)
    spent = sum(stage["train_seconds"] for stage in result["cost"])
    return {
        "rate": sum(result["data"]["train_samples"]) / spent,
        "accuracy": result["metrics"]["average_accuracy"]["value"],
        "seconds": seconds,
        "memory": result["cost"][-1]["peak_memory_mib"],
    }


CANDIDATES = [
    ("bare", "naive"),
    ("clbench", "naive"),
    ("bare", "ewc"),
    ("clbench", "ewc"),
    ("clbench", "ewc-fixed"),
]
STOCK = [("avalanche", "naive"), ("avalanche", "ewc")]


def table(found: dict[tuple[str, str], list[Measured]]) -> str:
    """The table of docs/pages/explained/speed.md, from medians; ratios are medians over rounds of same-round ratios."""

    def median(key: tuple[str, str], value: str) -> float:
        return statistics.median(one[value] for one in found[key])

    def ratio(key: tuple[str, str], value: str, base: tuple[str, str]) -> str:
        pairs = zip(found[key], found[base], strict=False)
        return f"{statistics.median(a[value] / b[value] for a, b in pairs):.2f}"

    lines = [
        "| candidate | strategy | samples/s in training | ÷ bare loop | whole run, s | ÷ bare loop "
        "| peak memory, MiB | average accuracy, % |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for key in [key for key in CANDIDATES + STOCK if key in found]:
        base = ("bare", "naive" if key[1] == "naive" else "ewc")
        rate_base = ("bare", "ewc" if key[1] == "ewc" else "naive")
        lines.append(
            f"| {key[0]} | {key[1]} | {median(key, 'rate'):,.0f} | {ratio(key, 'rate', rate_base)} | "
            f"{median(key, 'seconds'):.1f} | {ratio(key, 'seconds', base)} | {median(key, 'memory'):,.0f} | "
            f"{100 * median(key, 'accuracy'):.1f} |"
        )
    return "\n".join(lines)


def start_up(rounds: int) -> str:
    """Wall time of commands that tell: medians, in a table."""
    from clbench import store
    from tests.helpers import make_result

    with tempfile.TemporaryDirectory() as folder:
        for number in range(1000):
            store.write(make_result(f"strategy {number % 20}", number // 20), Path(folder))
        commands = [["--help"], ["list", "strategies"], ["list", "scenarios"], ["compare", folder]]
        lines = ["| command | s |", "|---|---:|"]
        for words in commands:
            seconds = []
            for _ in range(2 * rounds):
                begun = time.perf_counter()
                subprocess.run([sys.executable, "-m", "clbench", *words], check=True, capture_output=True)
                seconds.append(time.perf_counter() - begun)
            shown = " ".join(words).replace(folder, "(1,000 Results)")
            lines.append(f"| `clbench {shown}` | {statistics.median(seconds):.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tasks", type=int, default=10)
    parser.add_argument("--without-avalanche", action="store_true")
    parser.add_argument("--work", choices=["bare", "avalanche"], help=argparse.SUPPRESS)
    parser.add_argument("--method", default="naive", help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        works = {"bare": work_bare, "avalanche": work_avalanche}
        done = works[options.work](options.method, options.tasks, options.root)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(done | {"memory": peak}))
        return
    root = prepared()
    if root is None:
        sys.exit("make bench needs the real MNIST images: set CLBENCH_TEST_DATA or provide ../shared/data.")
    found: dict[tuple[str, str], list[Measured]] = defaultdict(list)
    for number in range(options.rounds):
        stock = STOCK if number == 0 and not options.without_avalanche else []
        # Every other round goes backwards, so that nobody always runs on a machine warmed up by the same other.
        ordered = CANDIDATES[::-1] if number % 2 else CANDIDATES
        for candidate, method in ordered + stock:
            one = measure(candidate, method, options.tasks, root)
            found[candidate, method].append(one)
            words = ", ".join(f"{key} {value:,.3g}" for key, value in one.items())
            print(f"round {number + 1}: {candidate} {method}: {words}", file=sys.stderr, flush=True)
    print(f"\n{os.cpu_count()} cores, {THREADS} threads, {options.tasks} tasks, medians of {options.rounds} rounds\n")
    print(table(found))
    print(f"\n{start_up(options.rounds)}")
    print("\nFor ewc-fixed the training rate is compared with the bare naive loop, the whole run with bare EWC.")


if __name__ == "__main__":
    main()
