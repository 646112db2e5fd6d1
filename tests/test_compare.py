"""Leaderboards: ranked right, never mixed, and the same in every format."""

from __future__ import annotations

import csv
import io
import json
import random
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from scipy import stats

from clbench.analysis.compare import Leaderboard, Method
from clbench.analysis.compare import leaderboards as leaderboards_of
from clbench.analysis.ranking import ranking
from clbench.analysis.runs import run_of
from clbench.analysis.statistics import estimate
from clbench.errors import UserError
from clbench.render import leaderboards as shown
from clbench.render import tables
from clbench.render.formats import as_text
from clbench.store import Result
from tests.helpers import make_result

GOLDEN = Path(__file__).parent / "golden"
OTHER = ((0.5, 0.5), (1.0, 0.5), (0.6, 0.9))  # than that of every strategy by default, with which it would be one row


def results() -> list[Result]:
    good = [make_result("ewc", seed, [[0.5, 0.5], [1.0, 0.5], [0.9 + 0.01 * seed, 1.0]]) for seed in range(3)]
    bad = [make_result("naive", seed, [[0.5, 0.5], [1.0, 0.5], [0.5, 1.0 - 0.1 * seed]]) for seed in range(3)]
    joint = [make_result("joint", 0, [[0.5, 0.5], [1.0, 0.98]])]
    broken = [make_result("si", seed, [[0.5, 0.5]], status="diverged" if seed else "ok") for seed in range(2)]
    other = [make_result("naive|<b>", 0, scenario="permuted-digits")]
    learnt_nothing = [
        make_result(
            "mas", seed, [[0.5, 0.5]] * 3, seconds=1.0, warnings=("collapsed: 50 %", "unstable: ηλA up to 3")[seed:]
        )
        for seed in range(3)
    ]
    idle = [
        make_result("redo", seed, [[0.5, 0.5], [1.0, 0.5], [0.5, 0.9]], warnings=("never fired: x",))
        for seed in range(3)
    ]
    named_anew = [one.model_copy(update={"config": one.config | {"strategy": {"name": "l2"}}}) for one in bad]
    fewer = [make_result("lwf", seed, [[0.5, 0.5], [1.0, 0.5], [0.62 + 0.1 * seed, 0.7]]) for seed in range(2)]
    return good + bad + joint + broken + other + learnt_nothing + idle + named_anew + fewer


def leaderboards(found: Iterable[Result], columns: Sequence[str] | None = None) -> list[Leaderboard]:
    fronts = [("average_accuracy", "forgetting", "seconds")]  # these Results have counted nothing
    return leaderboards_of(map(run_of, found), Method(columns or (), fronts=fronts))


def rounded(text: str) -> str:
    """Long numbers to ten digits: the last bits of an interval differ between releases of Python and SciPy."""
    return re.sub(r"\d+\.\d{10,}(e-?\d+)?", lambda match: f"{float(match[0]):.10g}", text)


@pytest.mark.parametrize("form", ["markdown", "csv", "json", "latex", "html", "terminal", "wide"])
def test_golden(form: str) -> None:
    boards = leaderboards(results())
    if form in ("terminal", "wide"):
        console = Console(width=80 if form == "terminal" else 160, file=io.StringIO(), color_system=None)
        for board in boards:
            tables.print_table(shown.leaderboard(board), console)
        console.print(shown.caption(boards), markup=False)
        text = console.file.getvalue()  # type: ignore[attr-defined]
    else:
        text = as_text(boards, ranking(boards), form)
    if form == "terminal":
        assert max(map(len, text.splitlines())) <= 80
    golden = GOLDEN / f"leaderboard.{form}"
    assert rounded(text) == rounded(golden.read_text(encoding="utf-8")), (
        f"if the change is meant, rewrite {golden.name}"
    )


def test_estimate_is_students_interval() -> None:
    values = [0.3, 0.5, 0.1, 0.9]
    found = estimate(values)
    low, high = stats.t.interval(0.95, 3, loc=sum(values) / 4, scale=stats.sem(values))
    assert found.half_width is not None
    assert (found.mean - found.half_width, found.mean + found.half_width) == pytest.approx((low, high))
    assert estimate([0.5]).half_width is None
    assert estimate([0.5, 0.5]).half_width == 0


def test_best_first_and_diverged_last_without_a_number() -> None:
    board = next(b for b in leaderboards(results()) if b.scenario == "split-digits")
    assert [entry.strategy for entry in board.entries] == ["ewc", "redo", "lwf", "mas", "si", "joint", "naive"]
    assert [entry.role for entry in board.entries] == ["method"] * 5 + ["bound", "control"]
    assert [entry.rank for entry in board.entries] == [1, 2, 3, None, None, None, None]
    diverged = board.entries[4]
    assert (diverged.state, diverged.diverged) == ("diverged", 1)
    assert set(diverged.estimates.values()) == {None}


