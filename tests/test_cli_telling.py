"""The telling half by its command line: compare, check and report on what people may have on disk."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner
from typer.testing import Result as Done

from clbench import store
from clbench.analysis import load as loading
from clbench.analysis.load import load
from clbench.cli import app
from clbench.errors import UserError
from tests.helpers import make_result


def clbench(*words: object, env: dict[str, str] | None = None) -> Done:
    return CliRunner().invoke(app, [str(word) for word in words], env=env)


def put(folder: Path, final: Sequence[float] = (0.9, 0.92, 0.91), strategy: str = "ewc", **more: Any) -> None:
    for seed, value in enumerate(final):
        store.write(make_result(strategy, seed, [[0.5, 0.5], [1.0, 0.5], [0.9, value]], **more), folder)


def test_check_passes_and_fails_by_exit_code(tmp_path: Path) -> None:
    put(tmp_path / "base")
    put(tmp_path / "same")
    put(tmp_path / "worse", [0.5, 0.52, 0.51])
    same = clbench("check", "--baseline", tmp_path / "base", tmp_path / "same", "--mode", "exact")
    assert same.exit_code == 0, same.output
    worse = clbench("check", "--baseline", tmp_path / "base", tmp_path / "worse")
    assert worse.exit_code == 1
    assert "WORSE" in worse.stdout
    assert "FAILED (statistical): 1 worse." in worse.stdout


def test_check_looks_past_a_baseline_inside_the_results(tmp_path: Path) -> None:
    put(tmp_path / "baseline")
    put(tmp_path, [0.5, 0.52, 0.51])
    assert clbench("check", "--baseline", tmp_path / "baseline", tmp_path).exit_code == 1


def test_check_writes_what_machines_read(tmp_path: Path) -> None:
    put(tmp_path / "base")
    put(tmp_path / "base", strategy="naïve" + "x" * 300)
    put(tmp_path / "mine")
    summary = tmp_path / "summary.md"
    done = clbench(
        "check", "--baseline", tmp_path / "base", tmp_path / "mine", "--json", "--junit", tmp_path / "j.xml",
        env={"GITHUB_STEP_SUMMARY": str(summary)},
    )  # fmt: skip
    assert done.exit_code == 1
    assert json.loads(done.stdout)["passed"] is False
    assert ElementTree.parse(tmp_path / "j.xml").getroot()[0].get("failures") == "1"
    assert not summary.exists()
    words = ["check", "--baseline", tmp_path / "base", tmp_path / "mine", "--github-summary"]
    done = clbench(*words, env={"GITHUB_STEP_SUMMARY": str(summary)})
    assert "::error title=split-digits%3A na" in done.stdout
    assert summary.read_text().startswith("## clbench check")


def test_update_shows_the_difference_and_replaces_whole_cells(tmp_path: Path) -> None:
    base, mine = tmp_path / "base", tmp_path / "mine"
    put(base, options={"lam": 1})
    put(base, strategy="naive")
    put(mine, [0.5, 0.52], options={"lam": 2})
    done = clbench("check", "--baseline", base, mine, "--update")
    assert done.exit_code == 0, done.output
    assert "MISSING" in done.stdout
    assert "lacks seed 2; accuracy worse by 20.0 points (at least" in " ".join(done.stdout.split())
    runs, left_out = load([base])
    assert left_out == []
    assert sorted((run.strategy, run.seed) for run in runs) == [
        ("ewc", 0), ("ewc", 1), ("naive", 0), ("naive", 1), ("naive", 2),
    ]  # fmt: skip
    assert clbench("check", "--baseline", base, mine, "--strategy", "ewc", "--mode", "exact").exit_code == 0


def test_update_refuses_diverged_runs(tmp_path: Path) -> None:
    put(tmp_path / "base")
    store.write(make_result("ewc", 0, [[0.5, 0.5]], status="diverged"), tmp_path / "mine")
    before = sorted(path.read_bytes() for path in (tmp_path / "base").rglob("*.json"))
    done = clbench("check", "--baseline", tmp_path / "base", tmp_path / "mine", "--update")
    assert "Not updated" in done.stderr
    assert sorted(path.read_bytes() for path in (tmp_path / "base").rglob("*.json")) == before


@pytest.mark.parametrize("command", [["compare"], ["report", "-o", "r.html"]])
@pytest.mark.parametrize("case", ["empty", "truncated", "nan", "edited", "newer"])
def test_bad_files_are_named_and_nothing_is_written(
    command: list[str], case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs"
    folder.mkdir()
    if case != "empty":
        put(folder, [0.9])
        (file,) = folder.rglob("*.json")
        text = file.read_text()
        changed = {
            "truncated": text[:200],
            "nan": text.replace("0.9,", "NaN,"),
            "edited": text.replace("0.9", "0.99"),
            "newer": text.replace(f'"schema_version": {store.SCHEMA_VERSION}', '"schema_version": 99'),
        }[case]
        assert changed != text
        file.write_text(changed)
    done = clbench(*command, folder)
    assert done.exit_code != 0
    assert isinstance(done.exception, UserError)
    assert "No Results under" in str(done.exception)
    if case != "empty":
        assert "Left out" in done.stderr
        assert file.name in done.stderr.replace("\n", "")
    assert not Path("r.html").exists()


@pytest.mark.parametrize("form", ["terminal", "markdown", "csv", "json", "latex", "html"])
def test_one_seed_one_strategy_no_variance_and_long_names(form: str, tmp_path: Path) -> None:
    put(tmp_path / "one", [0.9])
    done = clbench("compare", tmp_path / "one", "--format", form)
    assert done.exit_code == 0, done.output
    assert "nan" not in done.stdout.lower()
    put(tmp_path / "two", [0.9] * 10, "ü" * 300)
    put(tmp_path / "two", [0.8] * 10, "💥 & \\ _ |")
    for test in ("moderated", "permutation", "max-t", "wilcoxon", "t"):
        for interval in ("t", "bootstrap"):
            words = ["compare", tmp_path / "two", "--format", form, "--test", test, "--interval", interval]
            done = clbench(*words)
            assert done.exit_code == 0, done.output
            assert "nan" not in done.stdout.lower()


def test_by_filters_and_sort(tmp_path: Path) -> None:
    for lam in (1, 2):
        put(tmp_path, options={"lam": lam})
    put(tmp_path, strategy="naive")

    def boards(*words: str) -> Any:
        return json.loads(clbench("compare", tmp_path, "--format", "json", *words).stdout)["leaderboards"]

    assert [b["setting"] for b in boards("--by", "strategy.lam")] == [f"strategy.lam {v}" for v in ("1", "2", "–")]
    assert [b["setting"] for b in boards("--by", "model")] == ["model mlp"]
    (board,) = boards("--where", "strategy.lam=2", "--sort", "forgetting")
    assert [e["label"] for e in board["entries"]] == ["ewc"]
    assert board["metrics"][0] == "forgetting"
    (board,) = boards("--strategy", "na*")
    assert [e["label"] for e in board["entries"]] == ["naive"]


@pytest.mark.skipif(os.name != "posix", reason="reads by forked processes")
def test_reading_by_several_processes_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(6):
        put(tmp_path, strategy=f"s{number}")
    (tmp_path / "broken.json").write_text("{")
    alone = load([tmp_path])
    monkeypatch.setattr(loading, "MANY", 2)
    monkeypatch.setattr(loading, "CHUNK", 4)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert load([tmp_path]) == alone


def test_committed_leaderboard_is_what_the_tool_writes() -> None:
    folder = Path(__file__).resolve().parents[1] / "results" / "baseline"
    done = clbench("compare", folder, "--format", "markdown")
    assert done.stdout == (folder / "leaderboard.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("command", "default"),
    [("run", "split-digits"), ("compare", "results"), ("check", "average_accuracy"), ("report", "report.html")],
)
def test_help_names_the_defaults(command: str, default: str) -> None:
    """Square brackets are rich's markup: unescaped, the defaults would vanish."""
    done = clbench(command, "--help", env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"})
    assert f"[default: {default}" in done.stdout


def test_a_pipe_gets_lines_as_long_as_their_words() -> None:
    said = clbench("describe", "strategy", "ewc", env={"COLUMNS": ""}).stdout
    assert "lam" in said
    assert [line for line in said.splitlines() if line.endswith("  ")] == []
