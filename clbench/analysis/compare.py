"""Leaderboards: Results that may be compared, ranked over seeds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from clbench import metrics
from clbench.analysis.statistics import Estimate, estimate
from clbench.errors import UserError, did_you_mean
from clbench.store import Result, canonical

DEFAULT_METRICS = ("average_accuracy", "forgetting", "learning_accuracy", "seconds")


@dataclass(frozen=True)
class Entry:
    """One row: a strategy with its settings over its seeds. A diverged seed makes the whole row diverged."""

    rank: int | None
    label: str
    strategy: str
    seeds: list[int]
    diverged: int
    estimates: dict[str, Estimate | None]


@dataclass(frozen=True)
class Leaderboard:
    """Entries that may be compared: one scenario, one version, one set of data, one set of metric versions.

    ``setting`` says what tells this board from others of the same scenario; empty if there is only one.
    """

    scenario: str
    setting: str
    metrics: list[str]
    entries: list[Entry]


def better(metric: str) -> str:
    """Say whether 'higher' or 'lower' values of a column are better."""
    return "lower" if metric == "seconds" else metrics.METRICS[metric].better


def check_metrics(names: Sequence[str]) -> list[str]:
    """Return the columns; UserError with the nearest name for an unknown one."""
    metrics.compute([[0.0], [0.0]])  # finds every metric
    known = [*metrics.METRICS, "seconds"]
    for name in names:
        if name not in known:
            raise UserError(f"Unknown metric '{name}'.{did_you_mean(name, known)} Metrics are {', '.join(known)}.")
    return list(names)


def leaderboards(results: Iterable[Result], columns: Sequence[str] = DEFAULT_METRICS) -> list[Leaderboard]:
    """Sort Results into leaderboards, ranked by the first column.

    Results whose scenario options or version, data fingerprint, scored images or metric versions differ never meet in
    one board; the boards' settings say what differs.
    """
    columns = check_metrics(columns)
    by_scenario: dict[str, dict[str, list[Result]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        by_scenario[result.scenario_name][canonical(_comparable(result))].append(result)
    boards = []
    for scenario, groups in sorted(by_scenario.items()):
        kinds = [_comparable(group[0]) for group in groups.values()]
        for kind, group in zip(kinds, groups.values(), strict=True):
            setting = _differences(kind, kinds) if len(kinds) > 1 else ""
            boards.append(Leaderboard(scenario, setting, columns, _entries(group, columns)))
    return boards


def _comparable(result: Result) -> dict[str, Any]:
    """What must be equal for two Results to be ranked together."""
    options = {f"scenario.{key}": value for key, value in result.config["scenario"].items() if key != "name"}
    # A diverged run has no metrics; it belongs beside those that this version of clbench computes.
    measured = result.metrics or metrics.METRICS
    versions = {f"{name} version": metric.version for name, metric in measured.items()}
    return {
        **options,
        **versions,
        "scenario version": result.scenario.version,
        "data": result.data.fingerprint[:12],
        "evaluate": result.config["evaluate"],
    }


def _differences(mine: Mapping[str, Any], all_of_them: Sequence[Mapping[str, Any]]) -> str:
    """The keys in which groups differ, with this group's values."""
    missing = object()
    keys = sorted({key for one in all_of_them for key in one})
    differing = [key for key in keys if any(one.get(key, missing) != mine.get(key, missing) for one in all_of_them)]
    return ", ".join(f"{key} {_short(mine.get(key, '–'))}" for key in differing)


def _short(value: Any) -> str:
    return canonical(value) if isinstance(value, dict | list) else str(value)


def _entries(results: Sequence[Result], columns: Sequence[str]) -> list[Entry]:
    groups: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        groups[canonical({k: v for k, v in result.config.items() if k != "seed"})].append(result)
    labels = _labels([group[0].config for group in groups.values()])
    entries = [_entry(label, group, columns) for label, group in zip(labels, groups.values(), strict=True)]
    sign = 1 if better(columns[0]) == "lower" else -1

    def order(entry: Entry) -> tuple[bool, float, str]:
        first = entry.estimates[columns[0]]
        return (first is None, sign * first.mean if first else 0.0, entry.label)

    ranked = []
    for place, entry in enumerate(sorted(entries, key=order), start=1):
        rank = place if entry.estimates[columns[0]] is not None else None
        ranked.append(replace(entry, rank=rank))
    return ranked


def _entry(label: str, group: Sequence[Result], columns: Sequence[str]) -> Entry:
    diverged = sum(result.status == "diverged" for result in group)
    estimates: dict[str, Estimate | None] = {}
    for column in columns:
        values = [r.seconds if column == "seconds" else _value(r, column) for r in group]
        known = [value for value in values if value is not None]
        estimates[column] = estimate(known) if len(known) == len(values) and not diverged else None
    return Entry(None, label, group[0].strategy, sorted(r.seed for r in group), diverged, estimates)


def _value(result: Result, metric: str) -> float | None:
    found = result.metrics.get(metric)
    return found.value if found else None


def _labels(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of strategies, with as many settings as tell them apart.

    Settings of the run (model, optimiser, …) count when they differ between any two; options of a strategy when two
    configurations of the same strategy differ in them.
    """
    flat = [_flat({k: v for k, v in config.items() if k not in ("strategy", "scenario", "seed")}) for config in configs]
    options = [_flat(config["strategy"]) for config in configs]
    names = [str(config["strategy"]["name"]) for config in configs]
    labels = []
    for mine, name, own in zip(flat, names, options, strict=True):
        rivals = [option for option, other in zip(options, names, strict=True) if other == name]
        parts = _telling(own, rivals) + _telling(mine, flat)
        labels.append(f"{name} ({', '.join(parts)})" if parts else name)
    return labels


def _telling(mine: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> list[str]:
    keys = sorted({key for other in others for key in other})
    return [
        f"{key}={_short(mine[key])}"
        for key in keys
        if key in mine and any(other.get(key) != mine[key] for other in others)
    ]


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
