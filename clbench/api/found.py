"""Runs to be told of, wherever they are, in memory, in files, in folders; and ``clbench.load``. Imports no torch."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from clbench import store
from clbench.analysis import filters
from clbench.analysis.load import load as load_files
from clbench.analysis.runs import Run
from clbench.api.results import Results
from clbench.errors import Remark, UserError
from clbench.store import Result

Place = str | Path | Results
Places = Place | Sequence[Place]
Texts = str | Iterable[str]
SHOWN_NOTES = 10
HERE = "results"


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
    read, left_out = load_files(paths, without) if paths else ([], [])
    told(left_out)
    held = [run for place in several if isinstance(place, Results) for run in place.runs]
    found = list(_once([*read, *held]))
    matching = filters.chosen(found, texts(scenarios), texts(strategies), texts(where))
    if not matching:
        raise UserError(_nothing(found, paths))
    return matching


def named(folder: Path, ids: Sequence[str], *, alone: bool = False, told: Callable[[list[str]], None]) -> list[Run]:
    """Return the runs of a folder by the beginning of their ids, or of any place by file; ``told`` as for ``chosen``.

    Raises UserError for what is none; if they are to stand ``alone``, for an id that several begin with.
    """
    files = [Path(text) for text in ids if text.endswith(".json") and store.is_there(Path(text))]
    wanted = [text for text in ids if Path(text) not in files]
    found = chosen(files, told=told) if files else []
    there = chosen([folder], told=told) if wanted else []
    for text in wanted:
        matching = [run for run in there if run.run_id.startswith(text)]
        if not matching:
            raise UserError(f"No run under {folder} has an id that begins with '{text}'. See 'clbench results list'.")
        if alone and len(matching) > 1:
            raise UserError(f"{len(matching)} runs under {folder} have ids that begin with '{text}'. Give more of it.")
        found += matching
    return found


def with_status(runs: Sequence[Run], status: str | None, folder: Path) -> list[Run]:
    """Return the runs of a folder with this status, or all of them; UserError if there are none."""
    found = [run for run in runs if status in (None, run.status)]
    if not found:
        raise UserError(f"No runs with status '{status}' under {folder}. There is ok, and diverged.")
    return found


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


def texts(given: Texts) -> list[str]:
    """Return one text or several as a list."""
    return [given] if isinstance(given, str) else list(given)


def _nothing(found: Sequence[Run], paths: Sequence[Path]) -> str:
    """What to say where no run is left: which there are."""
    kinds = (("scenarios", {run.scenario for run in found}), ("strategies", {run.strategy for run in found}))
    there = " ".join(f"There are {kind} {', '.join(sorted(names))}." for kind, names in kinds if names)
    where = f" under {', '.join(map(str, paths))}" if paths else " to look at"
    filtered = " that match" if found else ""
    return f"No Results{filtered}{where}. " + (there or "'clbench run --strategy ewc-fixed' makes one.")


def load(results: Places = HERE, *, scenario: Texts = (), strategy: Texts = (), where: Texts = ()) -> Results:
    """Read the runs of files, folders and patterns; of several Results of the same run the newest counts.

    Each Result is read whole when it is asked for. Raises UserError if there is none; warns of files left out.
    """
    return Results(chosen(results, scenario, strategy, where, told=warn_left_out))


def warn_left_out(sentences: Sequence[str]) -> None:
    """Warn the caller's caller of files that were left out."""
    told = [f"Left out: {sentence}" for sentence in sentences[:SHOWN_NOTES]]
    if len(sentences) > SHOWN_NOTES:
        told.append(f"Left out: {len(sentences) - SHOWN_NOTES} more files.")
    for sentence in told:
        warnings.warn(Remark(sentence), stacklevel=4)
