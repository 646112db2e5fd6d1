"""A network that learnt nothing is told apart from one that has forgotten, and never wins."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from clbench import store
from clbench.analysis import load
from clbench.analysis.compare import Leaderboard, leaderboards
from clbench.analysis.ranking import ranking
from clbench.analysis.runs import run_of
from clbench.checkpoints.checkpoint import Checkpoints, StoppedError
from clbench.cli import app
from clbench.data.sources import DataPlace
from clbench.engine.learnt import Column, chance, collapsed, single_class
from clbench.engine.run import Machine, run
from clbench.render import leaderboards as shown
from clbench.render.report import build
from clbench.store import LocalFolder
from clbench.store.warnings import KINDS, kind_of, kinds_of, spoilt
from clbench.strategy import Strategy
from tests.helpers import config, make_result, run_small

MACHINE = Machine(DataPlace.default(), "cpu", threads=1)
HUGE = {"optimizer": {"lr": 1000.0}}


def split(tasks: int, heads: bool = False, images: int = 36, per_task: int = 2) -> list[Column]:
    """Tasks of a few classes each: with heads labels begin again, without they go on."""
    return [
        Column(
            task if heads else 0,
            {label + (0 if heads else per_task * task): images for label in range(per_task)},
            task == tasks - 1,
            per_task * (1 if heads else tasks),
        )
        for task in range(tasks)
    ]


def same_classes(tasks: int, shares: Sequence[int] = (36,) * 10) -> list[Column]:
    """Tasks that have all classes, as permuted digits."""
    return [Column(0, dict(enumerate(shares)), task == tasks - 1, len(shares)) for task in range(tasks)]


def kinds(result: store.Result) -> list[str]:
    return kinds_of(result.warnings)


# What a constant answer reaches.


def best_constant(tasks: Sequence[Column], outputs: int) -> float:
    """By trying every answer of every head."""
    total = 0.0
    for head in {task.head for task in tasks}:
        mine = [task for task in tasks if task.head == head]
        total += max(sum(t.labels.get(c, 0) / t.images for t in mine) for c in range(outputs))
    return total / len(tasks)


def test_chance_is_the_best_constant_answer() -> None:
    assert chance(split(5)) == pytest.approx(0.1)
    assert chance(split(5, heads=True)) == 0.5
    assert chance(same_classes(3, [10, 20, 10])) == 0.5
    rng = np.random.default_rng(0)
    for _ in range(50):
        tasks = [
            Column(int(rng.integers(3)), {int(c): int(rng.integers(1, 40)) for c in rng.permutation(6)[:3]}, False, 6)
            for _ in range(4)
        ]
        assert chance(tasks) == pytest.approx(best_constant(tasks, 6))


def test_one_label_alone_says_nothing_so_chance_is_one_of_the_outputs() -> None:
    assert chance([Column(0, {3: 50}, True, 10)]) == 0.1
    heads = [Column(0, {1: 50}, False, 4), Column(1, {0: 20}, True, 1)]
    assert chance(heads) == 0.625, "a head of one output is always right"


# Collapsed, or only forgotten.


def guesses(tasks: Sequence[Column], outputs: int, rng: Any) -> list[float]:
    """R's last row of a network whose answers have nothing to do with labels."""
    return [float((rng.integers(0, outputs, task.images) == 0).mean()) for task in tasks]


@pytest.mark.parametrize(
    ("tasks", "outputs"),
    [(split(5), 10), (split(5, heads=True), 2), (same_classes(10), 10)],
    ids=["classes", "heads", "permuted"],
)
def test_guessing_is_found_and_a_few_points_of_knowledge_are_not_called_guessing(
    tasks: list[Column], outputs: int
) -> None:
    rng = np.random.default_rng(0)
    found = [collapsed(guesses(tasks, outputs, rng), tasks) is not None for _ in range(1000)]
    assert np.mean(found) > 0.96
    knows = [0.9 if task.last else 1 / outputs for task in tasks]
    for _ in range(100):
        row = [float(rng.binomial(t.images, p) / t.images) for t, p in zip(tasks, knows, strict=True)]
        assert collapsed(row, tasks) is None


HONEST = {
    "class-incremental, all but the last task forgotten": (split(5), [0, 0, 0, 0, 0.99]),
    "heads, old tasks fallen to chance and below": (split(5, heads=True), [0.5, 0.45, 0.5, 0.4, 0.98]),
    "domain-incremental, old labels turned round": (same_classes(2, [50, 50]), [0.02, 0.97]),
    "first task kept, none learnt since": (split(5), [0.99, 0, 0, 0, 0]),
    "hundred permutations, the last one known": (same_classes(100), [0.1] * 99 + [0.6]),
    "one class per task, all but the last forgotten": (split(10, per_task=1), [0.0] * 9 + [1.0]),
    "slow learner": (same_classes(10), [0.2] * 10),
}


