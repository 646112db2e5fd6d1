"""Diagnostics as a table: where each quantity began and where it ended."""

from __future__ import annotations

from collections.abc import Sequence

from clbench.analysis.diagnosis import QUANTITIES, Diagnosis
from clbench.render.tables import Table
from clbench.store.warnings import kinds_of


def summary(title: str, found: Sequence[Diagnosis]) -> Table:
    """A row per quantity, a column per strategy: mean over seeds at the first and the last stage that has it."""
    rows = []
    for quantity in QUANTITIES:
        if any(quantity.name in one.series for one in found):
            factor, unit = (100.0, " %") if quantity.share else (1.0, "")
            rows.append([quantity.name + unit, *(_from_to(one, quantity.name, factor) for one in found)])
    if any(one.missed for one in found):
        rows.append(["stages that missed the threshold", *(str(one.missed) for one in found)])
    kinds = kinds_of(kind for one in found for kind in one.warnings)
    rows += [[f"seeds: {kind}", *(f"{one.warnings.get(kind, 0)}/{one.seeds}" for one in found)] for kind in kinds]
    header = ["first → last stage", *(one.label for one in found)]
    return Table(title, header, rows, right=frozenset(range(1, len(header))))


def _from_to(one: Diagnosis, name: str, factor: float) -> str:
    means = [found.mean * factor for found in one.series.get(name, {}).values()]
    if not means:
        return "–"
    return f"{_short(means[0])} → {_short(means[-1])}"


def _short(value: float) -> str:
    """Three figures, or two of very small numbers."""
    if 0 < abs(value) < 0.01:
        return f"{value:.1e}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def caption(found: Sequence[Diagnosis]) -> str:
    """What the numbers mean, and what was not measured."""
    words = (
        "Means over seeds; shares are means over layers. Gradients are those at a stage's start, on up to 1,000 images."
    )
    if not any("dead units" in one.series for one in found):
        words += " Units, ranks, weights and gradients were not measured: run with --diagnostics."
    return words
