"""What columns of leaderboards are called: in tables, and by people who have read one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from clbench import metrics
from clbench.analysis.costs import COSTS
from clbench.analysis.relative import RELATIVE
from clbench.errors import UserError, did_you_mean

HEADINGS = {
    "average_accuracy": "accuracy",
    "balanced_accuracy": "balanced",
    "next_period_accuracy": "next period",
    "next_period_balanced_accuracy": "next balanced",
    "next_period_drop": "drop",
    "learning_accuracy": "learning",
    "final_test_accuracy": "final",
    "mean_test_accuracy": "all stages",
    "generalisation_gap": "gap",
    "forgetting_first_last": "first−last",
    "online_accuracy": "online",
    "online_trend": "trend",
    "steps_to_threshold": "steps",
}


def heading(column: str) -> str:
    """What a table calls a column."""
    return HEADINGS.get(column, column.replace("_", " "))


def known() -> list[str]:
    """Every column there is: metrics, those that need a run beside a run, and costs."""
    return [*sorted([*metrics.METRICS, *RELATIVE]), *COSTS]


def resolve(name: str, columns: Sequence[str] | None = None) -> str:
    """Return the column that a name means: its own, or what a table's heading calls it.

    Raises UserError, with the nearest name, if it means none of the ``columns`` (all, if none are given).
    """
    columns = known() if columns is None else columns
    if name in columns:
        return name
    called = {_plain(heading(column)): column for column in columns} | {_plain(column): column for column in columns}
    if _plain(name) in called:
        return called[_plain(name)]
    raise UserError(
        f"Unknown metric '{name}'.{did_you_mean(name, [*columns, *called])} Metrics are {', '.join(columns)}."
    )


def resolved(names: Iterable[str]) -> list[str]:
    """Return the columns that names mean, each once."""
    return list(dict.fromkeys(map(resolve, names)))


def _plain(name: str) -> str:
    """'First−last' and 'first last' as 'first_last'."""
    return re.sub(r"[\s_−–-]+", "_", name.strip().lower())
