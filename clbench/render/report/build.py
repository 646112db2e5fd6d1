"""Put the page together: numbers from the analysis, pictures from matplotlib, words from the template."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import clbench
from clbench import store
from clbench.analysis.compare import Entry, Leaderboard
from clbench.analysis.provenance import command
from clbench.analysis.ranking import Ranking
from clbench.analysis.runs import Run
from clbench.errors import UserError
from clbench.render import leaderboards as texts
from clbench.render.plots import Scene, svg
from clbench.render.tables import Table
from clbench.store import Result
from clbench.store.warnings import kinds_of

PICTURES = {
    "leaderboard": "Means and 95 % intervals",
    "plane": "Stability–plasticity plane",
    "pareto": "Accuracy against cost",
    "curves": "Accuracy and forgetting over stages",
    "matrix": "Accuracy matrices",
    "stages": "Units, ranks, weights and gradients over stages",
}
Told = Callable[[str], None]


def build(
    boards: Sequence[Leaderboard], found: Ranking | None, runs: Sequence[Run], left_out: Sequence[str], tell: Told
) -> str:
    """Return the page. ``tell`` hears what is being done; everything that comes from Results is shown as text."""
    tell("reading Results")
    results = {run.path: store.read(run.path) for run in runs if run.path is not None}
    scene = Scene(boards, found, runs, results.__getitem__)
    sections = [_section(number, board, scene, tell) for number, board in enumerate(boards, start=1)]
    pages = Environment(loader=PackageLoader("clbench.render.report"), autoescape=True, undefined=StrictUndefined)
    pages.trim_blocks = pages.lstrip_blocks = True
    return pages.get_template("page.html").render(
        version=clbench.__version__,
        made=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        sections=sections,
        ranks=_ranks(found, scene),
        runs=[_provenance(run, results[run.path]) for run in sorted(runs, key=_place) if run.path is not None],
        left_out=left_out,
        caption=texts.caption(boards),
    )


def _place(run: Run) -> tuple[str, str, int]:
    return run.scenario, run.strategy, run.seed


def _section(number: int, board: Leaderboard, scene: Scene, tell: Told) -> dict[str, Any]:
    """A leaderboard with its pictures, cost and diagnostics."""
    groups = [
        [scene.read(run.path) for run in group if run.path is not None] for group in board.runs_by_entry(scene.runs)
    ]
    pictures = []
    looked = any(result.diagnostics.get("network") for group in groups for result in group)
    for picture, title in PICTURES.items():
        if picture == "stages" and not looked:
            continue
        tell(f"drawing {title.lower()} of {board.title}")
        alternative = f"{title} of {board.title}. {_in_words(board)}"
        try:
            drawn = svg(picture, board, scene, f"board{number}-{picture}", alternative)
        except UserError:
            continue  # every run has diverged: the table says so
        pictures.append({"name": picture, "title": title, "svg": Markup(drawn)})  # made by matplotlib, which escapes
    return {
        "id": f"board{number}",
        "title": board.title,
        "table": _sortable(texts.leaderboard(board), board),
        "pictures": pictures,
        "cost": _cost(board.entries, groups),
        "diagnostics": _diagnostics(board.entries, groups),
    }


def _in_words(board: Leaderboard) -> str:
    """The picture for those who cannot see it: the best three; the table has all numbers."""
    best = [e for e in board.entries if e.rank is not None][:3]
    metric = board.metrics[0]
    told = "; ".join(f"{e.rank}. {e.label} {texts.number(e.estimates[metric], metric, board.interval)}" for e in best)
    return f"Best by {texts.heading(metric)}: {told}. All numbers are in the table above."


def _sortable(table: Table, board: Leaderboard) -> dict[str, Any]:
    """Cells with the unrounded values that columns are sorted by: the number that a text begins with, else the text."""
    rows = []
    for entry, cells in zip(board.entries, table.rows, strict=True):
        keys = [_key(text) for text in cells]
        kind = (
            "spoilt" if entry.spoilt and not entry.diverged else entry.state or entry.role
        )  # as the style sheet has it
        rows.append({"verdict": kind, "cells": list(zip(cells, keys, strict=True))})
    return {"header": table.header, "right": table.right, "rows": rows, "note": table.note}


def _key(text: str) -> float | str | None:
    found = re.match(r"[^\d\w]*?([+−-]?\d+(\.\d+)?)", text)
    return float(found[1].replace("−", "-")) if found else None if text in ("", "–") else text


def _cost(entries: Sequence[Entry], groups: Sequence[list[Result]]) -> list[list[str]]:
    """Mean seconds of each phase, samples per second and peak memory of each row."""
    rows = []
    for entry, group in zip(entries, groups, strict=True):
        stages = [stage for result in group for stage in result.cost]
        n = len(entry.seeds)
        if not stages:
            continue
        prepare = [stage.prepare_seconds for stage in stages if stage.prepare_seconds is not None]
        rows.append([
            entry.label,
            f"{sum(prepare) / n:.2f}" if prepare else "–",
            f"{sum(stage.train_seconds for stage in stages) / n:.2f}",
            f"{sum(stage.evaluate_seconds for stage in stages) / n:.2f}",
            f"{sum(stage.samples_per_second for stage in stages) / len(stages):,.0f}",
            f"{max(stage.peak_memory_mib for stage in stages):,.0f}",
        ])  # fmt: skip
    return rows


def _diagnostics(entries: Sequence[Entry], groups: Sequence[list[Result]]) -> list[list[str]]:
    """Numbers per stage that runs have noted, meaned over seeds."""
    rows = []
    for entry, group in zip(entries, groups, strict=True):
        noted: dict[str, list[list[float]]] = {}
        for result in group:
            for name, values in result.diagnostics.items():
                if isinstance(values, list) and values and all(isinstance(v, float | int) for v in values):
                    noted.setdefault(name, []).append(values)
        for name, found in sorted(noted.items()):
            means = [sum(stage) / len(stage) for stage in zip(*found, strict=False)]
            shown = [f"{value:.3g}" for value in means]
            text = ", ".join(shown) if len(shown) <= 10 else f"{', '.join(shown[:5])}, …, {', '.join(shown[-5:])}"
            rows.append([entry.label, name.replace("_", " "), text])
    return rows


def _ranks(found: Ranking | None, scene: Scene) -> dict[str, Any] | None:
    if found is None:
        return None
    best, rank = next(iter(found.ranks.items()))
    words = f"Critical-difference diagram of {len(found.ranks)} strategies. Best mean rank: {best}, {rank:.2f}."
    return {
        "table": texts.ranks(found),
        "caption": texts.ranks_caption(found),
        "svg": Markup(svg("ranks", None, scene, "ranks", words)),
    }


def _provenance(run: Run, result: Result) -> dict[str, Any]:
    """One run: what it was, on what, and how to make it again."""
    environment = result.environment
    place = " ".join(str(environment[key]) for key in ("device_name", "precision") if environment.get(key))
    threads = environment.get("threads")
    return {
        "id": result.run_id[:12],
        "scenario": run.scenario,
        "strategy": run.strategy,
        "seed": run.seed,
        "status": run.status if result.reason is None else f"{run.status}: {result.reason}",
        "kinds": ", ".join(kinds_of(run.warnings)),
        "warnings": result.warnings,
        "accuracy": "–" if (value := run.value("average_accuracy")) is None else f"{100 * value:.2f}",
        "created": result.created,
        "software": ", ".join(
            [f"{k} {environment[k]}" for k in ("clbench", "commit", "torch") if environment.get(k)]
            + [f"{unit}: {code}" for unit, code in result.code.items() if code.identity]
        ),
        "machine": f"{place}, {threads} thread{'s' * (threads != 1)}" if threads else place,
        "data": f"{result.data.name} {result.data.fingerprint[:12]}"
        + {True: " (official)", False: " (not the official release)", None: ""}[result.data.official],
        "file": str(run.path),
        "command": command(result),
    }
