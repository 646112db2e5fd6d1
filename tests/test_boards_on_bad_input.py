"""``clbench compare`` on what people may have: too little, nothing to compare with, odd names, thousands of rows."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner
from typer.testing import Result as Done

from clbench import store
from clbench.analysis.compare import Method, leaderboards
from clbench.analysis.runs import run_of
from clbench.cli import app
from clbench.errors import UserError
from clbench.render import leaderboards as shown
from clbench.render.formats import as_text
from tests.helpers import make_result

FORMS = ["terminal", "markdown", "csv", "json", "latex", "html"]


def put(folder: Path, strategy: str, final: Sequence[float], first: int = 0, **more: Any) -> None:
    """Write a Result for each accuracy, one a seed."""
    for seed, value in enumerate(final, start=first):
        store.write(make_result(strategy, seed, [[0.5, 0.5], [1.0, 0.5], [value, value]], **more), folder)


def compare(folder: Path, *words: object) -> Done:
    return CliRunner().invoke(app, ["compare", str(folder), *map(str, words)])


def answered(folder: Path, *words: object) -> str:
    """What is said in every format; the terminal's text. There is never a NaN, an infinity or a None."""
    text = ""
    for form in FORMS:
        done = compare(folder, "--format", form, *words)
        assert done.exit_code == 0, done.output
        for wrong in ("nan", "inf ", "none ", "± -"):
            assert wrong not in done.stdout.lower(), form
        text = text or " ".join(done.stdout.split())
    return text


def entries(folder: Path, *words: object) -> dict[str, Any]:
    (board,) = json.loads(compare(folder, "--format", "json", *words).stdout)["leaderboards"]
    return {entry["label"]: entry for entry in board["entries"]}


def test_no_row_to_compare_with(tmp_path: Path) -> None:
    put(tmp_path, "ewc", [0.7, 0.71, 0.72])
    put(tmp_path, "si", [0.8, 0.83, 0.81])
    text = answered(tmp_path)
    assert "there is no run of fine-tuning (naive) here; choose another with --against." in text
    assert "Δ" not in text


def test_a_reference_with_other_seeds(tmp_path: Path) -> None:
    put(tmp_path, "naive", [0.5, 0.52, 0.51], first=10)
    put(tmp_path, "ewc", [0.7, 0.71, 0.72])
    text = answered(tmp_path)
    assert "ewc beats fine-tuning (naive) by" in text
    assert "rows that share fewer than two are compared as groups" in text
    assert entries(tmp_path)["ewc"]["against"]["paired"] is False


def test_one_row(tmp_path: Path) -> None:
    put(tmp_path, "ewc", [0.7, 0.71, 0.72])
    text = answered(tmp_path)
    assert "3 seeds. #" in text, "nothing is said where there is nothing to say"
    assert entries(tmp_path)["ewc"]["may_be_best"] is None, "who has no rival is not the best of anything"


def test_all_rows_collapsed(tmp_path: Path) -> None:
    put(tmp_path, "naive", [0.5, 0.51], warnings=("collapsed: x",))
    put(tmp_path, "ewc", [0.5, 0.5], warnings=("collapsed: x",))
    assert "no number here means anything" in answered(tmp_path)
    assert {entry["rank"] for entry in entries(tmp_path).values()} == {None}


def test_rows_without_any_spread(tmp_path: Path) -> None:
    put(tmp_path, "naive", [0.5] * 3)
    put(tmp_path, "ewc", [0.7] * 3)
    put(tmp_path, "si", [0.4] * 3)
    text = answered(tmp_path)
    assert "The seeds do not tell which of 2 methods is the better" in text
    assert {name: one["against"]["p"] for name, one in entries(tmp_path).items() if one["against"]} == {
        "ewc": 0.5,
        "si": 0.5,
    }, "2^(1−3), twice"


