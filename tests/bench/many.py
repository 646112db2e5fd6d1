"""How long ``clbench compare`` takes over very many Results, and how much memory.

    python -m tests.bench.many [COUNT]

Makes Results of 10 seeds over values of λ, learning rate and batch size from a real one, with noise in R, in a
temporary folder (4 KB each), then runs the command line on them. It imports no torch: a child's memory begins as its
parent's.
"""

from __future__ import annotations

import copy
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from clbench import metrics, store

TEMPLATE = Path(__file__).resolve().parents[1] / "golden" / "result-v1.json"


def make(count: int, folder: Path) -> None:
    """Write the Results."""
    template = store.read(TEMPLATE)
    noise = random.Random(0)
    for number in range(count):
        cell, seed = divmod(number, 10)
        config = copy.deepcopy(template.config)
        config["seed"] = seed
        config["strategy"]["lam"] = float(cell % 100)
        config["optimizer"]["lr"] = 0.01 * (1 + cell // 100 % 10)
        config["scenario"]["name"] = ("split-digits", "split-mnist")[cell // 1000 % 2]
        config["batch_size"] = 16 + cell // 2000
        rows = [[min(1.0, max(0.0, (v or 0.0) + noise.gauss(0, 0.01))) for v in row] for row in template.accuracy]
        values = {
            name: store.MetricValue(value=value, version=metrics.METRICS[name].version)
            for name, value in metrics.compute(metrics.Course(rows)).items()
        }
        changed = {"config": config, "seed": seed, "run_id": store.digest(config), "accuracy": rows, "metrics": values}
        store.write(template.model_copy(update=changed), folder)


def main() -> None:
    """Make, compare, and print seconds and memory."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as folder:
        make(count, Path(folder))
        begun = time.perf_counter()
        words = [sys.executable, "-m", "clbench", "compare", folder, "--format", "csv"]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"{count:,} Results: {seconds:.1f} s, {peak:,.0f} MiB")


if __name__ == "__main__":
    main()