@pytest.mark.parametrize("name", HONEST)
def test_forgetting_and_rigidity_are_no_collapse(name: str) -> None:
    tasks, row = HONEST[name]
    assert collapsed(row, tasks) is None


COLLAPSED = {
    "one answer, class-incremental": (split(5), [0, 0, 0.5, 0, 0]),
    "one answer that the last task has": (split(5), [0, 0, 0, 0, 0.5]),
    "each head one answer": (split(5, heads=True), [0.5] * 5),
    "unequal classes, always the largest": (same_classes(3, [60, 20, 20]), [0.6] * 3),
    "worse than chance": (same_classes(3), [0.01] * 3),
    "one class per task, the wrong one": (split(10, per_task=1), [0, 1.0, *[0.0] * 8]),
}


@pytest.mark.parametrize("name", COLLAPSED)
def test_collapses(name: str) -> None:
    tasks, row = COLLAPSED[name]
    warning = collapsed(row, tasks)
    assert warning is not None
    assert kind_of(warning) == "collapsed"


def test_stages_that_train_on_everything_are_judged_by_everything() -> None:
    joint = [replace(task, last=True) for task in split(5, heads=True)]
    assert collapsed([0.5] * 5, joint) is not None
    assert collapsed([0.9, 0.5, 0.5, 0.5, 0.5], joint) is None


def test_single_class_needs_one_answer_everywhere() -> None:
    heads, single = split(3, heads=True), split(3)
    assert single_class([0, 1, 0], heads) is not None, "heads answer for themselves"
    assert single_class([0, 1, None], heads) is None
    assert single_class([4, 4, 4], single) is not None
    assert single_class([4, 4, 5], single) is None, "two answers in all"
    assert single_class([None, None, None], single) is None
    assert single_class([2, 2, 2], split(3, per_task=1)) is None, "complete forgetting looks the same"


# What the engine collects.


def test_a_learning_rate_beyond_reason_is_told_and_fine_tuning_is_not() -> None:
    assert kinds(run_small("naive", HUGE)) == ["collapsed", "single class"]
    assert run_small("naive", {"epochs": 5}).warnings == []
    alone = {"scenario": {"incremental": "class"}, "epochs": 20}
    forgotten = run_small("naive", alone)
    assert forgotten.metrics["average_accuracy"].value == pytest.approx(0.2, abs=0.03)
    assert forgotten.warnings == []


def test_a_dead_network_gives_one_answer() -> None:
    dead = {"optimizer": {"lr": 1.0}, "scenario": {"incremental": "class", "samples_per_task": None}, "epochs": 10}
    result = run_small("naive", dead)
    assert kinds(result) == ["collapsed", "single class"]
    assert "355 test samples" in result.warnings[1]


def test_memorised_labels_and_validation_images_are_judged_by_their_own_labels() -> None:
    labels = {"scenario": {"name": "random-label-digits", "tasks": 2, "images": 64, "samples_per_task": None}}
    assert kinds(run_small("naive", labels, {"optimizer": {"lr": 1e-6}, "epochs": 1})) == ["collapsed"]
    assert run_small("naive", labels, {"epochs": 100}).warnings == []
    held_out = {"scenario": {"validation": 0.2}, "evaluate": "validation", "epochs": 20}
    assert run_small("naive", held_out).warnings == []
    assert kinds(run_small("naive", held_out, HUGE))[0] == "collapsed"


