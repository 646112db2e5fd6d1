"""Results of two scenarios, with names that mean harm, and the page made of them."""

from __future__ import annotations

from pathlib import Path

from clbench import store
from clbench.analysis.compare import leaderboards
from clbench.analysis.load import load
from clbench.analysis.ranking import ranking
from clbench.render.plots import Scene
from clbench.render.report import build
from tests.helpers import make_result

HOSTILE = "<script>document.title='owned'</script>\"'&$\\alpha_"


def write_runs(folder: Path, seeds: int = 3) -> None:
    """Three strategies, the hostile one the best, on two scenarios; and one that diverged."""
    for scenario in ("split-digits", "permuted-digits"):
        for number, name in enumerate(("naive", "ewc", HOSTILE)):
            for seed in range(seeds):
                end = 0.6 + 0.1 * number + 0.01 * seed * (1 + number)
                result = make_result(name, seed, [[0.5, 0.5], [1.0, 0.5], [end, 0.99]], scenario=scenario)
                store.write(result, folder)
    store.write(make_result("si", 0, [[0.5, 0.5]], status="diverged"), folder)


def scene(folder: Path) -> Scene:
    """What the folder has, compared."""
    runs, _ = load([folder])
    boards = leaderboards(runs)
    return Scene(boards, ranking(boards), runs)


def page_of(folder: Path) -> str:
    """The report of a folder."""
    shown = scene(folder)
    return build(shown.boards, shown.ranking, shown.runs, ["<b>broken.json</b> is left out"], lambda doing: None)
