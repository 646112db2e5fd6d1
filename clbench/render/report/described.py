"""What a reader may not know: a scenario in a sentence, and what every strategy, column and word of the page means."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clbench import registry, store
from clbench.analysis.boards import Entry, Leaderboard
from clbench.analysis.relative import RELATIVE
from clbench.metrics import METRICS
from clbench.render.leaderboards import heading

SEVERAL = 3  # values of a setting that are named; of more it is said that they differ
SEQUENCES = {"task": "task-incremental", "class": "class-incremental", "domain": "domain-incremental"}
ROLES = {
    "method": "",
    "bound": "A bound: it has more than a method may have (all data at once), and takes no part in the ranking.",
    "control": "A control: it shows what no remedy, or a trivial one, does, and takes no part in the ranking.",
}
# Columns that are no metrics.
COLUMNS = {
    "#": "Place among methods by the first column. ★ may be the best, ◆ on the Pareto front.",
    "n": "Seeds. ‡ fewer than other rows.",
    "": "How the row stands to the reference: better or worse (p ≤ 5 % after Holm's correction), equal (smaller than "
    "the margin with a probability of 95 %), or open: the seeds cannot tell.",
    "of the way": "How much of the way from fine-tuning to the bound a row covers.",
    "seconds": "Wall-clock time of the whole run.",
    "samples": "Training samples processed: each time one goes through the network with gradients, replay and "
    "inner steps of a method included.",
    "memory": "Bytes of samples that a method keeps beside the network; the most at any stage's end.",
    "state": "Bytes of all else that it keeps, such as anchors, importances and copies; the most at any stage's end.",
}
DIFFERENCE = "Difference to the reference, seed by seed, with its interval, as wide as Holm's correction asks."


@dataclass(frozen=True)
class Term:
    """An entry of the page's glossary: a number of its own for ids, a title, and paragraphs."""

    id: str
    title: str
    paragraphs: Sequence[str]


def sentence(board: Leaderboard) -> str:
    """A scenario and how it was trained: '5 tasks, task-incremental; mlp 100-100; sgd, lr 0.05; 10 epochs; 5 seeds'."""
    setups = [json.loads(entry.setup) for entry in board.entries]
    scenario = setups[0]["scenario"]
    tasks = scenario.get("tasks")
    parts = [f"{tasks} tasks" if tasks else "", SEQUENCES.get(str(scenario.get("incremental")), "")]
    parts += [
        _all(setups, lambda one: _unit(one.get("model"), ("widths", "depth", "norm")), "networks"),
        _all(setups, lambda one: _unit(one.get("optimizer"), ("lr", "momentum", "weight_decay")), "optimisers"),
        _all(setups, _length, "lengths of training"),
        _all(setups, lambda one: f"batches of {one['batch_size']}" if one.get("batch_size") else "", "batch sizes"),
    ]
    counts = sorted({len(entry.seeds) for entry in board.entries})
    seeds = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    parts.append(f"{seeds} seed{'s' * (counts[-1] != 1)}")
    return "; ".join(part for part in parts if part)


def _all(setups: Sequence[Mapping[str, Any]], say: Callable[[Mapping[str, Any]], str], kind: str) -> str:
    """What is said of all rows' settings, or how many different things."""
    said = list(dict.fromkeys(filter(None, map(say, setups))))
    return " or ".join(said) if len(said) <= SEVERAL else f"{len(said)} {kind}"


def _unit(section: Mapping[str, Any] | None, options: Sequence[str]) -> str:
    """A network or optimiser with those of its options that are on."""
    if not section:
        return ""
    parts = []
    for key in options:
        value = section.get(key)
        if key == "widths" and isinstance(value, list):
            parts.append("-".join(map(str, value)))
        elif value not in (None, 0, "none"):
            parts.append(f"{key.replace('_', ' ')} {value}")
    return f"{section['name']} {', '.join(parts)}".strip()


def _length(setup: Mapping[str, Any]) -> str:
    if setup.get("epochs"):
        return f"{setup['epochs']} epoch{'s' * (setup['epochs'] != 1)} a task"
    if setup.get("steps"):
        return f"{setup['steps']:,} steps a task"
    reached = setup.get("until_train_accuracy")
    return f"to {100 * reached:g} % training accuracy" if reached else ""


def strategies(entries: Iterable[Entry]) -> dict[str, Term]:
    """Each strategy's line in the catalogue, of a composition those of its parts, and its role."""
    roles = {entry.strategy: entry.role for entry in entries}
    found = {}
    for number, (name, role) in enumerate(sorted(roles.items())):
        parts = store.parts(name)
        told = [(part, registry.strategy.listed.get(part)) for part in parts]
        lines = [
            "Not in this catalogue." if unit is None else unit.summary if len(parts) == 1 else f"{part}: {unit.summary}"
            for part, unit in told
        ]
        found[name] = Term(f"strategy{number}", name, [*lines, *filter(None, [ROLES[role]])])
    return found


def columns(boards: Sequence[Leaderboard]) -> dict[str, Term]:
    """The definition of every heading of the boards' tables."""
    named = {heading(column): column for board in boards for column in board.metrics}
    found = {}
    for number, (text, column) in enumerate([*((key, key) for key in COLUMNS), *named.items(), ("Δ", "Δ")]):
        found[text] = Term(f"column{number}", text or "state", [definition(column)])
    return found


def definition(column: str) -> str:
    """What a column has, in a sentence or two, and whether less of it is better."""
    if column == "Δ":
        return DIFFERENCE
    unit = METRICS.get(column) or RELATIVE.get(column)
    if unit is None:
        return COLUMNS.get(column, "")
    return f"{unit.summary} {unit.better.capitalize()} is better."


def scenarios(boards: Sequence[Leaderboard]) -> dict[str, Term]:
    """What each scenario's family does, from the catalogue."""
    found = {}
    for number, name in enumerate(dict.fromkeys(board.scenario for board in boards)):
        family = max((one for one in registry.scenario.listed if name.startswith(f"{one}-")), key=len, default=None)
        told = "Not in this catalogue." if family is None else registry.scenario.listed[family].summary
        found[name] = Term(f"scenario{number}", name, [told])
    return found
