"""Time scenarios: rows of a table in order of time, cut into periods."""

from __future__ import annotations

from typing import Literal

import numpy as np

from clbench.data.calendar import Every, shown, starts
from clbench.data.dataset import Array, Dataset
from clbench.data.streams import Stream, Task
from clbench.errors import UserError
from clbench.registry import Count, Share, scenario

from .split import FEW_ROWS, VECTORS

TrainOn = Literal["period", "window", "all"]

_MLP = VECTORS | {"optimizer": VECTORS["optimizer"] | {"reset": "never"}}
# Rates and epochs were chosen on the first four periods: results/baseline/recipes.md.
RECIPES = {
    "vectors": _MLP | FEW_ROWS,
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
    _check(data, len(times), every, periods)
    begins = starts(times, every, periods)
    parts = [_period(data, times, rows, held_out) for rows in np.split(np.arange(len(times)), begins[1:])]
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


def _check(data: Dataset, rows: int, every: Every, periods: int) -> None:
    """Raise UserError for rows that cannot be cut so."""
    if every == "rows" and periods > rows // 2:
        raise UserError(f"scenario.periods: {rows:,} rows cannot be cut into {periods:,} periods. Use fewer.")
    if every not in ("rows", "value") and not data.calendar:
        raise UserError(
            f"scenario.every: '{every}' needs dates, and the times of '{data.name}' are plain numbers. Use rows or "
            "value."
        )


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
