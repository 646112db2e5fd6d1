"""The regression gate: verdicts, false alarms, outputs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy import stats

from clbench.analysis.check import Check, Rules, check
from clbench.analysis.noninferiority import drops
from clbench.analysis.runs import Run, run_of
from clbench.render import checks
from tests.bench.gate import failing
from tests.helpers import make_result

EXACT = Rules(mode="exact")


def runs(final: Sequence[float], strategy: str = "ewc", **more: Any) -> list[Run]:
    """Runs whose second task ends at these accuracies, by seed."""
    return [
        run_of(make_result(strategy, seed, [[0.5, 0.5], [1.0, 0.5], [0.9, value]], **more))
        for seed, value in enumerate(final)
    ]


BASE = [0.90, 0.91, 0.92, 0.90, 0.93]


def only(found: Check) -> Any:
    (cell,) = found.cells
    return cell


def test_same_runs_pass_both_gates() -> None:
    for rules in (Rules(), EXACT, Rules(strict=True)):
        found = check(runs(BASE), runs(BASE), rules)
        assert found.passed
        assert only(found).verdict == "same"


def test_worse_and_better() -> None:
    worse = check(runs(BASE), runs([v - 0.2 + 0.001 * i for i, v in enumerate(BASE)]), Rules())
    assert not worse.passed
    assert only(worse).verdict == "worse"
    better = check(runs(BASE), runs([v + 0.05 + 0.001 * i for i, v in enumerate(BASE)]), Rules())
    assert better.passed
    assert only(better).verdict == "better"


def test_a_drop_within_the_margin_is_no_regression() -> None:
    slightly = runs([v - 0.01 for v in BASE])
    assert only(check(runs(BASE), slightly, Rules())).verdict == "same"
    tight = check(runs(BASE), slightly, Rules(margins={"average_accuracy": 0.001, "learning_accuracy": 0.001}))
    assert not tight.passed


def test_forgetting_is_gated_the_other_way_round() -> None:
    more = [run_of(make_result("ewc", s, [[0.5, 0.5], [1.0, 0.5], [0.5 + 0.001 * s, v]])) for s, v in enumerate(BASE)]
    cell = only(check(runs(BASE), more, Rules(metrics=["forgetting"])))
    assert cell.verdict == "worse"
    assert cell.metrics[0].drop.difference == pytest.approx(-0.398)


def test_noise_is_unclear_and_fails_only_if_strict() -> None:
    noisy = runs([0.5, 0.99, 0.7, 0.99, 0.9])
    found = check(runs(BASE), noisy, Rules())
    assert only(found).verdict == "unclear"
    assert found.passed
    assert "not ruled out" in only(found).reason
    assert not check(runs(BASE), noisy, Rules(strict=True)).passed


def test_missing_and_failed_cells_are_regressions() -> None:
    found = check(runs(BASE) + runs(BASE, "naive"), runs(BASE), Rules())
    assert [(c.label, c.verdict, c.fails) for c in found.cells] == [("naive", "missing", True), ("ewc", "same", False)]
    failed = runs(BASE[:4]) + [run_of(make_result("ewc", 4, [[0.5, 0.5]], status="diverged"))]
    assert only(check(runs(BASE), failed, Rules())).verdict == "failed"
    assert only(check(failed, runs(BASE), Rules())).verdict == "better"
    assert only(check(failed, failed, Rules())).verdict == "same"


def test_new_cells_are_named_and_pass() -> None:
    found = check(runs(BASE), runs(BASE) + runs(BASE, "si"), Rules())
    assert found.passed
    assert {cell.verdict for cell in found.cells} == {"same", "new"}


def test_other_data_or_versions_are_not_comparable() -> None:
    for change in ({"fingerprint": "e" * 64}, {"scenario_version": 2}):
        found = check(runs(BASE), runs(BASE, **change), Rules())
        assert only(found).verdict == "not comparable"
        assert not found.passed


def test_mixed_versions_within_a_cell_are_not_comparable() -> None:
    mixed = runs(BASE)[:3] + runs(BASE, scenario_version=2)[3:]
    assert only(check(runs(BASE), mixed, Rules())).verdict == "not comparable"


def test_seeds_in_several_folders_are_one_cell() -> None:
    parts = [replace(run, source=str(run.seed % 2)) for run in runs(BASE)]
    assert only(check(runs(BASE), parts, EXACT)).verdict == "same"
    again = [replace(run, created="2027", accuracy="changed") for run in runs(BASE)[:1]]
    assert only(check(runs(BASE), [*again, *runs(BASE)], EXACT)).verdict == "worse", "the newest of two counts"


def test_changed_settings_are_matched_by_strategy_and_named() -> None:
    before, after = runs(BASE, options={"lam": 1}), runs(BASE, options={"lam": 2})
    cell = only(check(before, after, Rules()))
    assert cell.verdict == "same"
    assert "strategy.lam 1 → 2" in cell.reason
    assert only(check(before, after, EXACT)).verdict == "not comparable"
    two = after + runs(BASE, options={"lam": 3})
    assert [c.verdict for c in check(before, two, Rules()).cells] == ["missing", "new", "new"], "ambiguous: not matched"


def test_exact_needs_every_seed_and_every_bit() -> None:
    changed = runs([BASE[0] + 1e-15, *BASE[1:]])
    found = check(runs(BASE), changed, EXACT)
    assert not found.passed
    assert "seeds 0" in only(found).reason
    assert only(check(runs(BASE), runs(BASE[:3]), EXACT)).verdict == "missing"


def test_exact_on_another_machine_is_not_comparable_unless_equal() -> None:
    def on(threads: int, final: Sequence[float]) -> list[Run]:
        results = [make_result("ewc", s, [[0.5, 0.5], [1.0, 0.5], [0.9, v]]) for s, v in enumerate(final)]
        return [run_of(r.model_copy(update={"environment": {"threads": threads}})) for r in results]

    assert check(on(1, BASE), on(2, BASE), EXACT).passed
    cell = only(check(on(1, BASE), on(2, [v - 0.1 for v in BASE]), EXACT))
    assert cell.verdict == "not comparable"
    assert "threads 1" in cell.reason
    assert only(check(on(1, BASE), on(1, [v - 0.1 for v in BASE]), EXACT)).verdict == "worse"


def test_one_seed_cannot_tell_unless_nothing_changed() -> None:
    assert only(check(runs([0.9]), runs([0.9]), Rules())).verdict == "same"
    cell = only(check(runs([0.9]), runs([0.8]), Rules()))
    assert cell.verdict == "unclear"
    assert "one seed" in cell.reason


def test_drop_agrees_with_scipy() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.8, 0.1, 6), rng.normal(0.85, 0.1, 6)
    paired = drop(dict(enumerate(a)), dict(enumerate(b)), 0.01, 0.05, True)
    assert paired.p == pytest.approx(stats.ttest_1samp(a - b, -0.01, alternative="less").pvalue)
    low = stats.ttest_1samp(a - b, 0, alternative="greater").confidence_interval(0.95).low
    assert paired.at_least == pytest.approx(low)
    apart = drop(dict(enumerate(a)), dict(enumerate(b, 100)), 0.01, 0.05, True)
    assert apart.p == pytest.approx(stats.ttest_ind(a + 0.01, b, equal_var=False, alternative="less").pvalue)
    low = stats.ttest_ind(a, b, equal_var=False, alternative="greater").confidence_interval(0.95).low
    assert apart.at_least == pytest.approx(low)


def test_false_alarms_stay_below_alpha_and_real_drops_are_found() -> None:
    n = 400
    limit = 0.05 + 3 * (0.05 * 0.95 / n) ** 0.5
    assert failing(0.0, n, 5) <= limit
    assert failing(-0.01, n, 5) <= limit, "also at the margin's edge"
    assert failing(-0.15, 100, 5) >= 0.9


def test_junit_is_xml_whatever_the_names() -> None:
    hostile = 'x"><script>\x00\x1b &amp; 名'
    found = check(runs(BASE, hostile) + runs(BASE), runs([v - 0.3 + 0.001 * v for v in BASE]), Rules())
    root = ElementTree.fromstring(checks.as_junit(found))
    suite = root[0]
    assert (suite.get("tests"), suite.get("failures")) == ("2", "2")
    names = {case.get("name") for case in suite}
    assert "ewc" in names
    assert any("<script>" in str(name) for name in names)


def test_annotations_cannot_break_out_of_their_line() -> None:
    found = check(runs(BASE, "a\n::error::b%"), [], Rules())
    text = checks.workflow_commands(found)
    assert text.count("\n") == 1
    assert "%0A%3A%3Aerror" in text


def test_json_summary_and_markdown() -> None:
    found = check(runs(BASE) + runs(BASE, "a|b"), runs(BASE), Rules())
    content = json.loads(checks.as_json(found))
    assert content["passed"] is False
    assert {cell["verdict"] for cell in content["cells"]} == {"missing", "same"}
    assert "FAILED (statistical): 1 missing, 1 same." in checks.as_markdown(found)
    assert r"a\|b" in checks.as_markdown(found)
