"""Leaderboards as files: markdown, LaTeX, HTML, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from clbench.analysis.boards import Leaderboard
from clbench.analysis.compare import better
from clbench.analysis.overall import across
from clbench.analysis.ranking import Ranking
from clbench.render.leaderboards import caption, leaderboard, overall, ranks, ranks_caption
from clbench.render.tables import Table, html, latex, markdown

HEADER = (
    ["scenario", "setting", "rank", "strategy", "role", "also", "source", "seeds", "diverged", "metric", "better"]
    + ["mean", "low_95", "high_95", "reference", "stand", "difference", "difference_low", "difference_high", "p_holm"]
    + ["may_be_best", "of_the_way", "seeds_needed", "pareto_front", "warnings"]
)


def as_text(boards: Sequence[Leaderboard], found: Ranking | None, form: str) -> str:
    """All leaderboards, what holds over them, and the ranking, in 'markdown', 'latex', 'html', 'csv' or 'json'."""
    match form:
        case "csv":
            return _csv(boards)
        case "json":
            return _json(boards, found)
    render: Callable[[Table], str] = {"markdown": markdown, "latex": latex, "html": html}[form]
    line: Callable[[str], str] = {
        "markdown": lambda text: f"{text}\n",
        "latex": lambda text: f"% {text}\n",
        "html": lambda text: f"<p>{text}</p>\n",
    }[form]
    parts = ["% needs \\usepackage{amssymb,booktabs}\n"] if form == "latex" else []
    parts += [render(leaderboard(board)) for board in boards]
    parts.append(line(caption(boards)))
    column = boards[0].metrics[0]
    together = across(boards, better(column) == "lower")
    if together is not None:
        parts.append(render(overall(together, column)))
    if found is not None and found.tells:
        parts += [render(ranks(found)), line(ranks_caption(found))]
    return "\n".join(parts)


def _csv(boards: Sequence[Leaderboard]) -> str:
    """One line per entry and metric, with unrounded numbers."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows(lines(boards))
    return out.getvalue()


def lines(boards: Sequence[Leaderboard]) -> Iterator[list[Any]]:
    """What ``HEADER`` names, for each entry and metric."""
    for board in boards:
        for entry in board.entries:
            warnings = "; ".join(f"{kind} {len(seeds)}" for kind, seeds in entry.warnings.items())
            for place, metric in enumerate(board.metrics):
                one = entry.estimates[metric]
                numbers = [None, None, None] if one is None else [one.mean, one.low, one.high]
                found = entry.against if place == 0 else None
                told: list[Any] = [None] * 6
                if found is not None:
                    told = [found.reference, found.stand, found.difference, found.low, found.high, found.p]
                yield (
                    [board.scenario, board.setting, entry.rank, entry.label, entry.role, "; ".join(entry.also)]
                    + [entry.source, len(entry.seeds), entry.diverged, metric, better(metric), *numbers, *told]
                    + [entry.may_be_best if place == 0 else None, entry.way if place == 0 else None]
                    + [found and found.seeds_needed, int(entry.front), warnings]
                )


def _json(boards: Sequence[Leaderboard], found: Ranking | None) -> str:
    """Everything that is known, unrounded."""
    made = [asdict(board) for board in boards]
    for board in made:
        board["kind"] = json.loads(board["kind"])
        for entry in board["entries"]:
            entry["config"] = json.loads(entry.pop("setup"))
    together = across(boards, better(boards[0].metrics[0]) == "lower") if boards else None
    content = {
        "leaderboards": made,
        "overall": asdict(together) if together else None,
        "ranking": asdict(found) if found else None,
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
