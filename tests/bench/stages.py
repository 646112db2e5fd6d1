"""Training rate against the bare loop, stage by stage in one process: what a noisy machine disturbs least.

    python -m tests.bench.stages [--tasks 12]

The work is that of ``tests.bench.speed``. A stage of the bare loop and one of clbench's learner take turns on the same
machine; the ratio of their seconds is taken stage by stage, and the median reported. ``ewc-fixed`` is compared with the
bare naive loop.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import torch

from clbench.avalanche import CLScenario
from clbench.config import RunConfig, resolve
from clbench.data.benchmark import make_benchmark
from clbench.data.dataset import Dataset
from clbench.data.sources import DataPlace
from clbench.data.tensors import ResidentStream
from clbench.engine.learner import ResidentLearner
from clbench.engine.network import learner_of
from clbench.engine.plugins import plugins_of, stages_of
from clbench.engine.seeding import prepare_process, seed_everything
from clbench.engine.stream import beside, stream_of
from clbench.engine.watch import AnswerWatch, DivergenceWatch, ReportSteps
from clbench.progress import Reporter
from tests.bench.bare import Bare, permuted
from tests.bench.speed import EWC, THREADS
from tests.real_data import prepared

CPU = torch.device("cpu")


def assembled(config: RunConfig, root: Path, device: torch.device = CPU) -> tuple[ResidentLearner, CLScenario, Dataset]:
    """Return what a run of the command line would train, with the engine's own watches."""
    prepare_process()
    seed_everything(0)
    data, stream = stream_of(config, DataPlace.default(root, offline=True))
    plugins = plugins_of(config)
    resident = ResidentStream(stream, data, device, config.scenario["normalisation"])
    benchmark = make_benchmark(resident, stages_of(plugins, stream), config.evaluate)
    own = [DivergenceWatch(Reporter()), AnswerWatch(), ReportSteps(Reporter())]
    learner, _ = learner_of(config, stream, data.shape, device, plugins + own)
    other = beside(config, plugins, DataPlace.default(root, offline=True), data.shape, device)
    learner.upstream = None if other is None else other.data
    return learner, benchmark, data


def ratios(method: str, tasks: int, root: Path) -> list[float]:
    """clbench's rate ÷ the bare loop's, for each stage but the first, which warms both up."""
    strategy = EWC if method == "ewc" else {"name": method}
    scenario = {"name": "permuted-mnist", "tasks": tasks}
    (config,) = resolve({"strategy": strategy, "scenario": scenario, "precision": "fp32"})  # as the bare loop
    learner, benchmark, data = assembled(config, root)
    torch.set_num_threads(THREADS)
    bare = Bare("ewc" if method == "ewc" else "naive")
    images = torch.tensor(data.train_samples)[:, 0]
    labels = torch.tensor(data.train_labels).long()
    found = []
    for experience in benchmark.streams["train"]:
        (inputs,) = permuted(images, [torch.randperm(784)])
        theirs = bare.stage(inputs, labels)
        assert len(experience.data) == len(labels)  # made before the clock starts, as the inputs above
        begun = time.perf_counter()
        learner.fit(experience)
        found.append(theirs / (time.perf_counter() - begun))
        experience.release()
    return found[1:]


def main() -> None:
    """Measure and print the table of docs/pages/explained/speed.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=12)
    tasks = parser.parse_args().tasks
    root = prepared()
    if root is None:
        sys.exit("This benchmark needs the real MNIST images: set CLBENCH_TEST_DATA or provide ../shared/data.")
    print("| strategy | rate ÷ bare loop, median | quartiles | stages |\n|---|---:|---:|---:|")
    for method in ("naive", "ewc", "ewc-fixed"):
        found = ratios(method, tasks, root)
        low, median, high = statistics.quantiles(found, n=4)
        print(f"| {method} | {median:.2f} | {low:.2f} to {high:.2f} | {len(found)} |", flush=True)


if __name__ == "__main__":
    main()
