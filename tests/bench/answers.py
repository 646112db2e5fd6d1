"""False alarms, coverage and power of the answers that boards give, by simulation.

    python -m tests.bench.answers [--boards 1500] [--baseline results/baseline]

In each board k rows are measured with n seeds, which they share. A row's values scatter with its own spread: as those
of the committed baselines do (drawn among their rows), 1 point everywhere, or unequal by 17; normally, or with heavy
tails (Student's t with 3 degrees of freedom); a seed moves all rows together, half of the variance being common. The
first row is the reference, named beforehand. Where nothing differs, the first table counts *false alarms*: boards that
call any row better or worse. The best row of a board is one of several that are level (the hardest case): *kept* is the
share of boards that keep it in the set of possible bests. The second table shifts each row by as much as rows of the
baseline differ, and counts, of rows that truly differ by more than 3 points, those that are told from the reference,
and those excluded from the set. All in per cent. Large boards, which take long, are a fifth as many.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clbench.analysis.answers import Question, against
from clbench.analysis.bests import possible_bests
from clbench.analysis.load import load
from clbench.analysis.runs import by_seed, cells
from clbench.analysis.statistics import stdev

QUESTION = Question(lower=False, margin=0.01)
FAR = 0.03
LARGE = 50  # rows
SIZES = [(k, n) for k in (2, 5, 52) for n in (3, 5, 10)]
EQUAL = (0.01,)
UNEQUAL = (0.005, 0.085)
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Setting:
    """What is simulated. ``spreads``, ``means``: a row's are drawn among them; without means nothing differs.

    ``missing``: the share of values that are not there; ``unpaired``: no two rows have a seed in common.
    """

    rows: int
    seeds: int
    spreads: Sequence[float] = EQUAL
    means: Sequence[float] = (0.0,)
    heavy: bool = False
    missing: float = 0.0
    unpaired: bool = False
    common: float = 0.5


@dataclass
class Counted:
    """Of boards: false alarms, the best row kept; of rows that differ by more than 3 points: told, excluded."""

    boards: int = 0
    alarms: int = 0
    kept: int = 0
    apart: int = 0
    told: int = 0
    behind: int = 0
    excluded: int = 0


def simulate(setting: Setting, boards: int) -> Counted:
    """Count over so many boards; of large ones over a fifth."""
    random = np.random.default_rng([setting.rows, setting.seeds, setting.heavy, setting.unpaired, len(setting.means)])
    found = Counted()
    for _ in range(boards // 5 if setting.rows >= LARGE else boards):
        count(found, setting, random)
    return found


def count(found: Counted, setting: Setting, random: np.random.Generator) -> None:
    """Draw one board, ask, and count what the answers are worth."""
    k = setting.rows
    means = random.choice(setting.means, size=k)
    rows = draw(setting, means, random)
    answers = against(rows, [None] + [0] * (k - 1), [str(i) for i in range(k)], QUESTION)
    bests = possible_bests(rows, QUESTION)
    found.boards += 1
    wrong = False
    for mean, one in zip(means[1:], answers[1:], strict=True):
        assert one is not None
        truth = mean - means[0]
        wrong |= (one.stand == "better" and truth <= 0) or (one.stand == "worse" and truth >= 0)
        wrong |= one.stand == "equal" and abs(truth) >= QUESTION.margin
        if abs(truth) > FAR:
            found.apart += 1
            found.told += one.stand in ("better", "worse")
    found.alarms += wrong
    best = int(means.argmax())
    found.kept += bests[best] is not False
    for mean, may in zip(means, bests, strict=True):
        if means[best] - mean > FAR:
            found.behind += 1
            found.excluded += may is False


def draw(setting: Setting, means: Values, random: np.random.Generator) -> list[dict[int, float]]:
    """The rows' values by seed."""
    shape = (setting.rows, setting.seeds)
    noise = random.standard_t(3, shape) / math.sqrt(3) if setting.heavy else random.normal(size=shape)
    if not setting.unpaired:
        noise = math.sqrt(1 - setting.common) * noise + math.sqrt(setting.common) * random.normal(size=shape[1])
    values = means[:, None] + random.choice(setting.spreads, size=(setting.rows, 1)) * noise
    there = random.random(shape) >= setting.missing
    first = setting.seeds if setting.unpaired else 0
    return [
        {place * first + seed: float(value) for seed, value in enumerate(row) if here[seed] or seed < 2}
        for place, (row, here) in enumerate(zip(values, there, strict=True))
    ]


def known(folder: Path) -> tuple[list[float], list[float]]:
    """Spreads over seeds and means of the rows of a baseline."""
    rows = [list(by_seed(group, "average_accuracy").values()) for group in cells(load([folder])[0]).values()]
    rows = [row for row in rows if len(row) > 1 and stdev(row) > 0]
    return [stdev(row) for row in rows], [sum(row) / len(row) for row in rows]


def _row(names: Sequence[object], shares: Iterable[float]) -> None:
    print("| " + " | ".join([*map(str, names), *(f"{100 * share:.1f}" for share in shares)]) + " |", flush=True)


def alarms(spreads: Mapping[str, Sequence[float]], boards: int) -> None:
    """Print false alarms and coverage where nothing differs."""
    kinds = {
        "1 point": Setting(1, 1),
        "1 point, heavy tails": Setting(1, 1, heavy=True),
        "0.5 or 8.5 points": Setting(1, 1, UNEQUAL),
        "0.5 or 8.5 points, heavy tails": Setting(1, 1, UNEQUAL, heavy=True),
        "1 point, a fifth of values missing": Setting(1, 1, missing=0.2),
        "1 point, no shared seeds": Setting(1, 1, unpaired=True),
        "0.5 or 8.5 points, no shared seeds": Setting(1, 1, UNEQUAL, unpaired=True),
    } | {name: Setting(1, 1, one) for name, one in spreads.items()}
    _row(["nothing differs; spreads", *(f"k {k}, n {n}" for k, n in SIZES)], [])
    print("|---|" + "---:|" * len(SIZES))
    for name, kind in kinds.items():
        found = [simulate(replace(kind, rows=k, seeds=n), boards) for k, n in SIZES]
        _row([f"{name}: false alarms"], [one.alarms / one.boards for one in found])
        _row([f"{name}: best kept"], [one.kept / one.boards for one in found])
    print()


def power(baselines: Mapping[str, tuple[Sequence[float], Sequence[float]]], boards: int) -> None:
    """Print what is told where rows differ as those of the baselines do."""
    _row(["rows differ as in", "measure", *(f"k {k}, n {n}" for k, n in SIZES)], [])
    print("|---|---|" + "---:|" * len(SIZES))
    for name, (spreads, means) in baselines.items():
        found = [simulate(Setting(k, n, spreads, means), boards) for k, n in SIZES]
        _row([name, "told from the reference"], [one.told / max(one.apart, 1) for one in found])
        _row([name, "excluded from the possible bests"], [one.excluded / max(one.behind, 1) for one in found])
        _row([name, "best kept"], [one.kept / one.boards for one in found])
        _row([name, "boards with a wrong answer"], [one.alarms / one.boards for one in found])


def main() -> None:
    """Simulate and print the tables of docs/pages/explained/statistics.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boards", type=int, default=1500)
    parser.add_argument("--baseline", type=Path, default=Path("results/baseline"))
    options = parser.parse_args()
    baselines = {name: known(options.baseline / name) for name in ("split-digits", "permuted-digits")}
    power(baselines, options.boards)
    print()
    alarms({name: one[0] for name, one in baselines.items()}, options.boards)


if __name__ == "__main__":
    main()
