"""Confusion matrices and what is made of them; streams in time; which columns tables show."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, f1_score
from typer.testing import CliRunner

from clbench import metrics, store
from clbench.analysis.ages import age_curves, ages
from clbench.analysis.columns import resolve as column_of
from clbench.analysis.compare import DEFAULT_METRICS, leaderboards
from clbench.analysis.findings import findings
from clbench.analysis.pairs import pairs
from clbench.analysis.runs import Run, run_of
from clbench.analysis.standing import standings
from clbench.cli import app
from clbench.data.dataset import Dataset
from clbench.data.streams import Stream, Task
from clbench.engine import counts, learnt
from clbench.engine.counts import Counts
from clbench.engine.learnt import Column, imbalance
from clbench.engine.stream import stream_of
from clbench.errors import UserError
from clbench.metrics.periods import Age, age_curve
from clbench.metrics.unequal import mean_f1, mean_recall
from clbench.render.plots import Scene, figure
from clbench.render.plots.style import WIDTHS, styled
from tests.helpers import config, known, make_result, make_stream, run_small
from tests.test_checkpoint import check

Pairs = list[tuple[int, int]]
SHIFTED: dict[str, Any] = {"scenario": {"name": "rotated-digits", "tasks": 4, "samples_per_task": 64}, "epochs": 1}


def cells(pairs: Pairs) -> metrics.Confusion:
    return [(label, answer, count) for (label, answer), count in sorted(Counter(pairs).items())]


# The measures, against scikit-learn.


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true", "ignore:A single label was found")
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6)), min_size=1, max_size=60))
def test_measures_are_those_of_scikit_learn(pairs: Pairs) -> None:
    labels, answers = zip(*pairs, strict=True)
    assert mean_recall(cells(pairs)) == pytest.approx(balanced_accuracy_score(labels, answers))
    assert mean_f1(cells(pairs)) == pytest.approx(f1_score(labels, answers, average="macro"))


def test_a_missing_matrix_makes_the_mean_unknown() -> None:
    course = metrics.Course([[0.0] * 3, [0.5] * 3, [0.5] * 3, [0.5] * 3], ahead=[cells([(0, 0)]), None], periods=True)
    found = metrics.compute(course)
    assert found["next_period_accuracy"] == 0.5
    assert found["next_period_balanced_accuracy"] is None
    assert found["balanced_accuracy"] is None
    assert metrics.compute(replace(course, confusion=[[]]))["balanced_accuracy"] is None, "no sample of a known class"


# Counting.


@given(st.lists(st.tuples(st.sampled_from([-1, 0, 2, 5]), st.integers(0, 5)), max_size=50), st.integers(1, 9))
def test_counts_are_those_of_a_plain_loop(pairs: Pairs, batch: int) -> None:
    counted = Counts([0, 2, 5], 6, torch.device("cpu"))
    for begin in range(0, len(pairs), batch):
        part = torch.tensor(pairs[begin : begin + batch])
        counted.add(part[:, 0], part[:, 1])
    assert counted.cells(counted.values) == cells([pair for pair in pairs if pair[0] >= 0])


def test_too_many_cells_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run_small("naive")
    monkeypatch.setattr(counts, "MOST_CELLS", 3)
    result = run_small("naive")
    assert result.accuracy == whole.accuracy
    assert (result.confusion, result.metrics["macro_f1"].value) == (None, None)
    assert whole.confusion is not None


def test_a_result_holds_few_cells_and_its_metrics_know_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "CONFUSION_CELLS", 3)
    result = run_small("naive")
    assert result.confusion is None
    assert result.metrics["balanced_accuracy"].value is not None


@pytest.mark.parametrize("incremental", ["task", "class", "domain"])
def test_the_last_row_is_that_of_the_matrices(incremental: str, tmp_path: Path) -> None:
    result = store.read(store.write(run_small("naive", {"scenario": {"incremental": incremental}}), tmp_path))
    assert result.confusion is not None
    right = [sum(n for label, answer, n in task if label == answer) for task in result.confusion]
    assert [sum(n for *_, n in task) for task in result.confusion] == result.data.test_samples
    assert known(result.accuracy[-1]) == [n / of for n, of in zip(right, result.data.test_samples, strict=True)]
    assert {label for task in result.confusion for label, *_ in task} == {
        label for classes in _labels(incremental) for label in classes
    }


def _labels(incremental: str) -> list[list[int]]:
    return [[2 * task, 2 * task + 1] if incremental == "class" else [0, 1] for task in range(5)]


def test_samples_of_an_unknown_class_are_wrong_and_in_no_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Test samples whose class no task's training data know."""
    whole = run_small("naive")
    scored = Task.scored

    def with_strangers(self: Task, part: str) -> tuple[str, np.ndarray[Any, Any]]:
        which, index = scored(self, part)
        return which, np.concatenate([index, np.arange(20)])  # digits of any class

    monkeypatch.setattr(Task, "scored", with_strangers)
    result = run_small("naive")
    assert result.confusion is not None
    assert whole.confusion is not None
    counted = [sum(n for *_, n in task) for task in result.confusion]
    before = [sum(n for *_, n in task) for task in whole.confusion]
    assert all(n < of for n, of in zip(counted, result.data.test_samples, strict=True))
    assert sum(counted) == sum(before) + 20, "each digit is known in one of the five tasks"


