"""Costs as columns of leaderboards: what is shown, what ranks, and the fronts that they span."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from clbench import store
from clbench.analysis import index
from clbench.analysis.compare import Method, better, check_metrics, leaderboards
from clbench.analysis.costs import COSTS
from clbench.analysis.pareto import FRONT
from clbench.analysis.runs import Run, run_of
from clbench.analysis.statistics import Estimate
from clbench.cli import app
from clbench.errors import UserError
from clbench.render.amounts import amount
from clbench.render.leaderboards import caption, number
from tests.helpers import make_result


def stage(samples: int | None, memory: int | None = 0, state: int | None = 0) -> store.StageCost:
    return store.StageCost(
        tasks=[0], prepare_seconds=0, train_seconds=1, evaluate_seconds=0, samples_per_second=1, peak_memory_mib=1,
        steps=1, epochs=1, reached=None, samples=samples, memory_bytes=memory, state_bytes=state,
    )  # fmt: skip


def results(name: str, last: float, *cost: store.StageCost, seeds: int = 2) -> list[store.Result]:
    rows = [[0.5, 0.5], [1.0, 0.5], [last, 1.0]]
    return [make_result(name, seed, rows, cost=cost) for seed in range(seeds)]


def runs(*of: list[store.Result]) -> list[Run]:
    return [run_of(result) for group in of for result in group]


def test_a_run_sums_samples_and_keeps_the_largest_of_the_rest() -> None:
    (one,) = runs(results("er", 0.9, stage(100, 10, 5), stage(200, 30, 3), seeds=1))
    assert [one.value(column) for column in COSTS] == [300, 30, 5, 2.0]
    (older,) = runs(results("er", 0.9, stage(None, None, None), stage(200, 30, 3), seeds=1))
    assert [older.value(column) for column in COSTS[:3]] == [None] * 3
    assert run_of(make_result()).value("samples") is None


def test_less_is_better_and_names_are_known() -> None:
    assert {better(column) for column in COSTS} == {"lower"}
    assert check_metrics(COSTS) == [*COSTS]
    with pytest.raises(UserError, match="Did you mean 'samples'"):
        check_metrics(["sample"])


NAIVE, ER, JOINT, SLOW = (
    results("naive", 0.5, stage(100)),
    results("er", 0.9, stage(200, 50)),
    results("joint", 0.95, stage(400, 500)),
    results("lwf", 0.5, stage(300, 60)),
)


def on_front(of: list[Run], *fronts: list[str]) -> set[str]:
    (board,) = leaderboards(of, Method(fronts=fronts) if fronts else None)
    return {entry.label for entry in board.entries if entry.front}


def test_fronts() -> None:
    everything = runs(NAIVE, ER, JOINT, SLOW)
    assert on_front(everything) == {"naive", "er"}, "a bound is on none"
    assert on_front(everything, ["samples", "memory"]) == {"naive"}
    assert on_front(everything, ["samples"], ["average_accuracy"]) == {"naive", "er"}, "any of those asked for"
    unknown = runs(NAIVE, results("ewc", 0.99))
    assert on_front(unknown) == {"naive"}, "without a count no place on the front"
    with pytest.raises(UserError, match="Unknown metric 'speed'"):
        on_front(everything, ["speed"])


def test_the_caption_names_the_fronts() -> None:
    everything = runs(NAIVE, ER)
    assert "on the Pareto front of accuracy, samples, memory and state." in caption(leaderboards(everything))
    boards = leaderboards(everything, Method(fronts=[["average_accuracy", "samples"], ["state", "forgetting"]]))
    assert "on the Pareto front of accuracy and samples, or of state and forgetting." in caption(boards)


@pytest.mark.parametrize(
    ("value", "column", "shown"),
    [
        (0, "samples", "0"),
        (999, "samples", "999"),
        (999.7, "samples", "1.0 k"),
        (2400, "samples", "2.4 k"),
        (120_000, "samples", "120 k"),
        (7_450_000, "samples", "7.5 M"),
        (-2400, "samples", "-2.4 k"),
        (0, "memory", "0 B"),
        (88, "state", "88 B"),
        (401_408, "memory", "392 KiB"),
        (7.5 * 2**20, "memory", "7.5 MiB"),
        (3 * 2**40, "state", "3.0 TiB"),
        (5000 * 2**40, "state", "5000 TiB"),
    ],
)
def test_amounts(value: float, column: str, shown: str) -> None:
    assert amount(value, column) == shown


def test_an_interval_is_shown_only_where_seeds_differ() -> None:
    assert number(Estimate(120_000, 120_000, 120_000, 3), "samples") == "120 k"
    assert number(Estimate(120_000, 118_000, 122_000, 3), "samples") == "120 k ± 2.0 k"
    assert number(Estimate(120_000, 118_000, 122_000, 3), "samples", "bootstrap") == "120 k [118 k, 122 k]"
    assert number(Estimate(120_000, None, None, 1), "samples") == "120 k"


def test_on_the_command_line(tmp_path: Path) -> None:
    for result in [*NAIVE, *ER, *JOINT, *SLOW]:
        store.write(result, tmp_path)
    asked = ["compare", str(tmp_path), "--metric", "samples", "--metric", "memory", "--format", "csv"]
    done = CliRunner().invoke(app, [*asked, "--front", "samples, memory", "--front", "average_accuracy"])
    assert done.exit_code == 0
    lines = [line.split(",") for line in done.stdout.splitlines()[1:]]
    assert [(line[3], line[9], line[11], line[-2]) for line in lines[::2]] == [
        ("er", "samples", "200", "1"),
        ("joint", "samples", "400", "0"),
        ("naive", "samples", "100", "1"),
    ]


def test_the_index_keeps_roles_and_costs(tmp_path: Path) -> None:
    result = make_result("joint", role="bound", cost=[stage(7, 6, 5)])
    file = store.write(result, tmp_path)
    index.update(tmp_path, {file: run_of(result, file)})
    found = index.read(tmp_path, [file], "")[file]
    assert found == run_of(result, file)
    assert isinstance(found, Run)
    assert (found.role, found.samples, found.memory, found.state) == ("bound", 7, 6, 5)


def test_the_default_front_has_no_seconds() -> None:
    assert "seconds" not in FRONT
