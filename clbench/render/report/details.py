"""What is folded under each board: the whole table, cost, and numbers that runs have noted."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from clbench.analysis.boards import Entry, Leaderboard
from clbench.analysis.compare import better
from clbench.render import leaderboards as texts
from clbench.store import Result

COUNTED = ("samples", "memory", "state")  # by the run itself, whatever else the machine did
COST = ["strategy", "prepare, s", "train, s", "evaluate, s", "samples/s", "peak memory, MiB", *COUNTED]
NOTED = 10  # values of a quantity that are shown whole


def table(board: Leaderboard) -> Mapping[str, Any]:
    """The board's table: for each row its cells, and the numbers that columns are sorted by.

    ``down``: columns of which more is better, so that a reader first sees the best. ``told``: the places of what
    depends on the reference, difference and state.
    """
    made = texts.leaderboard(board)
    best_first = {texts.heading(column): better(column) == "higher" for column in board.metrics}
    referred = bool(board.reference)
    down = {place for place, name in enumerate(made.header) if best_first.get(name, name == "of the way")}
    if referred and best_first[made.header[3]]:
        down.add(4)
    rows = [[(text, _key(text)) for text in cells] for cells in made.rows]
    return {
        "header": made.header, "right": made.right, "down": down, "rows": rows, "note": made.note,
        "blocks": made.blocks, "told": (4, 5) if referred else (None, None),
    }  # fmt: skip


def _key(text: str) -> float | str:
    """The number that a text begins with, else the text; nothing for a dash."""
    found = re.match(r"[^\d\w]*?([+−-]?\d+(\.\d+)?)", text)
    return float(found[1].replace("−", "-")) if found else "" if text == "–" else text


def cost(entries: Sequence[Entry], groups: Sequence[list[Result]]) -> list[tuple[int, list[str]]]:
    """Mean seconds of each phase, samples per second, peak memory and counted costs of each row, with its place."""
    rows = []
    for place, (entry, group) in enumerate(zip(entries, groups, strict=True)):
        stages = [stage for result in group for stage in result.cost]
        n = len(entry.seeds)
        if not stages:
            continue
        prepare = [stage.prepare_seconds for stage in stages if stage.prepare_seconds is not None]
        cells = [
            entry.label,
            f"{sum(prepare) / n:.2f}" if prepare else "–",
            f"{sum(stage.train_seconds for stage in stages) / n:.2f}",
            f"{sum(stage.evaluate_seconds for stage in stages) / n:.2f}",
            f"{sum(stage.samples_per_second for stage in stages) / len(stages):,.0f}",
            f"{max(stage.peak_memory_mib for stage in stages):,.0f}",
            *(texts.number(entry.estimates.get(column), column) for column in COUNTED),
        ]
        rows.append((place, cells))
    return rows


def diagnostics(entries: Sequence[Entry], groups: Sequence[list[Result]]) -> list[tuple[int, list[str]]]:
    """Numbers per stage that runs have noted, meaned over seeds, with the row's place."""
    rows = []
    for place, (entry, group) in enumerate(zip(entries, groups, strict=True)):
        noted: dict[str, list[list[float]]] = {}
        for result in group:
            for name, values in result.diagnostics.items():
                if isinstance(values, list) and values and all(isinstance(v, float | int) for v in values):
                    noted.setdefault(name, []).append(values)
        for name, found in sorted(noted.items()):
            means = [sum(stage) / len(stage) for stage in zip(*found, strict=False)]
            rows.append((place, [entry.label, name.replace("_", " "), _shown(means)]))
    return rows


def _shown(means: Sequence[float]) -> str:
    shown = [f"{value:.3g}" for value in means]
    half = NOTED // 2
    return ", ".join(shown if len(shown) <= NOTED else [*shown[:half], "…", *shown[-half:]])
