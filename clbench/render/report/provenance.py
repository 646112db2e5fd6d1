"""Where every number of the page comes from: for each configuration its command, data, software, machine and files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from clbench.analysis.boards import Leaderboard
from clbench.analysis.provenance import command
from clbench.analysis.runs import Run, cells
from clbench.store import Result
from clbench.store.warnings import kinds_of


def configurations(
    boards: Sequence[Leaderboard], runs: Sequence[Run], results: Mapping[Path, Result]
) -> list[Mapping[str, Any]]:
    """Every configuration that was run, also those that share a board's row with another, in order of their names."""
    labels = {(entry.setup, entry.source): entry.label for board in boards for entry in board.entries}
    groups = cells(run for run in runs if run.path in results)
    found = [_configuration(labels.get(key, group[0].strategy), group, results) for key, group in groups.items()]
    return sorted(found, key=lambda one: (one["scenario"], one["label"]))


def _configuration(label: str, group: Sequence[Run], results: Mapping[Path, Result]) -> Mapping[str, Any]:
    """One configuration over its seeds; what all seeds share is said once."""
    mine = [results[run.path] for run in group if run.path is not None]
    folders = _distinct(str(run.path.parent) for run in group if run.path is not None)
    return {
        "label": label,
        "scenario": group[0].scenario,
        "source": group[0].source,
        "strategy": group[0].strategy,
        "kinds": ", ".join(kinds_of(warning for run in group for warning in run.warnings)),
        "diverged": sum(run.status != "ok" for run in group),
        "facts": [
            ("Command", [command(mine[0], [result.seed for result in mine])]),
            ("Data", _distinct(map(_data, mine))),
            ("Software", _distinct(map(_software, mine))),
            ("Machine", _distinct(map(_machine, mine))),
            ("Folder", folders),
        ],
        "warnings": _distinct(warning for result in mine for warning in result.warnings),
        "seeds": [(run.seed, _seed(run, result)) for run, result in zip(group, mine, strict=True)],
    }


def _seed(run: Run, result: Result) -> list[str]:
    value = run.value("average_accuracy")
    status = run.status if result.reason is None else f"{run.status}: {result.reason}"
    accuracy = "–" if value is None else f"{100 * value:.2f}"
    return [str(run.seed), accuracy, status, result.run_id[:12], result.created, run.path.name if run.path else ""]


def _distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(text for text in texts if text))


def _data(result: Result) -> str:
    official = {True: " (official)", False: " (not the official release)", None: ""}[result.data.official]
    return f"{result.data.name} {result.data.fingerprint[:12]}{official}"


def _software(result: Result) -> str:
    environment = result.environment
    parts = [f"{key} {environment[key]}" for key in ("clbench", "commit", "torch") if environment.get(key)]
    return ", ".join(parts + [f"{unit}: {code}" for unit, code in result.code.items() if code.identity])


def _machine(result: Result) -> str:
    environment = result.environment
    place = " ".join(str(environment[key]) for key in ("device_name", "precision") if environment.get(key))
    threads = environment.get("threads")
    return f"{place}, {threads} thread{'s' * (threads != 1)}" if threads else place
