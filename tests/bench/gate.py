"""False alarms and detections of the regression gate, by simulation.

    python -m tests.bench.gate [--checks 2000]

Each check has 4 cells of 200 test images. A seed's true accuracy is drawn around 85 % with a spread of 1 point (heavy
tails: by Student's t with 3 degrees of freedom); baseline and candidate measure it on images of their own, the
candidate after a shift. What the table gives is the share of checks that fail.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

import numpy as np

from clbench.analysis.check import Rules, check
from clbench.analysis.runs import Run

CELLS, IMAGES, LEVEL, SPREAD = 4, 200, 0.85, 0.01


def synthetic(strategy: str, values: Sequence[float]) -> list[Run]:
    """Runs that have a metric and nothing else."""
    setup = json.dumps({"strategy": {"name": strategy}})
    return [
        Run("", None, "", "", "ok", seed, "s", strategy, setup, "{}", "{}", "", 1.0, {"average_accuracy": value})
        for seed, value in enumerate(values)
    ]


def failing(shift: float, checks: int, seeds: int, *, strict: float | None = None, heavy: bool = False) -> float:
    """Share of checks that fail when every cell's true accuracy has moved by ``shift``; ``strict`` is its margin."""
    random = np.random.default_rng([seeds, int(1000 * (1 + shift)), heavy])
    margins = {} if strict is None else {"average_accuracy": strict}
    rules = Rules(metrics=["average_accuracy"], margins=margins, strict=strict is not None)
    failed = 0
    for _ in range(checks):
        before: list[Run] = []
        after: list[Run] = []
        for cell in range(CELLS):
            spread = random.standard_t(3, seeds) if heavy else random.normal(size=seeds)
            level = LEVEL + SPREAD * spread
            before += synthetic(str(cell), _measured(level, random))
            after += synthetic(str(cell), _measured(level + shift, random))
        failed += not check(before, after, rules).passed
    return failed / checks


def _measured(level: np.ndarray[tuple[int], np.dtype[np.float64]], random: np.random.Generator) -> list[float]:
    return [float(right) / IMAGES for right in random.binomial(IMAGES, np.clip(level, 0, 1))]


def main() -> None:
    """Simulate and print the README's table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checks", type=int, default=2000)
    checks = parser.parse_args().checks
    shifts = (0.0, -0.01, -0.02, -0.05, -0.1, -0.2)
    print("| seeds | gate | " + " | ".join(f"{100 * shift:g} points" for shift in shifts) + " |")
    print("|---:|---|" + "---:|" * len(shifts))
    for seeds in (3, 5, 10):
        kinds = (
            ("default", None, False),
            ("default, heavy tails", None, True),
            ("--strict --margin 0.05", 0.05, False),
            ("--strict --margin 0.1", 0.1, False),
        )
        for name, strict, heavy in kinds:
            shares = [failing(shift, checks, seeds, strict=strict, heavy=heavy) for shift in shifts]
            print(f"| {seeds} | {name} | " + " | ".join(f"{share:.1%}" for share in shares) + " |", flush=True)


if __name__ == "__main__":
    main()
