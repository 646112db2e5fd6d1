"""False alarms and detections of the regression gate, by simulation.

    python -m tests.bench.gate [--checks 1000] [--baseline results/baseline]

In each check, one metric of every cell is measured with the same seeds before and after. The differences of a cell
scatter with its own spread: as the seeds of a cell of the committed baseline do (drawn among its cells), or 1 point
everywhere; normally, or with heavy tails (Student's t with 3 degrees of freedom). All cells have moved by the shift,
or one of them has. The tables give the share of checks that fail, in per cent.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clbench.analysis.load import load
from clbench.analysis.noninferiority import Drop, adjusted, drops, together
from clbench.analysis.runs import by_seed, cells
from clbench.analysis.statistics import stdev
from clbench.analysis.verdicts import DEFAULT_MARGIN

ALPHA = 0.05
EQUAL = (0.01,)
UNEQUAL = (0.005, 0.085)  # half of the cells 17 times as noisy as the other half
SIZES = [(cells, seeds) for cells in (1, 10, 104) for seeds in (3, 5, 10)]


@dataclass(frozen=True)
class Setting:
    """What is simulated. ``spreads``: a cell's is drawn among them. ``common``: the cells' correlation over seeds."""

    cells: int
    seeds: int
    spreads: Sequence[float] = EQUAL
    heavy: bool = False
    common: float = 0.0
    one: bool = False  # whether one cell moves rather than all
    margin: float = DEFAULT_MARGIN
    strict: bool = False


def failing(setting: Setting, shift: float, checks: int) -> float:
    """Return the share of checks that fail after a shift of the metric."""
    random = np.random.default_rng([setting.cells, setting.seeds, round(1000 * (1 + shift)), setting.heavy])
    return sum(fails(sample, setting) for sample in _samples(setting, shift, checks, random)) / checks


def fails(differences: NDArray[np.float64], setting: Setting) -> bool:
    """Whether the check of some cells' differences, of shape (cells, seeds), fails."""
    cells = [dict(enumerate(cell)) for cell in differences.tolist()]
    found, whole = drops(cells, setting.margin, ALPHA), together(cells, setting.margin, ALPHA)
    of_cells, of_all = adjusted(_known(found), _known([whole] if whole else []))
    if min(of_cells + of_all) <= ALPHA:
        return True
    return setting.strict and any(one.at_least is None or one.at_least < -setting.margin for one in found)


def _known(found: Sequence[Drop]) -> list[float]:
    return [one.p for one in found if one.p is not None]


def _samples(setting: Setting, shift: float, checks: int, random: np.random.Generator) -> Iterator[NDArray[np.float64]]:
    """Differences of shape (cells, seeds), a check at a time."""
    shape = (setting.cells, setting.seeds)
    moved = np.full((setting.cells, 1), shift)
    if setting.one:
        moved[1:] = 0.0
    for _ in range(checks):
        noise = random.standard_t(3, shape) / math.sqrt(3) if setting.heavy else random.normal(size=shape)
        if setting.common:
            noise *= math.sqrt(1 - setting.common)
            noise += math.sqrt(setting.common) * random.normal(size=shape[1])
        yield random.choice(setting.spreads, size=(setting.cells, 1)) * noise + moved


def spreads_of(folder: Path, metric: str = "average_accuracy") -> list[float]:
    """Standard deviations over seeds of a metric, of each cell of a folder in which it varies."""
    values = [list(by_seed(group, metric).values()) for group in cells(load([folder])[0]).values()]
    return [spread for one in values if len(one) > 1 and (spread := stdev(one)) > 0]


def _row(names: Sequence[object], shares: Iterable[float]) -> None:
    print("| " + " | ".join([*map(str, names), *(f"{100 * share:.1f}" for share in shares)]) + " |", flush=True)


def power(known: Mapping[str, Sequence[float]], checks: int) -> None:
    """Print how often checks fail after shifts, where all cells move and where one does."""
    shifts, single = (0.0, -0.01, -0.02, -0.05, -0.1), (-0.02, -0.05, -0.1)
    columns = [f"all {100 * shift:g}" for shift in shifts] + [f"one {100 * shift:g}" for shift in single]
    _row(["spreads of", "cells", "seeds", *columns], [])
    print("|---|" + "---:|" * (2 + len(columns)))
    for name, spreads in known.items():
        for count, seeds in SIZES:
            setting = Setting(count, seeds, spreads)
            shares = [failing(setting, shift, checks) for shift in shifts]
            shares += [failing(replace(setting, one=True), shift, checks) for shift in single]
            _row([name, count, seeds], shares)
    print()


def alarms(known: Mapping[str, Sequence[float]], checks: int) -> None:
    """Print how often checks fail where all cells are worse by the margin, which is the worst of what is allowed."""
    kinds = {
        "1 point": Setting(1, 1),
        "1 point, heavy tails": Setting(1, 1, heavy=True),
        "1 point, cells correlated by .9": Setting(1, 1, common=0.9),
        "0.5 or 8.5 points": Setting(1, 1, UNEQUAL),
        "0.5 or 8.5 points, heavy tails": Setting(1, 1, UNEQUAL, heavy=True),
        "split-digits": Setting(1, 1, known["split-digits"]),
        "split-digits, heavy tails": Setting(1, 1, known["split-digits"], heavy=True),
        "permuted-digits": Setting(1, 1, known["permuted-digits"]),
        "permuted-digits, cells correlated by .5": Setting(1, 1, known["permuted-digits"], common=0.5),
    }
    strict = {
        f"{name}, `--strict --margin 0.1`": Setting(1, 1, spreads, margin=0.1, strict=True)
        for name, spreads in known.items()
    }
    _row(["spreads", *(f"{count} × {seeds}" for count, seeds in SIZES)], [])
    print("|---|" + "---:|" * len(SIZES))
    for name, kind in (kinds | strict).items():
        shift = 0.0 if kind.strict else -kind.margin
        _row([name], [failing(replace(kind, cells=count, seeds=seeds), shift, checks) for count, seeds in SIZES])


def main() -> None:
    """Simulate and print the tables of docs/pages/explained/statistics.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checks", type=int, default=1000)
    parser.add_argument("--baseline", type=Path, default=Path("results/baseline"))
    options = parser.parse_args()
    known = {name: spreads_of(options.baseline / name) for name in ("split-digits", "permuted-digits")}
    power(known, options.checks)
    alarms(known, options.checks)


if __name__ == "__main__":
    main()
