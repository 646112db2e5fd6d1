"""Published numbers: the registry, its judgement, and what is committed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from clbench import reproduce, store
from clbench.analysis.load import load
from clbench.cli import app
from clbench.config import resolve
from clbench.errors import UserError
from clbench.render.reproduction import table
from clbench.reproduce import ENTRIES, Claim, Entry, Published, named
from clbench.reproduce.judge import findings, of_older_version
from clbench.reproduce.running import jobs, missing
from tests.helpers import SMALL, make_result

COMMITTED = Path(__file__).resolve().parents[1] / "results" / "reproduction"


def entry(**more: Any) -> Entry:
    arms: Any = {"one": {"strategy": "ewc"}, "other": {"strategy": "naive"}}
    settings: dict[str, Any] = {"setting": SMALL, "arms": arms, "seeds": 3} | more
    return Entry("toy", "nobody 2026", "a toy", **settings)


def written(folder: Path, arm: str, values: list[float | None]) -> None:
    """Results of an arm with these average accuracies; None: diverged."""
    for seed, value in enumerate(values):
        status = "diverged" if value is None else "ok"
        result = make_result(arm, seed, [[0.0, 0.0], [1.0, 0.0], [value or 0.0] * 2], status=status)
        store.write(result, folder / "toy" / arm)


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([0.80, 0.80, 0.80], "within"),
        ([0.83, 0.83, 0.83], "outside"),
        ([0.81, 0.83, 0.85], "within"),  # 3 points away, tolerance 1, interval ± 5
        ([0.80, None, 0.80], "outside"),
        ([], "not run"),
    ],
)
def test_numbers_are_judged_with_tolerance_and_interval(
    values: list[float | None], verdict: str, tmp_path: Path
) -> None:
    written(tmp_path, "one", values)
    (found,) = findings(entry(published=[Published("one", "average_accuracy", 0.80, 0.01)]), tmp_path)
    assert found.verdict == verdict


@pytest.mark.parametrize(
    ("one", "other", "metric", "verdict"),
    [
        ([0.9, 0.8, 0.71], [0.8, 0.7, 0.6], "average_accuracy", "holds"),
        ([0.8, 0.7, 0.6], [0.9, 0.8, 0.71], "average_accuracy", "fails"),
        ([0.9, 0.8, 0.7], [0.8, 0.7, 0.6], "average_accuracy", "open"),  # the same three times: signs alone tell
        ([0.9, 0.7, 0.8], [0.8, 0.8, 0.8], "average_accuracy", "open"),
        ([0.8, 0.7, 0.6], [0.9, 0.8, 0.71], "forgetting", "fails"),  # less accurate at the end: more is forgotten
        ([0.5, 0.5, 0.5], [0.9, None, 0.9], "average_accuracy", "holds"),
        ([0.5, None, 0.5], [0.4, 0.4, 0.4], "average_accuracy", "fails"),
        ([0.5], [0.4], "average_accuracy", "open"),
        ([], [0.4], "average_accuracy", "not run"),
    ],
)
def test_claims_are_judged_by_pairs_of_seeds(
    one: list[float | None], other: list[float | None], metric: str, verdict: str, tmp_path: Path
) -> None:
    written(tmp_path, "one", one)
    written(tmp_path, "other", other)
    (found,) = findings(entry(claims=[Claim("one", "other", metric)]), tmp_path)
    assert found.verdict == verdict


def test_a_control_stands_beside(tmp_path: Path) -> None:
    written(tmp_path, "one", [0.8])
    written(tmp_path, "other", [0.7])
    said = [Published("one", "average_accuracy", 0.80, 0.01)]
    found = findings(entry(published=said, control="other"), tmp_path)
    assert found[0].control is not None
    assert found[0].control.mean == pytest.approx(0.7)
    (row,) = table(found).rows
    assert row == ["toy", "a toy", "one", "accuracy", "80.0 ± 1.0", "80.0", "70.0", "1", "within", "1"]


def test_what_is_done_is_not_run_again(tmp_path: Path) -> None:
    found = jobs(entry(), tmp_path)
    assert [(job.arm, job.config.seed) for job in found][:3] == [("one", 0), ("other", 0), ("one", 1)]
    first = found[0]
    done = make_result("ewc").model_copy(update={"run_id": first.config.run_id})
    store.write(done, first.folder)
    assert missing(found) == found[1:]


def test_diagnostics_of_the_first_seeds(tmp_path: Path) -> None:
    for diagnosed, measured in ((None, 3), (1, 1)):
        one = entry(seeds=3, diagnostics=True, diagnosed=diagnosed)
        assert {job.config.seed for job in jobs(one, tmp_path) if job.diagnostics} == {*range(measured)}
    assert not any(job.diagnostics for job in jobs(entry(seeds=3), tmp_path))


def test_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = [Published("one", "average_accuracy", 0.9, 0.2), Published("other", "average_accuracy", 0.1, 0.01)]
    toy = entry(published=said, seeds=1, diagnostics=True, pictures=("stages",), differs="It is a toy.")
    monkeypatch.setitem(reproduce.ENTRIES, "toy", toy)
    monkeypatch.chdir(tmp_path)
    words = ["reproduce", "toy", "--jobs", "1", "--offline"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1, "one of the two is outside"
    assert "2/2" in done.stderr
    assert "It is a toy." in done.stderr
    assert re.search(r"one\s+accuracy\s+90.0\s±\s20.0.*within", done.stdout)
    assert re.search(r"other\s+accuracy\s+10.0\s±\s1.0.*outside", done.stdout)
    assert (tmp_path / "results" / "reproduction" / "toy" / "stages.svg").exists()
    runs, _ = load([tmp_path / "results" / "reproduction"])
    assert len(runs) == 2
    for one in (store.read(run.path) for run in runs if run.path):
        assert "probe" in one.diagnostics
        assert "pictures" not in one.diagnostics, "kept for who draws them"
    again = CliRunner().invoke(app, words)
    assert "2 runs, 2 of them done before" in again.stderr
    listed = CliRunner().invoke(app, ["reproduce", "--format", "markdown"])
    assert listed.exit_code == 0, "listing judges nobody"
    assert "| toy | a toy | one |" in listed.stdout
    with pytest.raises(UserError, match="Did you mean 'van-de-ven-task'"):
        CliRunner().invoke(app, ["reproduce", "van-de-ven-tusk"], catch_exceptions=False)


@pytest.mark.parametrize("name", ENTRIES)
def test_entries_are_whole(name: str) -> None:
    one = named(name)
    known = set(one.arms)
    assert {said.arm for said in one.published} <= known
    assert {arm for claim in one.claims for arm in (claim.better, claim.worse)} <= known
    assert one.published or one.claims
    assert one.control is None or one.control in known
    arms = list(one.arms.values())
    for layer in arms if len(arms) < 30 else arms[:3]:
        resolve(one.setting, layer)


# What has not been run, and why.
NOT_RUN = {
    "interpolation-cifar100": "the official CIFAR-100 was not at hand",
    "avalanche-si-permuted-mnist": "an hour on two cores",
    **{f"avalanche-{name}-split-cifar10": "an hour on two cores" for name in ("er", "er-ace", "scr")},
    **{f"der-split-cifar10-{memory}": "needs a GPU" for memory in (200, 500)},
}


@pytest.mark.parametrize("name", [name for name in ENTRIES if name not in NOT_RUN])
def test_committed_results_are_runs_of_their_entry(name: str) -> None:
    one = ENTRIES[name]
    asked = {(job.arm, job.config.run_id) for job in jobs(one, COMMITTED, seeds=one.seeds)}
    seeds = set()
    for arm in one.arms:
        runs, left_out = load([COMMITTED / name / store.slug(arm)])
        assert left_out == []
        stray = [run for run in runs if (arm, run.run_id) not in asked and not of_older_version(run)]
        assert stray == [], f"{name}, {arm}: not what this entry would run"
        seeds.add(frozenset(run.seed for run in runs))
    assert len(seeds) == 1, "every arm has the same seeds"
    assert frozenset() not in seeds