class Counting(Strategy):
    """Counts its steps on the device, and says how many there were."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = torch.zeros((), dtype=torch.int64)

    def after_update(self, learner: Any, **kwargs: Any) -> None:
        self.steps += 1

    def warnings(self) -> list[str]:
        return [f"never fired: {int(self.steps)} steps are too few", "unstable: x"]


COUNTING = "tests.test_warnings.Counting"


def test_strategies_are_asked_and_a_composition_says_which_part() -> None:
    assert run_small(COUNTING).warnings == ["unstable: x", "never fired: 30 steps are too few"]
    assert run_small(f"er+{COUNTING}").warnings == [
        f"unstable: {COUNTING}: x",
        f"never fired: {COUNTING}: 30 steps are too few",
    ]
    diverged = run_small(COUNTING, {"optimizer": {"lr": 1e30}})
    assert diverged.status == "diverged"
    assert kinds(diverged) == ["unstable", "never fired"], "why it diverged may be among them"


def after(steps: int) -> Callable[[], bool]:
    """Say stop from so many steps on."""
    count = itertools.count()
    return lambda: next(count) >= steps


def test_continued_runs_say_the_same(tmp_path: Path) -> None:
    short = {"until_train_accuracy": 1.0, "max_epochs": 1, "epochs": None}
    one = config(COUNTING, HUGE, short)
    whole = run(one, MACHINE)
    assert {"collapsed", "unstable", "never fired", "threshold missed"} <= set(kinds(whole))
    for steps in (2, 7):
        with pytest.raises(StoppedError):
            run(one, MACHINE, None, Checkpoints(LocalFolder(tmp_path), 1e6, stopping=after(steps), resume=True))
    found = run(one, MACHINE, None, Checkpoints(LocalFolder(tmp_path), 1e6, resume=True))
    assert found.environment["continued"] == 2
    assert found.warnings == whole.warnings


# What becomes of them.


def board_of(*groups: list[store.Result], columns: Sequence[str] = ()) -> Leaderboard:
    from clbench.analysis.compare import Method

    fronts = [("average_accuracy", "forgetting", "seconds")]
    (board,) = leaderboards([run_of(one) for group in groups for one in group], Method(columns, fronts=fronts))
    return board


def rows(strategy: str, final: float, *warnings: str, seeds: int = 3, **more: Any) -> list[store.Result]:
    """Seeds of a strategy; the first one has warnings."""
    R = [[0.5, 0.5], [final, 0.5], [final, final]]
    return [make_result(strategy, seed, R, warnings=warnings if seed == 0 else (), **more) for seed in range(seeds)]


@pytest.mark.parametrize("kind", KINDS)
def test_spoilt_rows_never_win_and_others_may(kind: str) -> None:
    flagged = rows("flagged", 0.99, f"{kind}: x", seconds=1.0)
    board = board_of(flagged, rows("honest", 0.9))
    by_name = {entry.strategy: entry for entry in board.entries}
    assert by_name["flagged"].warnings == {kind: [0]}, "one seed suffices"
    assert by_name["flagged"].front != spoilt([kind])
    assert by_name["honest"].front == spoilt([kind]), "a spoilt row dominates nobody"
    assert (by_name["flagged"].rank is None) == spoilt([kind])
    assert board.entries[0].strategy == ("honest" if spoilt([kind]) else "flagged")
    table = shown.leaderboard(board)
    assert (0, 1) in table.strong
    (row,) = [row for row in table.rows if row[1] == "flagged"]
    assert row[3].startswith("†99.0")
    assert f"{kind} (" in table.note
    assert "flagged 1/3" in table.note


def test_a_row_that_is_spoilt_does_not_win_by_forgetting_nothing() -> None:
    nothing = rows("nothing", 0.5, "collapsed: x")
    some = [make_result("some", seed, [[0.5, 0.5], [1.0, 0.5], [0.7, 1.0]]) for seed in range(3)]
    board = board_of(nothing, some, columns=["forgetting"])
    assert [(entry.strategy, entry.rank) for entry in board.entries] == [("some", 1), ("nothing", None)]
    assert board.entries[1].estimates["forgetting"] is not None, "its numbers are shown"


def test_spoilt_rows_come_last_in_mean_ranks() -> None:
    boards = [
        board_of(
            rows("flagged", 0.99, "unstable: x", scenario=name), rows("honest", 0.9, scenario=name),
            rows("other", 0.8, scenario=name),
        )
        for name in ("split-digits", "permuted-digits")
    ]  # fmt: skip
    found = ranking(boards)
    assert found is not None
    assert found.ranks == {"honest": 1.0, "other": 2.0, "flagged": 3.0}


def test_a_spoilt_reference_is_none() -> None:
    R = [[0.1], [0.8], [0.9]]
    cold = make_result("cold", 0, R, warnings=["collapsed: x"])
    warm = make_result("warm", 0, R)
    board = board_of([cold], [warm], columns=["final_test_accuracy", "generalisation_gap"])
    assert {entry.estimates["generalisation_gap"] for entry in board.entries} == {None}


def test_every_form_shows_them(tmp_path: Path) -> None:
    for one in rows("flagged", 0.5, "collapsed: it is [b]at chance[/b]"):
        store.write(one, tmp_path)
    for one in rows("honest", 0.9):
        store.write(one, tmp_path)
    for form in ("terminal", "markdown", "latex", "html", "csv", "json"):
        done = CliRunner().invoke(app, ["compare", str(tmp_path), "--format", form])
        assert done.exit_code == 0, done.output
        assert "collapsed" in done.stdout, form
        if form not in ("csv", "json"):
            assert "flagged 1/3" in " ".join(done.stdout.split()), form
            assert ("†" in done.stdout) == (form != "latex")
    listed = CliRunner().invoke(app, ["results", "list", "--results", str(tmp_path)])
    assert "ok, collapsed" in listed.stdout
    as_json = json.loads(CliRunner().invoke(app, ["results", "list", "--results", str(tmp_path), "--json"]).stdout)
    (one,) = [row for row in as_json if row["warnings"]]
    assert one["warnings"] == ["collapsed: it is [b]at chance[/b]"]
    single = CliRunner().invoke(app, ["results", "show", one["run"], "--results", str(tmp_path)])
    assert "it is [b]at chance[/b]" in single.stdout
    exported = CliRunner().invoke(app, ["results", "export", str(tmp_path / "x.csv"), "--results", str(tmp_path)])
    assert exported.exit_code == 0
    assert "collapsed: it is [b]at chance[/b]" in (tmp_path / "x.csv").read_text(encoding="utf-8")
    diagnosed = CliRunner().invoke(app, ["diagnose", str(tmp_path)])
    assert "seeds: collapsed" in diagnosed.stdout


def test_report_shows_them_as_text(tmp_path: Path) -> None:
    for one in [*rows("flagged", 0.5, "collapsed: <b>x</b>"), *rows("honest", 0.9)]:
        store.write(one, tmp_path)
    runs, _ = load.load([tmp_path])
    boards = leaderboards(runs)
    page = build(boards, None, runs, [], lambda doing: None)
    assert 'class="collapsed">' in page
    assert "<dt>Warning</dt><dd>collapsed: &lt;b&gt;x&lt;/b&gt;</dd>" in page
    assert re.search(r"† <button[^>]*>flagged", page), "the picture marks the row too"
    assert "rank None" not in page, "a row without a rank has none in pictures"


def test_the_index_remembers_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "INDEXED", 2)
    for one in rows("flagged", 0.5, "collapsed: x", "odd kind"):
        store.write(one, tmp_path)
    first, _ = load.load([tmp_path])
    assert (tmp_path / ".index.sqlite").exists()
    monkeypatch.setattr(store, "read", None)
    again, _ = load.load([tmp_path])
    assert again == first
    assert {run.seed: run.warnings for run in again}[0] == ("collapsed: x", "odd kind")


def test_unknown_kinds_are_shown_and_spoil_nothing() -> None:
    board = board_of(rows("plugged", 0.9, "odd: x"))
    assert board.entries[0].rank == 1
    assert "odd: plugged 1/3" in shown.warned(board)


# The whole way.


class TestThroughTheCommandLine:
    WORDS: ClassVar = ["--scenario", "split-digits", "--set", "model.widths=[12]", "--set", "epochs=5"]

    def test_a_learning_rate_of_a_thousand_wins_nothing(self, tmp_path: Path) -> None:
        for words in (["--set", "optimizer.lr=1000"], []):
            done = CliRunner().invoke(
                app, ["run", "--strategy", "naive", *self.WORDS, *words, "--results", str(tmp_path)]
            )
            assert done.exit_code == 0, done.output
            told = re.search(r"Seed 0, collapsed: final accuracy \d+\.\d %.*Lower optimizer\.lr", done.output)
            assert bool(told) == bool(words), done.output
            if words:
                assert "◆" not in done.output
        done = CliRunner().invoke(app, ["compare", str(tmp_path)], env={"COLUMNS": "160"})
        assert done.exit_code == 0
        (spoilt_row,) = [line for line in done.stdout.splitlines() if "lr=1000.0" in line and "†" in line][:1]
        assert "◆" not in spoilt_row
        assert re.search(r"◆ +naive \(optimizer\.lr=0\.05\)", done.stdout)

    def test_a_penalty_far_beyond_stability_wins_nothing(self, tmp_path: Path) -> None:
        """Each step throws weights further past the anchor; so few steps end before anything is infinite, at 11 %."""
        words = ["run", "--strategy", "ewc", "--scenario", "permuted-digits", "--set", "model.widths=[12]"]
        for setting in ("scenario.tasks=3", "strategy.lam=1000", "steps=40"):
            words += ["--set", setting]
        done = CliRunner().invoke(app, [*words, "--results", str(tmp_path)])
        assert "◆" not in done.output
        assert "Seed 0, collapsed" in done.output or "Seed 0, unstable" in done.output or "diverged" in done.output

    def test_quiet_and_json_stay_quiet(self, tmp_path: Path) -> None:
        words = ["run", "--strategy", "naive", *self.WORDS, "--set", "optimizer.lr=1000", "--results", str(tmp_path)]
        assert CliRunner().invoke(app, [*words, "--quiet"]).output == ""
        (told,) = json.loads(CliRunner().invoke(app, [*words, "--json", "--resume"]).stdout)
        assert kinds_of(told["warnings"])[0] == "collapsed"
        again = CliRunner().invoke(app, [*words, "--resume"])
        assert "Seed 0, collapsed" in again.output, "also when nothing is left to run"


def test_every_kind_says_what_it_means_and_what_to_do() -> None:
    known = {"collapsed", "single class", "unstable", "overshoot", "never fired", "threshold missed", "not converged"}
    assert set(KINDS) == known
    assert all(kind.meaning and kind.advice for kind in KINDS.values())
