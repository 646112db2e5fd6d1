"""``clbench.compare``: leaderboards of runs, from a program. Imports no torch."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from clbench import store
from clbench.analysis.boards import Leaderboard, Method
from clbench.analysis.codes import remark
from clbench.analysis.compare import DEFAULT_METRICS, check_metrics, leaderboards
from clbench.analysis.filters import check_key
from clbench.analysis.pareto import FRONT
from clbench.analysis.ranking import Ranking, ranking
from clbench.analysis.runs import Run
from clbench.analysis.significance import Test
from clbench.analysis.statistics import Interval
from clbench.api.found import HERE, Places, Texts, chosen, held, texts, warn_left_out
from clbench.api.results import frame
from clbench.errors import Remark, UserError
from clbench.store import Result

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Board:
    """Leaderboards: what follows from runs. Printed it says that first, as ``clbench compare`` does.

    ``held``: Results that are in memory, by run id; others are read where a picture needs them.
    """

    leaderboards: Sequence[Leaderboard]
    ranking: Ranking | None
    runs: Sequence[Run]
    held: Mapping[str, Result] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        from clbench.render.summaries import as_printed, print_boards

        return as_printed(lambda console: print_boards(self.leaderboards, self.ranking, console))

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        """Return the tables for a notebook; whatever comes from outside is shown as text."""
        return self.text("html")

    def text(self, form: Literal["markdown", "csv", "json", "latex", "html"]) -> str:
        """Return the leaderboards as ``clbench compare --format`` writes them."""
        from clbench.render.formats import as_text

        return as_text(self.leaderboards, self.ranking, form)

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each row of a board and metric, with unrounded numbers: the columns of ``--format csv``.

        Raises UserError if pandas is not installed.
        """
        from clbench.render.formats import HEADER, lines

        numbers = ("mean", "low_95", "high_95", "difference", "difference_low", "difference_high", "p_holm")
        return frame([dict(zip(HEADER, line, strict=True)) for line in lines(self.leaderboards)], numbers)

    def plot(self, picture: str = "leaderboard", width: Literal["column", "full"] = "full", board: int = 0) -> Figure:
        """Return a picture of one of the boards as a matplotlib figure, which a notebook shows and ``savefig`` writes.

        ``picture``: leaderboard, difference, plane, pareto, curves, matrix or ranks; the last is over all boards.
        Raises UserError if there is nothing to show.
        """
        from clbench.render.plots import PICTURES, Scene, figure

        if picture not in PICTURES:
            raise UserError(f"picture: expected one of {', '.join(PICTURES)}, got {picture!r}.")
        runs = [run if run.path else replace(run, path=Path(run.run_id)) for run in self.runs]
        scene = Scene(self.leaderboards, self.ranking, runs, self._result, width)
        return figure(picture, self.leaderboards[board], scene)

    def _result(self, path: Path) -> Result:
        """The Result of a run, which is known by its path, or by its id where it has none."""
        return self.held.get(str(path)) or store.read(path)


def compare(
    results: Places = HERE,
    *,
    against: str | None = None,
    scenario: Texts = (),
    strategy: Texts = (),
    where: Texts = (),
    metric: Texts = (),
    sort: str | None = None,
    by: str | None = None,
    interval: Interval = "t",
    test: Test = "moderated",
    margin: float = 1.0,
    front: Texts = (),
) -> Board:
    """Say which methods are better than a reference, and which may be the best, as far as seeds can tell.

    ``results``: Results, files, folders or patterns, or several of them; names, columns and all else are those of
    ``clbench compare``: ``against`` a row's label, a strategy or a folder (by default fine-tuning), ``margin`` in
    points, ``front`` objectives such as ``"average_accuracy,memory"``. Raises UserError, with the command line's
    sentence; warns of files that were left out.
    """
    method = method_of(against, texts(metric), sort, by, interval, test, margin, texts(front))
    runs = chosen(results, scenario, strategy, where, told=warn_left_out)
    if older := remark(runs):
        warnings.warn(Remark(older), stacklevel=2)
    return replace(board_of(runs, method), held=held(results))


def method_of(
    against: str | None,
    metrics: Sequence[str],
    sort: str | None,
    by: str | None,
    interval: Interval,
    test: Test,
    margin: float,
    fronts: Sequence[str],
) -> Method:
    """Return how boards are made; names of columns are checked, ``margin`` is in points."""
    columns = check_metrics(metrics)
    if sort:
        columns = check_metrics([sort, *(columns or DEFAULT_METRICS)])
    asked = [[column.strip() for column in one.split(",")] for one in fronts] or [list(FRONT)]
    return Method(columns, interval, test, by, against, margin / 100, [check_metrics(one) for one in asked])


def board_of(runs: Sequence[Run], method: Method) -> Board:
    """Return the board of runs."""
    if method.by is not None:
        check_key("--by", method.by, runs)
    boards = leaderboards(runs, method)
    return Board(boards, ranking(boards), runs)
