"""Metrics against matrices worked by hand, and what must hold for all of them."""

from __future__ import annotations

import re

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
    "learning_accuracy": (0.9 + 0.8 + 1.0) / 3,
    "forgetting": ((0.9 - 0.7) + (0.8 - 0.5)) / 2,
    "forgetting_first_last": ((0.9 - 0.7) + (0.8 - 0.5)) / 2,
    "forgetting_all_tasks": ((0.9 - 0.7) + (0.8 - 0.5) + 0.0) / 3,
    "backward_transfer": ((0.7 - 0.9) + (0.5 - 0.8)) / 2,
    "forward_transfer": ((0.3 - 0.2) + (0.4 - 0.3)) / 2,
}


def test_every_metric_is_worked_by_hand() -> None:
    assert metrics.compute(R) == pytest.approx(BY_HAND)


def test_forgetting_counts_from_the_best_accuracy_not_the_first() -> None:
    rising = [[0.0, 0.0], [0.5, 0.0], [0.9, 0.6]]
    assert metrics.compute(rising)["forgetting"] == pytest.approx(0.5 - 0.9), "task 2 itself does not count as earlier"
    three = [[0.0] * 3, [0.5, 0.0, 0.0], [0.8, 0.6, 0.0], [0.4, 0.6, 0.7]]
    found = metrics.compute(three)
    assert found["forgetting"] == pytest.approx(((0.8 - 0.4) + 0.0) / 2)
    assert found["forgetting_first_last"] == pytest.approx(((0.5 - 0.4) + 0.0) / 2)


def test_joint_run_has_an_average_and_nothing_over_time() -> None:
    found = metrics.compute([[0.1, 0.1, 0.1], [0.8, 0.9, 1.0]])
    assert found.pop("average_accuracy") == pytest.approx(0.9)
    assert set(found.values()) == {None}


def test_one_task_cannot_be_forgotten() -> None:
    found = metrics.compute([[0.1], [0.9]])
    assert found["forgetting"] is None
    assert found["backward_transfer"] is None
    assert found["learning_accuracy"] == 0.9


def test_a_run_that_has_not_trained_has_no_metrics() -> None:
    assert set(metrics.compute([[0.1, 0.2]]).values()) == {None}


def test_each_cites_its_definition_and_has_a_version() -> None:
    metrics.compute(R)
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
    found = {name: value for name, value in metrics.compute(matrix).items() if value is not None}
    assert found["backward_transfer"] == pytest.approx(-found["forgetting_first_last"])
    assert found["forgetting"] >= found["forgetting_first_last"] - 1e-12
    assert found["forgetting_all_tasks"] >= 0
    assert 0 <= found["average_accuracy"] <= 1
