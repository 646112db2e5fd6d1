"""Leaderboards of warm starts and long streams: columns that suit them, and metrics that need another run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clbench import metrics, store
from clbench.analysis.compare import Method, leaderboards
from clbench.analysis.runs import run_of
from clbench.engine.told import metric_values
from clbench.errors import UserError
from clbench.render.plots import Scene, draw, planes
from tests.helpers import make_result


def warm(strategy: str, seed: int, rows: list[list[float]]) -> store.Result:
    """A run over one test set."""
    return make_result(strategy, seed, rows, scenario="warm-start-digits")


def test_gap_to_the_cold_start_is_paired_by_seed_and_setting() -> None:
    runs = [run_of(warm("cold", seed, [[0.1], [0.5], [0.8 + 0.02 * seed]])) for seed in (0, 1)]
    runs += [run_of(warm("dash", seed, [[0.1], [0.6], [0.7]])) for seed in (0, 1, 2)]
    (board,) = leaderboards(runs)
    assert board.metrics[:2] == ["final_test_accuracy", "generalisation_gap"]
    dash, cold = board.entries
    assert (dash.role, cold.role) == ("method", "bound")
    assert cold.estimates["generalisation_gap"] is not None
    assert cold.estimates["generalisation_gap"].mean == 0
    assert dash.estimates["generalisation_gap"] is None, "seed 2 has no cold start beside it"
    (board,) = leaderboards([run for run in runs if run.seed < 2])
    gap = board.entries[0].estimates["generalisation_gap"]
    assert gap is not None
    assert gap.mean == pytest.approx((0.1 + 0.12) / 2)
    other = make_result("cold", 0, [[0.1], [0.5], [0.9]], scenario="warm-start-digits", settings={"batch_size": 64})
    (board,) = leaderboards([run_of(other), runs[2]])
    assert board.entries[0].estimates["generalisation_gap"] is None, "another setting is no reference"


def test_intransigence_is_what_joint_training_has_ahead_of_learning() -> None:
    joint = make_result("joint", 0, [[0.5, 0.5], [0.9, 0.95]])
    (board,) = leaderboards([run_of(joint), run_of(make_result())], Method(["intransigence"]))
    (found,) = [entry.estimates["intransigence"] for entry in board.entries if entry.strategy == "naive"]
    assert found is not None
    assert found.mean == pytest.approx(0.925 - 1.0)


def test_long_streams_show_what_is_known_of_them() -> None:
    rows: Any = [[None, None, None], [0.9, None, None], [None, 0.8, None], [0.5, 0.6, 0.7]]
    long = make_result().model_copy(update={"accuracy": rows})
    values = metric_values(metrics.Course(rows, online=[0.7, 0.6, 0.5]))
    (board,) = leaderboards([run_of(long.model_copy(update={"metrics": values}))])
    assert "online_trend" in board.metrics
    assert "forgetting" not in board.metrics
    assert planes.plane_axes(board) == ("learning_accuracy", "forgetting_first_last")


def test_a_board_without_forgetting_has_no_plane(tmp_path: Path) -> None:
    runs = [run_of(warm("cold", 0, [[0.1], [0.5], [0.9]]))]
    with pytest.raises(UserError, match="nothing can be forgotten"):
        draw(tmp_path / "p.svg", "plane", Scene(leaderboards(runs), None, runs))


def test_a_newer_metric_keeps_no_older_run_out() -> None:
    """A Result without a metric stands beside those that have it; another version of a metric does not."""
    old, new = make_result("naive"), make_result("ewc", accuracy=[[0.5, 0.5], [1.0, 0.5], [0.8, 1.0]])
    fewer = {name: found for name, found in old.metrics.items() if name != "online_accuracy"}
    (board,) = leaderboards([run_of(old.model_copy(update={"metrics": fewer})), run_of(new)])
    assert len(board.entries) == 2
    changed = fewer | {"forgetting": store.MetricValue(value=0.1, version=99)}
    assert len(leaderboards([run_of(old.model_copy(update={"metrics": changed})), run_of(new)])) == 2
