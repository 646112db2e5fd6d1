"""One figure for each picture and leaderboard, to a file or as SVG text."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from clbench.analysis.compare import Leaderboard
from clbench.analysis.diagnosis import Diagnosis, diagnoses
from clbench.analysis.instability import maps
from clbench.analysis.matrices import Matrices, matrices
from clbench.analysis.ranking import Ranking
from clbench.analysis.runs import Run
from clbench.errors import UserError
from clbench.render.leaderboards import WARNED
from clbench.render.plots import diagnosis, grids, holding, points
from clbench.render.plots.images import backwards
from clbench.render.plots.ranks import ranks
from clbench.render.plots.style import INK, WIDTH, shortened, styled
from clbench.store import Result, read

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS: dict[str, Callable[[Axes, Leaderboard], None]] = {
    "leaderboard": points.leaderboard,
    "plane": points.plane,
    "pareto": points.pareto,
}
GRIDS: dict[str, Callable[[str, Sequence[Matrices]], Figure]] = {"curves": grids.curves, "matrix": grids.matrix}
DIAGNOSES: dict[str, Callable[[str, Sequence[Diagnosis]], Figure]] = {
    "stages": diagnosis.stages,
    "cosines": diagnosis.cosines,
    "importance": holding.importance,
    "shares": holding.shares,
    "cka": holding.cka,
    "backwards": backwards,
}
PICTURES = (*PANELS, *GRIDS, *DIAGNOSES, "ranks", "map")
SHOWN_ROWS, SHOWN_PANELS, SHOWN_LINES = 40, 24, 8
FORMATS = (".pdf", ".svg", ".png")


@dataclass(frozen=True)
class Scene:
    """What a picture may show, and how a run's Result is come by."""

    boards: Sequence[Leaderboard]
    ranking: Ranking | None
    runs: Sequence[Run]
    read: Callable[[Path], Result] = read


def figure(picture: str, board: Leaderboard | None, scene: Scene) -> Figure:
    """Return one picture: of a leaderboard, or ('ranks') over all of them.

    Raises UserError if there is nothing to show.
    """
    if picture == "ranks":
        if scene.ranking is None:
            raise UserError("--picture ranks needs two strategies that are in two or more leaderboards each.")
        return ranks(scene.ranking)
    assert board is not None
    board = _marked(board)
    if picture == "map":
        runs = [run for group in board.runs_by_entry(scene.runs) for run in group]
        return holding.instability(board.title, maps(runs, scene.read))
    if picture == "plane" and points.plane_axes(board) is None:
        raise UserError(
            f"--picture plane: in {board.title} nothing can be forgotten, or every run has diverged. "
            "Use --picture pareto or leaderboard."
        )
    board = _best(board, SHOWN_PANELS if picture in GRIDS else SHOWN_LINES if picture in DIAGNOSES else SHOWN_ROWS)
    if picture in DIAGNOSES:
        return DIAGNOSES[picture](board.title, diagnoses(board, scene.runs, scene.read))
    if picture in GRIDS:
        found = matrices(board, scene.runs, scene.read)
        if not found:
            raise UserError(f"--picture {picture}: every run of {board.title} has diverged.")
        return GRIDS[picture](board.title, found)
    from matplotlib.figure import Figure

    rows = len(board.entries)
    height = 0.9 + 0.22 * rows if picture == "leaderboard" else max(3.2, 0.6 + 0.16 * rows)
    drawn = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = drawn.subplots()
    axes.set_title(shortened(board.title, 80))
    PANELS[picture](axes, board)
    return drawn


def _marked(board: Leaderboard) -> Leaderboard:
    """A board whose rows carry in every picture the mark that they have in tables."""
    entries = [replace(e, label=f"{WARNED} {e.label}") if e.warnings else e for e in board.entries]
    return replace(board, entries=entries)


def _best(board: Leaderboard, count: int) -> Leaderboard:
    """A board that a picture can hold; its title says what is left out."""
    if len(board.entries) <= count:
        return board
    setting = f"{board.setting}, " if board.setting else ""
    words = f"{setting}best {count} of {len(board.entries)}"
    return replace(board, setting=words, entries=board.entries[:count])


def draw(file: Path, picture: str, scene: Scene) -> list[Path]:
    """Write a picture; with several leaderboards a file for each, numbered. Return the files.

    Raises UserError for another format than PDF, SVG or PNG, or a folder that cannot be written.
    """
    boards: Sequence[Leaderboard | None] = [None] if picture == "ranks" else scene.boards
    return write_figures(file, [partial(figure, picture, board, scene) for board in boards])


def write_figures(file: Path, makers: Sequence[Callable[[], Figure]]) -> list[Path]:
    """Make and write figures; several get numbered files. Return the files.

    Raises UserError for another format than PDF, SVG or PNG, or a folder that cannot be written.
    """
    if file.suffix.lower() not in FORMATS:
        raise UserError(f"--plot {file}: expected a file that ends in {', '.join(FORMATS)}.")
    files = [file if len(makers) == 1 else file.with_stem(f"{file.stem}-{n}") for n in range(1, len(makers) + 1)]
    for target, make in zip(files, makers, strict=True):
        with styled():
            buffer = io.BytesIO()
            metadata = {"Date": None} if file.suffix.lower() == ".svg" else None
            make().savefig(buffer, format=file.suffix[1:].lower(), metadata=metadata)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(buffer.getvalue())
        except OSError as error:
            raise UserError(f"--plot {target} cannot be written ({error.strerror}). Name another file.") from None
    return files


def svg(picture: str, board: Leaderboard | None, scene: Scene, name: str, alternative: str) -> str:
    """Return a picture as an SVG element for a page: ink in the page's colour, a text alternative, ids of its own."""
    buffer = io.StringIO()
    with styled(**{"svg.hashsalt": name}):
        drawn = figure(picture, board, scene)
        drawn.patch.set_alpha(0)
        for axes in drawn.axes:
            axes.patch.set_alpha(0)
        drawn.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # Ids such as figure_1 are the same in every picture.
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{name}-", text)
    return text.replace("<svg ", f'<svg role="img" aria-label="{escape(alternative)}" ', 1)
