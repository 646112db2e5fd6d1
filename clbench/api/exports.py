"""Runs carried elsewhere: an archive, a table for other programs, another folder or store."""

from __future__ import annotations

from collections.abc import Sequence

from clbench import store
from clbench.analysis.runs import Run
from clbench.store import transfer


def export(runs: Sequence[Run], target: str) -> transfer.Taken | None:
    """Copy runs to a .zip archive, a .csv table of settings and metrics, or else a folder or URL.

    Return what became of each in a folder; of two of the same run the newer stays there. Raises UserError if the target
    cannot be written.
    """
    found = (store.read(run.path) for run in runs if run.path is not None)
    if target.endswith(".csv"):
        from clbench.render.results import as_csv

        transfer.write(target, as_csv(runs).encode())
    elif target.endswith(".zip"):
        transfer.archive(found, target)
    else:
        named = ((str(one.run_id), store.content_of(one)) for one in found)
        return transfer.take(named, store.open_folder(target))
    return None
