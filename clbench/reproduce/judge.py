"""What came out, beside what was published."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from clbench import registry
from clbench.analysis.apart import NO_POOL, apart
from clbench.analysis.codes import latest
from clbench.analysis.diagnosis import QUANTITIES
from clbench.analysis.load import load
from clbench.analysis.runs import Run
from clbench.analysis.significance import ALPHA
from clbench.analysis.statistics import Estimate, estimate
from clbench.metrics import METRICS
from clbench.reproduce.entry import Claim, Entry, Published
from clbench.store import is_there, parts, read, slug

Verdict = Literal["within", "outside", "holds", "fails", "open", "not run"]


@dataclass(frozen=True)
class Finding:
    """A published number or claim, and ours: a mean over seeds, or of differences of seeds in pairs (better − worse).

    ``diverged``: how many seeds of the arms concerned diverged; they are in no mean. ``older``: runs of these arms are
    of an earlier version of their strategy than today's.
    """

    entry: Entry
    said: Published | Claim
    ours: Estimate | None
    diverged: int
    verdict: Verdict
    control: Estimate | None = None
    older: bool = False


Arms = dict[str, list[Run]]


def findings(entry: Entry, folder: Path) -> list[Finding]:
    """Judge an entry by the Results that a folder has of it."""
    arms = runs_of(entry, folder)
    older = {arm for arm, runs in arms.items() if any(map(of_older_version, runs))}
    numbers = [replace(_number(entry, said, arms), older=said.arm in older) for said in entry.published]
    orders = [
        replace(_order(entry, claim, arms), older=bool({claim.better, claim.worse} & older)) for claim in entry.claims
    ]
    return numbers + orders


def of_older_version(run: Run) -> bool:
    """Whether a run's strategy, with the run's options, has a higher version today; read from the source text."""
    setup = json.loads(run.setup)
    section, names = setup["strategy"], parts(run.strategy)
    for name, then in zip(names, setup["code"]["strategy"].split("; "), strict=True):
        unit = registry.strategy.listed.get(name)
        version = int(found[1]) if (found := re.search(r"version (\d+)", then)) else 1
        if unit is not None and version < unit.version_with(section if len(names) == 1 else section[name]):
            return True
    return False


def runs_of(entry: Entry, folder: Path) -> Arms:
    """The runs of each arm that has any; those of older code stay out.

    Folders that are older than ASCII names are found, too.
    """
    place = folder / entry.name
    found = {arm: [one for one in (place / slug(arm), place / arm) if is_there(one)] for arm in entry.arms}
    return {arm: latest(load(places[:1])[0]) for arm, places in found.items() if places}


def _number(entry: Entry, said: Published, arms: Arms) -> Finding:
    runs = arms.get(said.arm, [])
    ours = _mean(runs, said.metric)
    control = _mean(arms.get(entry.control, []), said.metric) if entry.control else None
    diverged = sum(run.status != "ok" for run in runs)
    if ours is None:
        return Finding(entry, said, None, diverged, "outside" if diverged else "not run", control)
    near = abs(ours.mean - said.value) <= said.tolerance + (ours.half_width or 0.0)
    return Finding(entry, said, ours, diverged, "within" if near and not diverged else "outside", control)


def _mean(runs: Sequence[Run], metric: str) -> Estimate | None:
    values = [value for run in runs if run.status == "ok" if (value := run.metrics[metric]) is not None]
    return estimate(values) if values else None


def _order(entry: Entry, claim: Claim, arms: Arms) -> Finding:
    one, other = (
        {run.seed: _value(run, claim.metric) for run in arms.get(arm, [])} for arm in (claim.better, claim.worse)
    )
    lost = [sum(run.status != "ok" for run in arms.get(arm, [])) for arm in (claim.better, claim.worse)]
    sign = -1 if claim.metric in METRICS and METRICS[claim.metric].better == "lower" else 1
    shared = one.keys() & other.keys()
    if not shared:
        return Finding(entry, claim, None, 0, "not run")
    if lost[0] != lost[1]:  # whoever diverges has lost, whatever the other seeds say
        return Finding(entry, claim, None, sum(lost), "holds" if lost[1] > lost[0] else "fails")
    mine, theirs = ({s: sign * v for s, v in arm.items() if s in shared and v is not None} for arm in (one, other))
    if not mine.keys() & theirs.keys():
        return Finding(entry, claim, None, sum(lost), "open")
    found = apart(mine, theirs, NO_POOL)  # a claim is of two arms: the same test as on a board of two rows
    low, high = found.interval(ALPHA) or (None, None)
    ours = Estimate(found.mean, low, high, found.n)
    if low is None or high is None or low <= 0 <= high:
        return Finding(entry, claim, ours, sum(lost), "open")
    return Finding(entry, claim, ours, sum(lost), "holds" if low > 0 else "fails")


def _value(run: Run, name: str) -> float | None:
    """A run's metric, or the last value of what it was diagnosed with."""
    if name in METRICS:
        return run.metrics.get(name)
    assert run.path is not None
    (quantity,) = (quantity for quantity in QUANTITIES if quantity.name == name)
    found = list(quantity.read(read(run.path)).values())
    return found[-1] if found else None