def test_how_unequal_classes_are() -> None:
    assert imbalance([Column(0, {0: 5, 1: 5}, True, 3), Column(0, {0: 30, 1: 5, 2: 5, -1: 40}, True, 3)]) == 0.75 * 3
    assert imbalance([Column(0, {4: 7}, True, 5)]) == 1.0
    assert learnt.chance([Column(0, {0: 2, -1: 8}, True, 2), Column(0, {1: 1, -1: 9}, False, 2)]) == pytest.approx(0.1)


# Streams in time.


@pytest.fixture
def in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scenarios' tasks are periods."""
    made = stream_of

    def periods(*arguments: Any) -> tuple[Dataset, Stream]:
        data, stream = made(*arguments)
        return data, replace(stream, periods=True)

    monkeypatch.setattr("clbench.engine.assemble.stream_of", periods)


def test_periods_are_part_of_a_streams_digest_and_nothing_else_is(digits: Dataset) -> None:
    stream = make_stream("permuted", digits, tasks=2, incremental="domain")
    assert replace(stream, periods=True).digest != stream.digest
    assert replace(stream, periods=False).digest == stream.digest


def test_next_period_and_age_by_hand() -> None:
    R = [[0.0] * 3, [0.9, 0.6, 0.3], [0.8, 0.7, 0.5], [0.6, 0.6, 0.9]]
    found = age_curve(metrics.Course(R, periods=True))
    assert [(age.periods, age.stages) for age in found] == [(-2, 1), (-1, 2), (0, 3), (1, 2), (2, 1)]
    by_hand = [0.6, (0.8 + 0.6) / 2, (0.9 + 0.7 + 0.9) / 3, (0.6 + 0.5) / 2, 0.3]
    assert [age.accuracy for age in found] == pytest.approx(by_hand)
    assert age_curve(metrics.Course(R)) == []
    assert age_curve(metrics.Course([R[0], R[1]], periods=True)) == [], "one stage for all periods"
    holes: list[list[float | None]] = [[None, None], [0.5, None], [None, 0.7]]
    assert age_curve(metrics.Course(holes, periods=True)) == [Age(0, 0.6, 2)]
    assert metrics.compute(metrics.Course(holes, periods=True))["next_period_accuracy"] is None
    assert metrics.compute(metrics.Course([[0.1], [0.9]], periods=True))["next_period_accuracy"] is None


@pytest.mark.usefixtures("in_time")
@pytest.mark.parametrize("layer", [{}, {"evaluate_all_every": 3}, {"evaluate_steps": 2}])
def test_a_run_in_time_knows_its_next_period(layer: dict[str, Any]) -> None:
    result = run_small("naive", SHIFTED, layer)
    following = [result.accuracy[stage][stage] for stage in (1, 2, 3)]
    assert result.metrics["next_period_accuracy"].value == pytest.approx(sum(map(float, known(following))) / 3)
    balanced = result.metrics["next_period_balanced_accuracy"].value
    assert balanced == pytest.approx(result.metrics["next_period_accuracy"].value, abs=0.05), "digits are nearly equal"
    assert [age.periods for age in ages(result) if age.stages == 4] == [0]


