"""The committed studies are what their script would make, and their leaderboards are theirs."""

from __future__ import annotations

import pytest

from clbench.analysis.compare import Method, leaderboards
from clbench.analysis.load import load
from clbench.render.formats import as_text
from clbench.reproduce.judge import of_older_version
from tests.bench.reproduction import FOLDER, STUDIES, configs


@pytest.mark.parametrize("name", STUDIES)
def test_study_has_only_runs_of_its_setting(name: str) -> None:
    runs, left_out = load([FOLDER / name])
    assert left_out == []
    asked = {config.run_id for _, config in configs([name], None)}
    assert [run for run in runs if run.run_id not in asked and not of_older_version(run)] == []
    assert {run.status for run in runs} == {"ok"}
    seeds = {frozenset(run.seed for run in runs if run.setup == setup) for setup in {run.setup for run in runs}}
    assert len(seeds) == 1, "every strategy has the same seeds"


@pytest.mark.parametrize("name", STUDIES)
def test_leaderboard_is_that_of_the_runs(name: str) -> None:
    runs, _ = load([FOLDER / name])
    text = as_text(leaderboards(runs, Method(STUDIES[name].columns)), None, "markdown")
    assert (FOLDER / name / "leaderboard.md").read_text(encoding="utf-8") == text, "run: make reproduction"
