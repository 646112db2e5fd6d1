"""Time scenarios: rows of a table in order of time, cut into periods."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from clbench.data.calendar import periods as calendar_periods
from clbench.data.calendar import shown
from clbench.data.dataset import Array, Dataset
from clbench.data.streams import Stream, Task
from clbench.errors import UserError
from clbench.registry import Count, Share, scenario

Every = Literal["rows", "year", "quarter", "month", "week", "day", "hour", "value"]
TrainOn = Literal["period", "window", "all"]

_MLP: dict[str, Any] = {
    "model": {"name": "mlp", "widths": [128, 128], "norm": "layer"},
    "optimizer": {"name": "adam", "lr": 0.001, "reset": "never"},
    "epochs": 3,
    "batch_size": 256,
}
# Rates and epochs were chosen on the first four periods: results/baseline/recipes.md.
RECIPES = {
    "vectors": _MLP | {"epochs": 10, "batch_size": 32},  # enough steps where a period has hundreds of rows
    "flights-2013": _MLP
    | {"scenario": {"every": "month"}, "optimizer": {"name": "adam", "lr": 0.0001, "reset": "never"}, "epochs": 1},
    "elec2": _MLP | {"epochs": 1},
    "noaa-weather": _MLP | {"epochs": 10},
}


@scenario("time", version=1, recipes=RECIPES, data="tables", kind="domain, in time")
def time(
    data: Dataset,
    seed: int,
    *,
    every: Every = "rows",
    periods: Count = 10,
    train_on: TrainOn = "period",
    window: Count = 3,
    held_out: Share = 0.2,
) -> Stream:
    """Cut rows into periods of time; stage t trains on period t, and every stage is tested on all periods.

    Wild-Time (Yao et al. 2022, arXiv:2211.14238) compares methods so. The last rows of each period are its test rows,
    since a row is often like its neighbours in time. What matters to whoever uses a model is 'next_period_accuracy'.
    every: 'rows' (periods of as many rows each), a unit of the calendar, or 'value' (each value of the time column).
    periods: how many, of equally many rows. train_on: 'period' (this one), 'window' (the last few), 'all' (all so far).
    window: how many periods a window has. held_out: the share of each period, at its end, that is tested on.
    """
    times = data.train.times
    if times is None:
        raise UserError(
            f"scenario: 'time' needs to know when each row of '{data.name}' was taken. Name the column with --set "
            "data.time=…, or say data.time=row if the rows are in order."
        )
    cut = _by_rows(len(times), periods) if every == "rows" else _by_time(data, times, every)
    starts = np.flatnonzero(np.diff(cut, prepend=-1))
    parts = [_period(data, times, rows, held_out) for rows in np.split(np.arange(len(times)), starts[1:])]
    if len(parts) < 2:
        raise UserError(f"scenario.every: all rows of '{data.name}' are in one {every}. Choose a shorter period.")
    labels = np.arange(len(data.classes))
    return Stream(
        [Task(train, test, labels) for train, test in parts],
        outputs=len(labels),
        heads=1,
        incremental="domain",
        growing=train_on == "all",
        window=window if train_on == "window" else 1,
        periods=True,
    )


def _by_rows(rows: int, periods: int) -> Array:
    if periods > rows // 2:
        raise UserError(f"scenario.periods: {rows:,} rows cannot be cut into {periods:,} periods. Use fewer.")
    return np.arange(rows) * periods // rows


def _by_time(data: Dataset, times: Array, every: str) -> Array:
    if every != "value" and not data.calendar:
        raise UserError(
            f"scenario.every: '{every}' needs dates, and the times of '{data.name}' are plain numbers. Use rows or "
            "value."
        )
    return calendar_periods(times, every)


def _period(data: Dataset, times: Array, rows: Array, held_out: float) -> tuple[Array, Array]:
    """Training and test rows of a period."""
    if not data.undivided:
        raise UserError(
            f"scenario: 'time' holds out rows of each period itself, and '{data.name}' has test rows of its own. Leave "
            "the column out: --set data.split=null, --set data.drop=[…]."
        )
    tested = round(held_out * len(rows))
    if not 0 < tested < len(rows):
        first = shown(int(times[rows[0]])) if data.calendar else f"row {rows[0] + 1:,}"
        raise UserError(
            f"scenario: the period that begins at {first} has {len(rows)} rows, of which a share of {held_out} cannot "
            "be held out. Choose longer periods (scenario.every) or another scenario.held_out."
        )
    return rows[:-tested], rows[-tested:]
