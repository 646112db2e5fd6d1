"""One figure for each picture and leaderboard, to a file."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from clbench.analysis.ages import age_curves
from clbench.analysis.compare import Leaderboard
from clbench.analysis.diagnosis import Diagnosis, diagnoses
from clbench.analysis.instability import maps
from clbench.analysis.matrices import Matrices, matrices
from clbench.analysis.ranking import Ranking
from clbench.analysis.runs import Run
from clbench.errors import UserError
from clbench.render.leaderboards import WARNED
from clbench.render.plots import diagnosis, grids, holding, planes, points
from clbench.render.plots.ages import ages
from clbench.render.plots.images import backwards
from clbench.render.plots.ranks import ranks
from clbench.render.plots.style import WIDTHS, styled
from clbench.render.plots.svg import lighter
from clbench.store import Result, read

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANELS: dict[str, Callable[[Leaderboard, float, Sequence[str]], Figure]] = {
    "leaderboard": points.leaderboard,
    "difference": points.difference,
    "plane": planes.plane,
    "pareto": planes.pareto,
}
GRIDS: dict[str, Callable[[str, Sequence[Matrices], float, Sequence[str]], Figure]] = {
    "curves": grids.curves,
    "matrix": grids.matrix,
}
DIAGNOSES: dict[str, Callable[[str, Sequence[Diagnosis]], Figure]] = {
    "stages": diagnosis.stages,
    "cosines": diagnosis.cosines,
    "importance": holding.importance,
    "shares": holding.shares,
    "cka": holding.cka,
    "backwards": backwards,
}
PICTURES = (*PANELS, *GRIDS, *DIAGNOSES, "ages", "ranks", "map")
SHOWN_ROWS, SHOWN_PANELS, SHOWN_LINES = 70, 24, 8
FORMATS = (".pdf", ".svg", ".png")


@dataclass(frozen=True)
class Scene:
    """What a picture may show, how a run's Result is come by, and how wide a picture is: 'column' or 'full'."""

    boards: Sequence[Leaderboard]
    ranking: Ranking | None
    runs: Sequence[Run]
    read: Callable[[Path], Result] = read
    width: str = "full"

    @property
    def inches(self) -> float:
        """The width."""
        return WIDTHS[self.width]


def figure(picture: str, board: Leaderboard | None, scene: Scene) -> Figure:
    """Return one picture: of a leaderboard, or ('ranks') over all of them.

    Raises UserError if there is nothing to show.
    """
    if picture == "ranks":
        if scene.ranking is None:
            raise UserError("--picture ranks needs two strategies that are in two or more leaderboards each.")
        return ranks(scene.ranking, scene.inches)
    assert board is not None
    board = _marked(board)
    if picture == "map":
        runs = [run for group in board.runs_by_entry(scene.runs) for run in group]
        return holding.instability(board.title, maps(runs, scene.read))
    count = SHOWN_PANELS if picture in GRIDS else SHOWN_LINES if picture in (*DIAGNOSES, "ages") else SHOWN_ROWS
    whole, board = board, _best(board, count)
    less = len(whole.of_role("method")) - len(board.of_role("method"))
    notes = [f"Not shown: the last {less} of {len(whole.of_role('method'))} methods."] if less else []
    if picture in PANELS:
        return PANELS[picture](board, scene.inches, notes)
    if picture in DIAGNOSES:
        titled = replace(board, setting=", ".join(part for part in (board.setting, *notes) if part))
        return DIAGNOSES[picture](titled.title, diagnoses(board, scene.runs, scene.read))
    if picture == "ages":
        return ages(board.title, age_curves(board, scene.runs, scene.read), scene.inches, notes)
    found = matrices(board, scene.runs, scene.read)
    if not found:
        raise UserError(f"--picture {picture}: every run of {board.title} has diverged.")
    return GRIDS[picture](board.title, found, scene.inches, notes)


def _marked(board: Leaderboard) -> Leaderboard:
    """A board whose rows carry in every picture the mark that they have in tables."""
    entries = [replace(e, label=f"{WARNED} {e.label}") if e.warnings else e for e in board.entries]
    return replace(board, entries=entries)


def _best(board: Leaderboard, count: int) -> Leaderboard:
    """A board that a picture can hold: bounds and controls, and as many methods as there is room for, the best."""
    others = len(board.entries) - len(board.of_role("method"))
    kept = board.of_role("method")[: max(1, count - others)]
    return replace(board, entries=[*kept, *board.of_role("bound"), *board.of_role("control")][: max(count, len(kept))])


def draw(file: Path, picture: str, scene: Scene) -> list[Path]:
    """Write a picture; with several leaderboards a file for each, numbered. Return the files.

    Raises UserError for another format than PDF, SVG or PNG, or a folder that cannot be written.
    """
    boards: Sequence[Leaderboard | None] = [None] if picture == "ranks" else scene.boards
    return write_figures(file, [partial(figure, picture, board, scene) for board in boards])


def write_figures(file: Path, makers: Sequence[Callable[[], Figure]], option: str = "--plot") -> list[Path]:
    """Make and write figures; several get numbered files. Return the files. ``option`` is what errors name.

    Raises UserError for another format than PDF, SVG or PNG, or a folder that cannot be written.
    """
    if file.suffix.lower() not in FORMATS:
        raise UserError(f"{option} {file}: expected a file that ends in {', '.join(FORMATS)}.")
    files = [file if len(makers) == 1 else file.with_stem(f"{file.stem}-{n}") for n in range(1, len(makers) + 1)]
    for target, make in zip(files, makers, strict=True):
        with styled():
            content = _saved(make(), file.suffix[1:].lower())
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        except OSError as error:
            raise UserError(f"{option} {target} cannot be written ({error.strerror}). Name another file.") from None
    return files


def _saved(made: Figure, kind: str) -> bytes:
    """A figure's file; an SVG says neither when nor by what it was drawn, so that the same picture is the same file."""
    buffer = io.BytesIO()
    if kind != "svg":
        made.savefig(buffer, format=kind)
        return buffer.getvalue()
    made.savefig(buffer, format=kind, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return lighter(buffer.getvalue().decode()).encode()
