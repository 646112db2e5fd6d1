"""Put the page together: what the analysis says, in places and texts, for the templates."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import clbench
from clbench import store
from clbench.analysis.boards import Leaderboard, Method
from clbench.analysis.compare import PLANE, better
from clbench.analysis.diagnosis import diagnoses
from clbench.analysis.matrices import matrices
from clbench.analysis.overall import across
from clbench.analysis.ranking import Ranking
from clbench.analysis.runs import Run
from clbench.render import leaderboards as texts
from clbench.render.axes import COSTS
from clbench.render.report import answers, described, details, panels, provenance
from clbench.render.report.scatter import scatter

SHOWN_PANELS = 60
IN_A_LINE = 60  # letters of titles; of more the navigation is a menu
Told = Callable[[str], None]


def build(
    boards: Sequence[Leaderboard],
    found: Ranking | None,
    runs: Sequence[Run],
    left_out: Sequence[str],
    tell: Told,
    method: Method | None = None,
) -> str:
    """Return the page. ``method`` is what the boards were made with.

    ``tell`` hears what is being done; everything that comes from Results is shown as text.
    """
    tell("reading Results")
    results = {run.path: store.read(run.path) for run in runs if run.path is not None}
    sections = []
    for number, board in enumerate(boards, start=1):
        tell(f"writing {board.title}")
        sections.append(_section(number, board, runs, results, method or Method()))
    pages = Environment(loader=PackageLoader("clbench.render.report"), autoescape=True, undefined=StrictUndefined)
    pages.trim_blocks = pages.lstrip_blocks = True
    pages.filters["data"] = _data
    pages.globals |= {"shade": panels.shade, "lines": panels.LINES, "cost_header": details.COST}
    return pages.get_template("page.html").render(
        version=clbench.__version__,
        made=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        sections=sections,
        crowded=sum(len(board.title) for board in boards) > IN_A_LINE,
        overall=_overall(boards),
        ranks=None if found is None or not found.tells else _ranks(found),
        configurations=provenance.configurations(boards, runs, results),
        count=len(runs),
        left_out=left_out,
        caption=texts.caption(boards),
        strategies=described.strategies([entry for board in boards for entry in board.entries]),
        columns=described.columns(boards),
        scenarios=described.scenarios(boards),
        orders=list(dict.fromkeys(name for section in sections for name in section["table"]["header"] if name)),
    )


def _data(content: Any) -> Markup:
    """JSON inside a script element, where nothing may end it."""
    return Markup(json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"))


def _section(
    number: int, board: Leaderboard, runs: Sequence[Run], results: Mapping[Any, store.Result], method: Method
) -> dict[str, Any]:
    """A leaderboard: its answer, with the picture that carries it, and what is folded."""
    groups = [[results[run.path] for run in group if run.path is not None] for group in board.runs_by_entry(runs)]
    measured = any(result.diagnostics.get("network") for group in groups for result in group)
    choices = answers.choices(board, runs, method)
    return {
        "id": f"board{number}",
        "board": board,
        "sentence": described.sentence(board),
        "choices": choices,
        "shapes": answers.shapes(board),
        "arrows": "An arrow: the interval goes on." if answers.any_cut(choices) else "",
        "data": {"labels": [entry.label for entry in board.entries], "choices": [one.as_data() for one in choices]},
        "table": details.table(board),
        "scatters": _scatters(board),
        "courses": panels.courses(board, matrices(board, runs, results.__getitem__)[:SHOWN_PANELS]),
        "quantities": panels.quantities(diagnoses(board, runs, results.__getitem__)) if measured else [],
        "cost": details.cost(board.entries, groups),
        "diagnostics": details.diagnostics(board.entries, groups),
    }


def _scatters(board: Leaderboard) -> list[Mapping[str, Any]]:
    """The stability–plasticity plane, and the first column against what it costs."""
    first = board.metrics[0]
    columns = {name for entry in board.entries for name, value in entry.estimates.items() if value is not None}
    learnt, *forgettings = PLANE
    asked = [
        (learnt, y, "Stability–plasticity plane", "the upper right corner learns and keeps")
        for y in forgettings
        if {learnt, y} <= columns
    ][:1]
    asked += [
        (x, first, f"{texts.heading(first).capitalize()} against {x}", "the upper left corner is good and cheap")
        for x in COSTS
        if {x, first} <= columns and x != first
    ]
    found = [scatter(board, x, y, title, words) for x, y, title, words in asked]
    return [one for one in found if one is not None]


def _overall(boards: Sequence[Leaderboard]) -> Mapping[str, Any] | None:
    """What holds over all boards, where their rows stand against the same reference."""
    column = boards[0].metrics[0]
    found = across(boards, better(column) == "lower")
    if found is None:
        return None
    intro = texts.overall(found, column).intro
    return {"intro": intro, "picture": answers.together(found, column)}


def _ranks(found: Ranking) -> Mapping[str, Any]:
    return {"table": texts.ranks(found), "caption": texts.ranks_caption(found)}
