"""Tables from file to Result: how long reading takes and in how much memory, a whole run, and the rate of training.

    python -m tests.bench.vectors

Needs the real tables (CLBENCH_TEST_DATA or ../shared/data). The rate is that of the engine's steps, which encode rows
as they come, over that of a bare loop on the same rows, encoded beforehand; both on one thread, by turns.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import torch
from torch import nn

from clbench.config import RunConfig, resolve
from clbench.data.sources import DataPlace
from clbench.engine.run import Machine, run
from clbench.engine.stream import resident_of, stream_of
from clbench.models.mlp import mlp
from tests.real_data import prepared

TURNS = 5
READ = """
import resource, sys, time
from pathlib import Path
from clbench.data import cache
from clbench.data.sources import DataPlace
begun = time.perf_counter()
data = cache.load(sys.argv[1], DataPlace.default(Path(sys.argv[2])))
print(time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, len(data.train_labels))
"""


def main() -> None:
    """Measure and print."""
    root = prepared()
    if root is None:
        sys.exit("the real tables are not here: set CLBENCH_TEST_DATA, or provide ../shared/data")
    with tempfile.TemporaryDirectory() as scratch:
        around = {**os.environ, "CLBENCH_CACHE": scratch, "CLBENCH_DATA": str(root)}
        read = [sys.executable, "-c", READ, "covertype", str(root)]
        seconds, peak, rows = subprocess.run(
            read, env=around, check=True, capture_output=True, text=True
        ).stdout.split()
        print(f"covertype: {int(rows):,} rows read in {float(seconds):.1f} s, peak {float(peak):,.0f} MiB")
        command = [sys.executable, "-m", "clbench", "run", "--strategy", "naive", "--scenario", "time-flights-2013"]
        for cache in ("from the CSV", "from the cache"):
            begun = time.perf_counter()
            told = subprocess.run(
                [*command, "--results", scratch, "--json"], env=around, check=True, capture_output=True, text=True
            )
            periods = len(json.loads(told.stdout)[0]["data"]["train_samples"])
            print(f"time-flights-2013, {periods} periods, {cache}: {time.perf_counter() - begun:.1f} s")
    (config,) = resolve({"strategy": "naive", "scenario": "time-flights-2013"})
    place = DataPlace.default(root, offline=True)
    ratios = [bare(config, place) / engine(config, place) for _ in range(TURNS)]
    print(f"training rate over a bare loop's: {statistics.median(ratios):.2f} (of {TURNS} turns)")


def engine(config: RunConfig, place: DataPlace) -> float:
    """Seconds that a run's stages trained for."""
    return sum(stage.train_seconds for stage in run(config, Machine(place, "cpu", 1)).cost)


def bare(config: RunConfig, place: DataPlace) -> float:
    """Seconds of a plain loop over the same stages."""
    torch.set_num_threads(1)
    data, stream = stream_of(config, place)
    resident = resident_of(config, stream, data, stream.stages, torch.device("cpu"))
    network = nn.Sequential(mlp(resident.encode.shape, widths=(128, 128), norm="layer"), nn.Linear(128, stream.outputs))
    optimizer = torch.optim.Adam(network.parameters(), config.optimizer["lr"], fused=True)
    seconds = 0.0
    for task in range(len(stream.tasks)):
        resident.see([task])
        part = resident.train(task)
        inputs = part.inputs(part.samples)
        begun = time.perf_counter()
        for rows in torch.randperm(len(part)).split(config.batch_size):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(inputs[rows]), part.labels[rows]).backward()
            optimizer.step()
        seconds += time.perf_counter() - begun
    return seconds


if __name__ == "__main__":
    main()