def test_two_seeds(tmp_path: Path) -> None:
    put(tmp_path, "naive", [0.5, 0.52])
    put(tmp_path, "ewc", [0.7, 0.75])
    assert "2 seeds. ewc beats fine-tuning (naive) by 2.4 points or more." in answered(tmp_path)
    found = entries(tmp_path)["ewc"]["against"]
    assert found["p"] == pytest.approx(0.0443, abs=1e-4), "t = 14.33 on one degree of freedom"
    assert found["low"] > 0


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["[red]x[/red]", "<b>x</b>", "a|b", "$x$", "_x_ y", "# & % ~ ^ { }", "=1+1", "[/]"])
def test_a_name_that_looks_like_markup_is_shown_as_it_is(name: str, form: str, tmp_path: Path) -> None:
    put(tmp_path, name, [0.7, 0.73, 0.72])
    put(tmp_path, "naive", [0.5, 0.53, 0.51])
    put(tmp_path, "si", [0.5, 0.5, 0.51])
    done = compare(tmp_path, "--format", form, "--against", name)
    assert done.exit_code == 0, done.output
    if form == "terminal":
        assert name in done.stdout
    elif form == "csv":
        assert name in {row["strategy"] for row in csv.DictReader(io.StringIO(done.stdout))}
    elif form == "json":
        assert name in {entry["label"] for entry in json.loads(done.stdout)["leaderboards"][0]["entries"]}
    elif form == "html":
        assert name in texts(done.stdout)
        assert "<b>" not in done.stdout
    elif form == "markdown":
        rows = [line for line in done.stdout.splitlines() if line.startswith("|")]
        assert {line.replace(r"\|", "").count("|") for line in rows} == {10}, "no cell too many"
        assert "<b>" not in done.stdout
    else:
        body = done.stdout[done.stdout.index(r"\midrule") :]
        assert "\n[" not in body, r"\\ would take it for its option"
        plain = body.replace(r"\&", "").replace(r"\$", "").replace(r"\_", "").replace(r"\#", "").replace(r"\%", "")
        label = next(line for line in plain.splitlines() if r"\textbf" in line or " & " in line)
        assert "|" not in label


class _Texts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_data(self, data: str) -> None:
        self.found.add(data)


def texts(page: str) -> set[str]:
    """The texts of a page, as a browser would show them."""
    parser = _Texts()
    parser.feed(page)
    return parser.found


def test_a_label_that_begins_a_row_in_latex_is_no_option(tmp_path: Path) -> None:
    for scenario in ("split-a", "split-b"):
        put(tmp_path, "naive", [0.5, 0.53, 0.51], scenario=scenario)
        put(tmp_path, "[red]", [0.7, 0.72, 0.71], scenario=scenario)
    text = compare(tmp_path, "--format", "latex").stdout
    assert "\n{[}red] & $" in text or "\n{[}red] & +" in text, "the table over both scenarios begins with names"
    assert "\n[" not in text


def test_an_unknown_reference(tmp_path: Path) -> None:
    put(tmp_path, "naive", [0.5, 0.52])
    put(tmp_path, "ewc", [0.7, 0.75])
    done = compare(tmp_path, "--against", "ewk")
    assert done.exit_code != 0
    assert isinstance(done.exception, UserError)
    assert "Did you mean 'ewc'?" in str(done.exception)
    assert done.stdout == ""


def test_a_bootstrap_interval_of_few_seeds_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "naive", [0.5, 0.52, 0.51])
    done = compare(tmp_path, "--interval", "bootstrap")
    assert isinstance(done.exception, UserError)
    assert "'naive' has 3 seeds, and below 10" in str(done.exception)
    put(tmp_path / "ten", "naive", [0.5 + seed / 100 for seed in range(10)])
    assert "bootstrap, BCa" in answered(tmp_path / "ten", "--interval", "bootstrap")


def test_a_margin_of_nothing_and_one_below(tmp_path: Path) -> None:
    put(tmp_path, "naive", [0.5, 0.501, 0.502])
    put(tmp_path, "ewc", [0.5, 0.502, 0.501])
    assert entries(tmp_path)["ewc"]["against"]["stand"] == "equal"
    assert entries(tmp_path, "--margin", 0)["ewc"]["against"]["stand"] == "open"
    assert entries(tmp_path, "--margin", 5)["ewc"]["against"]["stand"] == "equal"
    assert compare(tmp_path, "--margin", -1).exit_code == 2


@pytest.mark.parametrize(("test", "n", "every"), [("moderated", 4, 2), ("max-t", 8, 1), ("permutation", 5, 1)])
def test_two_thousand_rows_are_answered_soon(test: Any, n: int, every: int) -> None:
    """A sweep's worth; in the first case half of the rows lack a seed."""
    noise = np.random.default_rng(0).normal(0, 0.01, (2000, n))
    runs = []
    for row in range(2000):
        made = run_of(make_result("ewc" if row else "naive", options={"lam": row} if row else None))
        for seed in range(n - row % every):
            value = 0.4 + row / 4000 + float(noise[row, seed])
            metrics = made.metrics | {"average_accuracy": value}
            runs.append(replace(made, seed=seed, metrics=metrics, accuracy=f"{row} {seed}"))
    begin = time.process_time()
    boards = leaderboards(runs, Method(test=test))
    text = as_text(boards, None, "markdown")
    assert time.process_time() - begin < 15, "2 to 5 seconds on one quiet core"
    assert text.count("\n| ") > 2000
    assert len(shown.leaderboard(boards[0]).rows) == 2000
    told = {entry.against.stand for entry in boards[0].entries if entry.against}
    assert ("better" in told) == (test != "permutation"), "five seeds cannot tell one of 1,999 by sign flips"
