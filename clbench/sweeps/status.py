"""Where the plans of a results folder stand, from their ledgers and from which Results are there. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from clbench.analysis.load import load
from clbench.analysis.standing import Standing, standings
from clbench.errors import UserError
from clbench.store import Folder, LocalFolder
from clbench.sweeps.ledger import Failure, Ledger, is_running, known_plans

State = Literal["running", "done", "stopped"]


@dataclass(frozen=True)
class PlanStatus:
    """A plan: how many of its runs are where, and which have failed. ``rate``: runs a minute; ``seconds_left``: of a
    plan that is running.
    """

    plan: str
    state: State
    done: int
    running: int
    failures: Sequence[Failure]
    left: int
    rate: float | None
    seconds_left: float | None


@dataclass(frozen=True)
class Status:
    """Every plan of a folder, and the ids of those of their runs that have a Result."""

    plans: Sequence[PlanStatus]
    ended: frozenset[str]


def status_of(folder: Folder) -> Status:
    """Say where every plan stands; UserError if the folder has none."""
    names = known_plans(folder)
    if not names:
        raise UserError(f"{folder} has no sweep. Begin one with 'clbench sweep plan.yaml --results {folder}'.")
    present = Ledger(folder, names[0]).present()
    writing = is_running(folder) is not False
    plans, ended = [], set[str]()
    for name in names:
        ledger = Ledger(folder, name)
        runs = ledger.runs()
        over = {run for run, result in runs.items() if result in present}
        failures = [one for run, one in ledger.failures().items() if run in runs and run not in over]
        plans.append(_plan(ledger, name, len(runs) - len(failures), len(over), failures, writing and name == names[-1]))
        ended |= over
    return Status(plans, frozenset(ended))


def _plan(ledger: Ledger, name: str, size: int, done: int, failures: Sequence[Failure], may_run: bool) -> PlanStatus:
    """A plan of which ``size`` runs have not failed; ``may_run``: whether a sweep of it may be under way."""
    told = ledger.progress()
    under_way = told is not None and not told.closed and may_run
    active = len(told.running) if told and under_way else 0
    left = size - done - active
    rate = 60 * told.ended / told.seconds if told and told.seconds and told.ended else None
    rest = 60 * (left + active) / rate if rate and under_way else None
    state: State = "running" if under_way else "stopped" if left or failures else "done"
    return PlanStatus(told.plan if told else name, state, done, active, failures, left, rate, rest)


def so_far(folder: Folder, ended: frozenset[str]) -> Mapping[str, Sequence[Standing]] | None:
    """Return what runs of plans have reached, by scenario; None behind a URL: they would be fetched one by one."""
    if not isinstance(folder, LocalFolder):
        return None
    found, _ = load([folder.path]) if ended else ([], [])
    return standings([run for run in found if run.run_id in ended])
