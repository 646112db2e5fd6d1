"""Small pictures, one per row or quantity: accuracy over stages, the accuracy matrix, what was measured of networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clbench.analysis.boards import Leaderboard
from clbench.analysis.diagnosis import QUANTITIES, Diagnosis
from clbench.analysis.matrices import Matrices
from clbench.analysis.statistics import Estimate

SHOWN = 12  # stages and tasks of a small picture; of more, evenly chosen ones
SHADES = 8  # of tasks, the first dark
LINES = 8  # strategies that lines and colours tell apart
# cividis, even in lightness and made for colour-vision deficiency, at 0, 25, … 100 %
ANCHORS = ((0, 34, 78), (65, 77, 107), (124, 123, 120), (188, 175, 111), (254, 232, 56))


def courses(board: Leaderboard, found: Sequence[Matrices]) -> list[Mapping[str, Any]]:
    """For each row lines of accuracy on tasks over stages, mean forgetting, and cells of the matrix."""
    places = {entry.label: place for place, entry in enumerate(board.entries)}
    return [_course(places[one.label], one) for one in found]


def _course(row: int, one: Matrices) -> Mapping[str, Any]:
    means = [[None if cell is None else cell.mean for cell in stage] for stage in one.accuracy]
    stages, tasks = _chosen(len(means)), _chosen(len(means[0]))
    last = max(len(means) - 1, 1)
    lines = [
        (SHADES * number // len(tasks), _line([(s / last, means[s][task]) for s in stages]))
        for number, task in enumerate(tasks)
    ]
    forgotten = [((stage + 2) / last, value.mean) for stage, value in enumerate(one.forgetting)]
    cells = [
        (across, down, shade(value))
        for down, stage in enumerate(stages)
        for across, task in enumerate(tasks)
        if (value := means[stage][task]) is not None
    ]
    return {
        "row": row, "label": one.label, "lines": lines, "forgetting": _line(forgotten), "cells": cells,
        "size": (len(tasks), len(stages)), "told": f"{one.label}: {_words(means, tasks)}",
    }  # fmt: skip


def _line(points: Sequence[tuple[float, float | None]]) -> str:
    """Points of a line in a picture of 100 × 100, 100 % on top."""
    return " ".join(f"{100 * x:.4g},{100 - 100 * y:.3g}" for x, y in points if y is not None)


def _words(means: Sequence[Sequence[float | None]], tasks: Sequence[int]) -> str:
    """The matrix's last row."""
    shown = ", ".join("–" if means[-1][task] is None else f"{100 * (means[-1][task] or 0):.0f}" for task in tasks)
    which = "all tasks" if len(tasks) == len(means[0]) else f"{len(tasks)} of {len(means[0])} tasks"
    return f"accuracy after the last stage on {which}: {shown} %"


def _chosen(count: int) -> list[int]:
    """At most so many of some stages or tasks, evenly, with the first and the last."""
    if count <= SHOWN:
        return list(range(count))
    return [round(number * (count - 1) / (SHOWN - 1)) for number in range(SHOWN)]


def shade(share: float) -> str:
    """A colour for a share."""
    at = min(max(share, 0.0), 1.0) * (len(ANCHORS) - 1)
    low = min(int(at), len(ANCHORS) - 2)
    mixed = (round(a + (at - low) * (b - a)) for a, b in zip(ANCHORS[low], ANCHORS[low + 1], strict=True))
    return "#" + "".join(f"{part:02x}" for part in mixed)


def quantities(found: Sequence[Diagnosis]) -> list[Mapping[str, Any]]:
    """For each quantity that was measured over stages a line per strategy, and the values at the axis's ends."""
    panels: list[Mapping[str, Any]] = []
    for quantity in QUANTITIES:
        series = [one.series.get(quantity.name, {}) for one in found[:LINES]]
        values = [value.mean for one in series for value in one.values()]
        stages = [stage for one in series for stage in one]
        if len(set(stages)) < 2:
            continue
        low, high = (0.0, 1.0) if quantity.share else (min(values), max(values))
        span, first, last = (high - low) or 1.0, min(stages), max(stages)
        lines = [
            (number, _line([((s - first) / (last - first), (v.mean - low) / span) for s, v in one.items()]))
            for number, one in enumerate(series)
        ]
        unit = " %" if quantity.share else ""
        ends = [f"{100 * end if quantity.share else end:.3g}{unit}" for end in (low, high)]
        told = "; ".join(f"{one.label} {_last(s, quantity.share)}" for one, s in zip(found, series, strict=False) if s)
        panels.append({
            "name": quantity.name, "lines": lines, "low": ends[0], "high": ends[1], "first": first, "last": last,
            "told": f"{quantity.name} at the end: {told}",
        })  # fmt: skip
    return panels


def _last(series: Mapping[int, Estimate], share: bool) -> str:
    value = series[max(series)].mean
    return f"{100 * value:.1f} %" if share else f"{value:.3g}"
