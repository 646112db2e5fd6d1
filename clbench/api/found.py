"""Runs to be told of, wherever they are: in memory, in files, in folders."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from clbench.analysis import filters
from clbench.analysis.load import load
from clbench.analysis.runs import Run
from clbench.api.results import Results
from clbench.errors import UserError
from clbench.store import Result

Place = str | Path | Results
Places = Place | Sequence[Place]
Texts = str | Iterable[str]


def chosen(
    places: Places,
    scenarios: Texts = (),
    strategies: Texts = (),
    where: Texts = (),
    without: Path | None = None,
    *,
    told: Callable[[list[str]], None],
) -> list[Run]:
    """Return the runs of Results, files, folders and patterns that match filters.

    ``told`` hears why files were left out. ``without``: a folder that is passed over where it lies inside another. A
    run that comes twice counts once, the newer of the two. Raises UserError if nothing is left.
    """
    several = _several(places)
    paths = [Path(place) for place in several if not isinstance(place, Results)]
    read, left_out = load(paths, without) if paths else ([], [])
    told(left_out)
    held = [run for place in several if isinstance(place, Results) for run in place.runs]
    found = list(_once([*read, *held]))
    matching = filters.chosen(found, _texts(scenarios), _texts(strategies), _texts(where))
    if not matching:
        raise UserError(_nothing(found, paths))
    return matching


def held(places: Places) -> dict[str, Result]:
    """Return the Results that are in memory, by run id."""
    found = [place.held for place in _several(places) if isinstance(place, Results)]
    return {result.run_id: result for results in found for result in results}


def _several(places: Places) -> list[Place]:
    return [places] if isinstance(places, str | Path | Results) else list(places)


def _once(runs: Iterable[Run]) -> Iterable[Run]:
    newest: dict[tuple[str, str], Run] = {}
    for run in runs:
        known = newest.get((run.source, run.run_id))
        if known is None or known.created <= run.created:
            newest[run.source, run.run_id] = run
    return newest.values()


def _texts(given: Texts) -> Sequence[str]:
    return [given] if isinstance(given, str) else list(given)


def _nothing(found: Sequence[Run], paths: Sequence[Path]) -> str:
    """What to say where no run is left: which there are."""
    kinds = (("scenarios", {run.scenario for run in found}), ("strategies", {run.strategy for run in found}))
    there = " ".join(f"There are {kind} {', '.join(sorted(names))}." for kind, names in kinds if names)
    where = f" under {', '.join(map(str, paths))}" if paths else " to look at"
    filtered = " that match" if found else ""
    return f"No Results{filtered}{where}. " + (there or "'clbench run --strategy ewc-fixed' makes one.")