def test_other_runs_have_no_next_period() -> None:
    result = run_small("naive", SHIFTED)
    assert result.metrics["next_period_accuracy"].value is None
    assert result.metrics["next_period_balanced_accuracy"].value is None
    assert ages(result) == []


@pytest.mark.usefixtures("in_time")
def test_a_stopped_run_in_time_goes_on_with_the_same_matrices(tmp_path: Path) -> None:
    check(config("naive", SHIFTED, {"scenario": {"tasks": 5}, "epochs": 2, "batch_size": 8}), tmp_path)


@pytest.mark.usefixtures("in_time")
def test_age_is_shown_and_drawn(tmp_path: Path) -> None:
    paths = [store.write(run_small(name, SHIFTED), tmp_path) for name in ("naive", "er")]
    shown = CliRunner().invoke(app, ["results", "show", str(paths[0])])
    assert shown.exit_code == 0
    lines = [line.split() for line in shown.stdout.partition("age of the model")[2].splitlines()]
    assert ["0", "4"] in [[line[0], line[-1]] for line in lines if len(line) == 3]
    assert ["−3", "1"] in [[line[0], line[-1]] for line in lines if len(line) == 3]
    runs = [run_of(store.read(path), path) for path in paths]
    (board,) = leaderboards(runs)
    assert board.metrics[:2] == ["next_period_accuracy", "next_period_drop"]
    assert [one.label for one in age_curves(board, runs)] == [entry.label for entry in board.entries]
    for width in WIDTHS:
        with styled():
            made = figure("ages", board, Scene([board], None, runs, width=width))
        assert len([line for line in made.axes[0].lines if line.get_marker() == "."]) == 2
    assert next(iter(standings(runs).values()))[0].mean == max(run.metrics["next_period_accuracy"] or 0 for run in runs)


def test_no_picture_of_age_without_time(tmp_path: Path) -> None:
    path = store.write(make_result(), tmp_path)
    runs = [run_of(store.read(path), path)]
    (board,) = leaderboards(runs)
    with pytest.raises(UserError, match=r"no periods in time\. Take --picture curves"):
        figure("ages", board, Scene([board], None, runs))


# Columns.


def with_metrics(imbalance: float | None, **values: float) -> Run:
    run = run_of(make_result())
    return replace(run, imbalance=imbalance, metrics={**run.metrics, **values})


@pytest.mark.parametrize("imbalance", [None, 1.0, 1.5])
def test_tables_of_equal_classes_are_as_they_were(imbalance: float | None) -> None:
    (board,) = leaderboards([with_metrics(imbalance, balanced_accuracy=0.5)])
    assert board.metrics == [*DEFAULT_METRICS]


def test_balanced_columns_stand_beside_where_classes_are_unequal() -> None:
    (board,) = leaderboards([with_metrics(1.6, balanced_accuracy=0.5)])
    assert board.metrics[:3] == ["average_accuracy", "balanced_accuracy", "forgetting"]
    in_time: dict[str, float] = {"next_period_accuracy": 0.5, "next_period_balanced_accuracy": 0.4}
    (board,) = leaderboards([with_metrics(1.6, balanced_accuracy=0.5, **in_time)])
    assert board.metrics[:2] == ["next_period_accuracy", "next_period_balanced_accuracy"]
    assert board.metrics[3:5] == ["average_accuracy", "balanced_accuracy"]
    (board,) = leaderboards([with_metrics(1.6)])
    assert "balanced_accuracy" not in board.metrics, "too many cells: there is no such number"


def test_headings_are_names_too() -> None:
    assert [column_of(name) for name in ("next period", "balanced", "next balanced")] == [
        "next_period_accuracy",
        "balanced_accuracy",
        "next_period_balanced_accuracy",
    ]


def test_a_metric_that_an_old_baseline_lacks_does_not_fail() -> None:
    old = make_result()
    older = run_of(old.model_copy(update={"metrics": {"average_accuracy": old.metrics["average_accuracy"]}}))
    (pair,) = pairs([older], [with_metrics(2.0, balanced_accuracy=0.5)])
    (found,) = findings(pair, ["average_accuracy", "balanced_accuracy"])
    assert found == (None, "balanced_accuracy is new: the baseline does not define it")
