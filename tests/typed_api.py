"""A program as a user writes one, for mypy --strict to read ('make check'): what the public API takes and gives back.

Nothing here is run. A call that must be refused has the error's name beside it; mypy says so if it is refused no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from torch import nn
from typing_extensions import assert_type  # in typing since Python 3.11

import clbench as cl
from clbench.analysis.boards import Leaderboard
from clbench.analysis.verdicts import CellCheck
from clbench.store import Result


def runs() -> cl.Results:
    naive = cl.run("naive", "split-domain-digits", seeds=3)
    assert_type(naive, cl.Results)
    ewc = cl.run("ewc", {"name": "split-digits", "tasks": 5}, lam=5, epochs=2, optimizer={"lr": 0.1}, seeds=[0, 3])
    assert_type(ewc[0], Result)
    assert_type(ewc[1:], cl.Results)
    assert_type(ewc["forgetting"], list[float | None])
    assert_type(ewc.mean(), float | None)
    assert_type(ewc.failures, list[str])
    assert_type(ewc.to_frame(), pd.DataFrame)
    for result in ewc:
        assert_type(result, Result)
        assert_type(result.accuracy, list[list[float | None]])
        assert_type(result.strategy, str)
    cl.run("naive", device="tpu")  # type: ignore[arg-type]
    cl.run("naive", logger="excel")  # type: ignore[arg-type]
    cl.run("naive", "split-digits", "mlp")  # type: ignore[call-arg]
    return naive


def streams(x: np.ndarray[Any, Any], y: Sequence[str], dates: Any) -> None:
    stream = cl.stream(x, y, time=dates, every="month", name="sales")
    assert_type(stream, cl.Stream)
    assert_type(stream.fingerprint, str)
    network = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
    assert_type(cl.run("er", stream, model=network, seeds=3), cl.Results)
    cl.stream(x, y, name=3)  # type: ignore[arg-type]


def sweeps(folder: Path) -> None:
    assert_type(cl.sweep({"grid": {"strategy": ["l2", "er"]}, "seeds": 2}, results=folder), cl.Results)
    assert_type(cl.sweep(folder / "plan.yaml", executor="ray", workers=4), cl.Results)
    cl.sweep(["l2", "er"])  # type: ignore[arg-type]


def chosen() -> None:
    found = cl.tune("l2", tasks=2, space={"strategy.lam": [0.1, 1, 10]})
    assert_type(found, cl.Tuned)
    assert_type(found.value, float)
    assert_type(found.file, Path | None)
    assert_type(found.to_frame(), pd.DataFrame)
    assert_type(cl.run(config=found.recipe, seeds=2), cl.Results)
    cl.tune("l2", sampler="guess")  # type: ignore[arg-type]


def told(naive: cl.Results) -> None:
    loaded = cl.load("results", scenario="split-digits", where=["model=mlp"])
    assert_type(loaded, cl.Results)
    board = cl.compare([naive, loaded, "results", Path("old")], against="naive", metric="forgetting")
    assert_type(board, cl.Board)
    assert_type(board.leaderboards, Sequence[Leaderboard])
    assert_type(board.text("markdown"), str)
    assert_type(board.plot("difference"), Figure)
    assert_type(board.to_frame(), pd.DataFrame)
    board.text("pdf")  # type: ignore[arg-type]
    cl.compare(naive, interval="wide")  # type: ignore[arg-type]


def gated(naive: cl.Results) -> bool:
    checked = cl.check("baseline", naive, margin={"forgetting": 0.03})
    assert_type(checked, cl.Checked)
    assert_type(checked.passed, bool)
    assert_type(checked.cells, Sequence[CellCheck])
    cl.check(naive, mode="about")  # type: ignore[arg-type]
    cl.chekc("baseline", naive)  # type: ignore[attr-defined]
    try:
        return bool(checked)
    except cl.UserError as error:
        assert_type(error, cl.UserError)
        return False
