"""Single runs: as rows of a list or table, and one with everything that its Result says."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from clbench import store
from clbench.analysis.ages import ages
from clbench.render.leaderboards import shown
from clbench.render.tables import Table, accuracy_matrix, age_curve, print_table
from clbench.store.warnings import kinds_of

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from clbench.analysis.runs import Run
    from clbench.store import Result

SHORT = 12  # letters of an id


def row(run: Run) -> dict[str, Any]:
    """A run on one line: what it is, its settings, its metrics."""
    head = {"run": run.run_id, "created": run.created, "status": run.status, "seed": run.seed}
    settings: dict[str, Any] = {"warnings": [*run.warnings]} | store.flat(json.loads(run.setup))
    return head | settings | run.metrics | {"seconds": run.seconds, "file": str(run.path)}


def as_csv(runs: Sequence[Run]) -> str:
    """A line for each run, a column for each setting and metric that any of them has."""
    rows = [row(run) for run in runs]
    columns = list(dict.fromkeys(key for one in rows for key in one))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(one | {"warnings": "; ".join(one["warnings"])} for one in rows)
    return stream.getvalue()


def listed(runs: Sequence[Run]) -> Table:
    """Runs, the main numbers of each."""
    header = ["run", "scenario", "strategy", "seed", "status", "accuracy %", "forgetting %", "seconds", "made (UTC)"]
    return Table("", header, [_cells(run) for run in runs], right=frozenset({3, 5, 6, 7}))


def _cells(run: Run) -> list[str]:
    values = [run.metrics.get(name) for name in ("average_accuracy", "forgetting")]
    status = ", ".join([run.status, *kinds_of(run.warnings)])
    return [
        run.run_id[:SHORT],
        run.scenario,
        run.strategy,
        str(run.seed),
        status,
        *("–" if value is None else f"{100 * value:.1f}" for value in values),
        f"{run.seconds:.1f}",
        run.created[:16].replace("T", " "),
    ]


def named(runs: Sequence[Run], most: int = 5) -> str:
    """The first of some runs in words."""
    words = ", ".join(f"{run.strategy} seed {run.seed} ({run.run_id[:SHORT]})" for run in runs[:most])
    return f"{words}{' …' if len(runs) > most else ''}"


def print_result(result: Result, path: Path, console: Console) -> None:
    """Print a Result: its settings, R, metrics, cost and where it was made."""
    head = f"{result.strategy} on {result.scenario_name}, seed {result.seed}: {result.status}"
    console.print(head, style="bold", markup=False, highlight=False)
    for line in (*([result.reason] if result.reason else []), str(path)):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    for warning in result.warnings:
        console.print(warning, style="yellow", markup=False, highlight=False, soft_wrap=True)
    for table in _tables(result):
        print_table(table, console)


def _tables(result: Result) -> list[Table]:
    settings = [[key, store.canonical(value)] for key, value in store.flat(result.config).items()]
    values = [[name, shown(one.value, name)] for name, one in result.metrics.items()]
    aging = ages(result)
    return [
        Table("settings", ["key", "value"], settings),
        accuracy_matrix(result),
        *([age_curve(aging)] if aging else []),
        Table("metrics", ["metric", "value"], values, right=frozenset({1})),
        _cost(result),
        _made_by(result),
    ]


def _cost(result: Result) -> Table:
    rows = [
        [
            ", ".join(str(task + 1) for task in cost.tasks),
            f"{cost.train_seconds:.2f}",
            f"{cost.evaluate_seconds:.2f}",
            f"{cost.samples_per_second:,.0f}",
            f"{cost.peak_memory_mib:,.0f}",
        ]
        for cost in result.cost
    ]
    header = ["tasks", "training s", "evaluation s", "samples/s", "peak MiB"]
    return Table("cost", header, rows, right=frozenset(range(1, 5)))


def _made_by(result: Result) -> Table:
    codes = {
        unit: str(code) if code.package or not code.source else f"{code.source}, {code}"
        for unit, code in result.code.items()
    }
    made = {"made": result.created, **codes, **result.environment}
    return Table("made by", ["", ""], [[key, str(value)] for key, value in made.items()])
