"""Metrics against matrices worked by hand, and what must hold for all of them."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clbench import metrics

# Row 0 is before training. Three tasks.
R = [
    [0.1, 0.2, 0.3],
    [0.9, 0.3, 0.2],
    [0.6, 0.8, 0.4],
    [0.7, 0.5, 1.0],
]
BY_HAND = {
    "average_accuracy": (0.7 + 0.5 + 1.0) / 3,
    "average_incremental_accuracy": (0.9 + (0.6 + 0.8) / 2 + (0.7 + 0.5 + 1.0) / 3) / 3,
    "last_accuracy_over_samples": (40 * 0.7 + 20 * 0.5 + 10 * 1.0) / 70,
    "average_incremental_accuracy_over_samples": (0.9 + (40 * 0.6 + 20 * 0.8) / 60 + (28 + 10 + 10) / 70) / 3,
    "learning_accuracy": (0.9 + 0.8 + 1.0) / 3,
    "forgetting": ((0.9 - 0.7) + (0.8 - 0.5)) / 2,
    "forgetting_first_last": ((0.9 - 0.7) + (0.8 - 0.5)) / 2,
    "forgetting_all_tasks": ((0.9 - 0.7) + (0.8 - 0.5) + 0.0) / 3,
    "backward_transfer": ((0.7 - 0.9) + (0.5 - 0.8)) / 2,
    "forward_transfer": ((0.3 - 0.2) + (0.4 - 0.3)) / 2,
    "final_test_accuracy": None,
    "mean_test_accuracy": None,
    "steps_to_threshold": (10 + 20 + 60) / 3,
    "online_accuracy": (0.5 + 0.7 + 0.6) / 3,
    "online_trend": 0.1,  # the line through .5, .7, .6 rises by .05 per stage
    "stability_gap": ((0.9 - 0.5) + (0.6 - 0.1) + (0.8 - 0.5)) / 3,
    "min_accuracy": (0.1 + 0.5) / 2,
    "anytime_accuracy": (0.5 + 0.8 + 0.6) / 3,
    "worst_case_accuracy": 1.0 / 3 + 2 / 3 * (0.1 + 0.5) / 2,
    "balanced_accuracy": ((6 / 8 + 1 / 2) / 2 + 5 / 10 + (1 / 1 + 9 / 9) / 2) / 3,
    "macro_f1": ((12 / 15 + 2 / 5) / 2 + (10 / 15 + 0) / 2 + 1.0) / 3,  # in task 2 class 1 is answered, and not there
    "kept_accuracy": 0.7,
    "removed_accuracy": 0.5,
    "known_accuracy": 1.0,
    "membership_attack": 4.5 / 6,  # of 6 pairs the removed sample's loss is smaller in 4, and equal in one
    "relearning_steps": 12,
    "distance_to_retrain": 0.4,
    "next_period_accuracy": (0.3 + 0.4) / 2,
    "next_period_drop": ((0.9 - 0.3) + (0.8 - 0.4)) / 2,
    "next_period_balanced_accuracy": ((2 / 4 + 1 / 6) / 2 + 4 / 10) / 2,
}
CONFUSION = [
    [(0, 0, 6), (0, 1, 2), (1, 0, 1), (1, 1, 1)],
    [(0, 0, 5), (0, 1, 5)],
    [(0, 0, 1), (1, 1, 9)],
]
AHEAD = [[(0, 0, 2), (0, 1, 2), (1, 0, 5), (1, 1, 1)], [(2, 2, 4), (2, 0, 6)]]


def of(R: Sequence[Sequence[float | None]]) -> dict[str, float | None]:
    return metrics.compute(metrics.Course(R))


def test_every_metric_is_worked_by_hand() -> None:
    within: list[list[list[float | None]]] = [[], [[0.8, None, None], [0.5, None, None]], [[0.1, 0.7, None]]]
    course = metrics.Course(
        R,
        steps=[10, 20, 60],
        reached=[True, True, True],
        online=[0.5, 0.7, 0.6],
        tasks=[[0], [1], [2]],
        within=within,
        seen=[[0.5], [0.8, None], [0.6]],
        tested=[40, 20, 10],
        confusion=CONFUSION,
        ahead=AHEAD,
        periods=True,
        removal=metrics.Removal(0, 1, 2, [0.1, 0.1, 0.9], [0.5, 0.9], relearning=12, distance=0.4),
    )
    assert metrics.compute(course) == pytest.approx(BY_HAND)


def test_one_test_set_for_all_stages() -> None:
    found = of([[0.1], [0.4], [0.5], [0.9]])
    assert found["final_test_accuracy"] == 0.9
    assert found["mean_test_accuracy"] == pytest.approx(0.6)
    assert found["forgetting"] is None
    assert found["learning_accuracy"] is None


def test_a_threshold_that_a_stage_missed_has_no_steps() -> None:
    course = metrics.Course([[0.1], [0.4], [0.5]], steps=[10, 20], reached=[True, False])
    assert metrics.compute(course)["steps_to_threshold"] is None


def test_what_was_not_evaluated_is_unknown_not_zero() -> None:
    nothing: list[float | None] = [None, None, None]
    long: list[list[float | None]] = [nothing, [0.9, None, None], [None, 0.8, None], [0.7, 0.5, 1.0]]
    found = of(long)
    assert found["learning_accuracy"] == pytest.approx(0.9)
    assert found["average_accuracy"] == pytest.approx(2.2 / 3)
    assert found["forgetting_first_last"] == pytest.approx((0.2 + 0.3) / 2)
    assert found["forgetting"] is None
    assert found["forward_transfer"] is None


@given(st.lists(st.floats(0, 1, allow_subnormal=False), min_size=3, max_size=40))
def test_trend_is_the_least_squares_line(online: list[float]) -> None:
    trend = metrics.compute(metrics.Course([], online=online))["online_trend"]
    slope = np.polyfit(range(len(online)), online, 1)[0]
    assert trend == pytest.approx(slope * (len(online) - 1), abs=1e-9)


def test_forgetting_counts_from_the_best_accuracy_not_the_first() -> None:
    rising = [[0.0, 0.0], [0.5, 0.0], [0.9, 0.6]]
    assert of(rising)["forgetting"] == pytest.approx(0.5 - 0.9), "task 2 itself does not count as earlier"
    three = [[0.0] * 3, [0.5, 0.0, 0.0], [0.8, 0.6, 0.0], [0.4, 0.6, 0.7]]
    found = of(three)
    assert found["forgetting"] == pytest.approx(((0.8 - 0.4) + 0.0) / 2)
    assert found["forgetting_first_last"] == pytest.approx(((0.5 - 0.4) + 0.0) / 2)


def test_joint_run_has_an_average_and_nothing_over_time() -> None:
    found = of([[0.1, 0.1, 0.1], [0.8, 0.9, 1.0]])
    assert found.pop("average_accuracy") == pytest.approx(0.9)
    assert set(found.values()) == {None}


def test_one_task_cannot_be_forgotten() -> None:
    found = of([[0.1], [0.9]])
    assert found["forgetting"] is None
    assert found["backward_transfer"] is None
    assert found["learning_accuracy"] == 0.9


def test_a_run_that_has_not_trained_has_no_metrics() -> None:
    assert set(of([[0.1, 0.2]]).values()) == {None}


def test_each_cites_its_definition_and_has_a_version() -> None:
    of(R)
    for metric in metrics.METRICS.values():
        assert metric.version >= 1
        assert re.search(r"arXiv:\d{4}\.\d{5}|CoLLAs", metric.compute.__doc__ or "")


accuracy = st.floats(0, 1, allow_subnormal=False)  # runs in this process flush them


@st.composite
def matrices(draw: st.DrawFn) -> list[list[float]]:
    tasks = draw(st.integers(2, 6))
    return [[draw(accuracy) for _ in range(tasks)] for _ in range(tasks + 1)]


@given(matrices())
def test_what_holds_for_every_matrix(matrix: list[list[float]]) -> None:
    found = {name: value for name, value in of(matrix).items() if value is not None}
    assert found["backward_transfer"] == pytest.approx(-found["forgetting_first_last"])
    assert found["forgetting"] >= found["forgetting_first_last"] - 1e-12
    assert found["forgetting_all_tasks"] >= 0
    assert 0 <= found["average_accuracy"] <= 1