def test_lower_is_better_where_it_is() -> None:
    board = leaderboards(results(), ["forgetting"])[1]
    assert [entry.strategy for entry in board.entries][:2] == ["ewc", "lwf"]
    assert [entry.estimates["forgetting"].mean for entry in board.entries[:3] if entry.estimates["forgetting"]] == [
        pytest.approx(0.09),
        pytest.approx(0.33),
        pytest.approx(0.5),
    ]


def test_results_that_must_not_meet_get_boards_of_their_own() -> None:
    base = make_result("ewc")
    changes = {
        "data": make_result("naive", fingerprint="e" * 64),
        "scenario version": make_result("naive", scenario_version=2),
        "evaluate": make_result("naive", settings={"evaluate": "validation"}),
        "scenario.tasks": make_result("naive", settings={"scenario": {"name": "split-digits", "tasks": 5}}),
    }
    for word, other in changes.items():
        boards = leaderboards([base, other])
        assert len(boards) == 2
        assert all(word in board.setting for board in boards), "the board says what differs"
    versions = {name: value.model_copy(update={"version": 7}) for name, value in base.metrics.items()}
    assert len(leaderboards([base, make_result("naive").model_copy(update={"metrics": versions})])) == 2


def test_settings_that_tell_entries_apart_are_shown() -> None:
    rows = [make_result("ewc", options={"lam": lam}) for lam in (1, 2)]
    rows.append(make_result("naive", accuracy=OTHER))
    assert sorted(e.label for e in leaderboards(rows)[0].entries) == ["ewc (lam=1)", "ewc (lam=2)", "naive"]
    rows = [make_result("ewc"), make_result("naive", accuracy=OTHER, settings={"model": {"name": "cnn6"}})]
    assert sorted(e.label for e in leaderboards(rows)[0].entries) == ["ewc (model.name=mlp)", "naive (model.name=cnn6)"]


def test_what_the_machine_made_of_auto_is_a_setting() -> None:
    """Runs of one config in two number formats are two rows; one that asked for the format is in the row of its own."""

    def ran(seed: int, asked: str, chosen: str) -> Result:
        made = make_result("ewc", seed, settings={"precision": asked})
        return made.model_copy(update={"environment": {"precision": chosen}})

    alike = [ran(0, "auto", "fp32"), ran(1, "fp32", "fp32")]
    (entry,) = leaderboards(alike)[0].entries
    assert (entry.label, len(entry.seeds)) == ("ewc", 2)
    labels = [one.label for one in leaderboards([*alike, ran(0, "auto", "bf16")])[0].entries]
    assert sorted(labels) == ["ewc (precision=bf16)", "ewc (precision=fp32)"]


def test_unknown_metric() -> None:
    with pytest.raises(UserError, match="Did you mean 'forgetting'"):
        leaderboards([], ["forgeting"])


@settings(deadline=None)  # on a busy machine the first call takes a while
@given(st.randoms())
def test_order_of_results_does_not_matter(shuffler: random.Random) -> None:
    mixed = results()
    shuffler.shuffle(mixed)
    assert leaderboards(mixed) == leaderboards(results())


def test_a_worse_strategy_does_not_change_the_best() -> None:
    before = leaderboards(results())[1].entries[0]
    worst = [make_result("worst", seed, [[0.5, 0.5], [0.1, 0.1], [0.0, 0.01 * seed]]) for seed in range(3)]
    after = leaderboards(results() + worst)[1].entries[0]
    assert (after.label, after.rank, after.may_be_best, after.estimates) == ("ewc", 1, True, before.estimates)
    assert after.against is not None
    assert before.against is not None
    assert after.against.difference == before.against.difference


def test_csv_and_json_carry_unrounded_numbers() -> None:
    boards = leaderboards(results())
    rows = list(csv.DictReader(io.StringIO(as_text(boards, None, "csv"))))
    mine = next(r for r in rows if r["strategy"] == "ewc" and r["metric"] == "average_accuracy")
    assert float(mine["mean"]) == pytest.approx(0.955)
    found = json.loads(as_text(boards, None, "json"))["leaderboards"]
    assert found[1]["entries"][0]["estimates"]["average_accuracy"]["mean"] == float(mine["mean"])


def test_names_are_shown_as_text() -> None:
    text = as_text(leaderboards(results()), None, "markdown")
    assert r"naive\|&lt;b>" in text
    console = Console(width=100, file=io.StringIO())
    hostile = leaderboards([make_result("[red]x[/red]")])[0]
    tables.print_table(shown.leaderboard(hostile), console)
    assert "[red]x[/red]" in console.file.getvalue()  # type: ignore[attr-defined]
