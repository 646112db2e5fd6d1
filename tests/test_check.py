"""The regression gate: verdicts, false alarms, outputs."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy import stats

from clbench import store
from clbench.analysis.check import Check, Rules, check
from clbench.analysis.noninferiority import drops
from clbench.analysis.runs import Run, run_of
from clbench.render import checks
from tests.bench.gate import EQUAL, UNEQUAL, Setting, failing, fails
from tests.helpers import make_result

EXACT = Rules(mode="exact")
HALF = {"average_accuracy": 0.005}


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


def test_other_number_formats_are_matched_and_named() -> None:
    def ran(chosen: str) -> list[Run]:
        auto = {"precision": "auto"}
        made = [make_result("ewc", n, options={"lam": lam}, settings=auto) for n in range(3) for lam in (1, 2)]
        return [run_of(one.model_copy(update={"environment": {"precision": chosen}})) for one in made]

    cells = check(ran("fp32"), ran("bf16"), Rules()).cells
    assert [cell.verdict for cell in cells] == ["same", "same"], "each with its own"
    assert all("precision fp32 → bf16" in cell.reason for cell in cells)
    assert {cell.verdict for cell in check(ran("fp32"), ran("bf16"), EXACT).cells} == {"not comparable"}


def test_exact_needs_every_seed_and_every_bit() -> None:
    changed = runs([BASE[0] + 1e-15, *BASE[1:]])
    found = check(runs(BASE), changed, EXACT)
    assert not found.passed
    assert "R differs in seed 0" in only(found).reason
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


def moved(final: Sequence[float], by: float, jitter: float = 0.001) -> list[float]:
    """Accuracies that have moved by about as much in every seed."""
    return [value + by + jitter * (-1) ** place * place for place, value in enumerate(final)]


def diverged(seed: int) -> Run:
    return run_of(make_result("ewc", seed, [[0.5, 0.5]], status="diverged"))


def test_missing_seeds_fail_and_are_named() -> None:
    cell = only(check(runs(BASE), runs(BASE[:3]), Rules()))
    assert (cell.verdict, cell.fails) == ("missing", True)
    assert "lacks seeds 3, 4" in cell.reason
    assert [one.drop.n for one in cell.metrics] == [3, 3, 3], "the others are compared all the same"
    none = only(check(runs(BASE)[:2], runs(BASE)[2:], Rules()))
    assert none.verdict == "missing"
    assert "lacks seeds 0, 1" in none.reason
    assert "new: seeds 2, 3, 4" in none.reason


def test_new_seeds_are_remarked_alone() -> None:
    cell = only(check(runs(BASE[:3]), runs(BASE), Rules()))
    assert (cell.verdict, cell.fails, cell.reason) == ("same", False, "new: seeds 3, 4")
    cell = only(check(runs(BASE[:4]), [*runs(BASE[:4]), diverged(4)], Rules()))
    assert (cell.verdict, cell.reason) == ("same", "new: seed 4 (seed 4 diverged)")
    assert check(runs(BASE[:3]), runs(BASE), EXACT).passed


def without(metric: str, all_runs: Sequence[Run], seeds: Sequence[int]) -> list[Run]:
    return [replace(r, metrics={**r.metrics, metric: None}) if r.seed in seeds else r for r in all_runs]


@pytest.mark.parametrize("rules", [Rules(), Rules(strict=True), EXACT])
def test_a_metric_that_has_vanished_is_missing(rules: Rules) -> None:
    cell = only(check(runs(BASE), without("forgetting", runs(BASE), range(5)), rules))
    assert (cell.verdict, cell.fails) == ("missing", True)
    assert cell.reason == "forgetting is undefined, in the baseline it is not"
    cell = only(check(runs(BASE), without("forgetting", runs(BASE), [1]), rules))
    assert (cell.verdict, cell.reason) == ("missing", "forgetting is undefined in seed 1, in the baseline it is not")
    absent = [replace(run, metrics={"average_accuracy": run.metrics["average_accuracy"]}) for run in runs(BASE)]
    assert "learning_accuracy is undefined" in only(check(runs(BASE), absent, rules)).reason


def test_a_metric_that_is_new_passes_with_a_remark() -> None:
    cell = only(check(without("forgetting", runs(BASE), range(5)), runs(BASE), Rules()))
    assert (cell.verdict, cell.fails) == ("same", False)
    assert cell.reason == "forgetting is new: the baseline does not define it"
    nothing = [replace(run, metrics={}) for run in runs(BASE)]
    assert only(check(nothing, nothing, Rules())).verdict == "not comparable"


def test_diverged_seeds_are_compared_by_their_share() -> None:
    one, two = [*runs(BASE[:4]), diverged(4)], [*runs(BASE[:3]), diverged(3), diverged(4)]
    cell = only(check(one, two, Rules()))
    assert (cell.verdict, cell.fails) == ("failed", True)
    assert "2 of 5 seeds diverged, in the baseline 1 (newly seed 3)" in cell.reason
    fewer = only(check(two, one, Rules()))
    assert (fewer.verdict, fewer.fails) == ("better", False)
    assert "1 of 5 seeds diverged, in the baseline 2" in fewer.reason
    assert only(check(one, one, Rules())).reason == "1 of 5 seeds diverged, as in the baseline"
    others = only(check(one, [diverged(0), *runs(BASE)[1:]], Rules()))
    assert (others.verdict, others.fails) == ("same", False)
    assert "but others (newly seed 0)" in others.reason
    all_of_them = [diverged(seed) for seed in range(3)]
    assert only(check(all_of_them, all_of_them, Rules())).verdict == "same"
    assert only(check(all_of_them, runs(BASE[:3]), Rules())).verdict == "better"


@pytest.mark.parametrize("after", [[4], [], [3, 4]])
def test_a_diverged_seed_never_hides_a_drop_of_the_rest(after: list[int]) -> None:
    before = [*runs(BASE[:4]), diverged(4)]
    worse = [diverged(run.seed) if run.seed in after else run for run in runs(moved(BASE, -0.3))]
    cell = only(check(before, worse, Rules()))
    assert cell.fails
    assert {one.metric: one.verdict for one in cell.metrics}["average_accuracy"] == "worse"
    assert cell.verdict == ("failed" if len(after) == 2 else "worse")
    assert re.search(r"\baccuracy worse by [\d.]+ points \(at least [\d.]+\); learning worse by", cell.reason)


def test_the_least_drop_is_the_other_end_of_the_interval() -> None:
    cell = only(check(runs(BASE), runs(moved(BASE, -0.05)), Rules()))
    accuracy = next(one for one in cell.metrics if one.metric == "average_accuracy")
    assert accuracy.drop.at_least is not None
    drop, most = -accuracy.drop.difference, -accuracy.drop.at_least
    assert f"accuracy worse by {100 * drop:.1f} points (at least {100 * (2 * drop - most):.1f})" in cell.reason


def test_newly_collapsed_seeds_are_named() -> None:
    said = [
        replace(run, warnings=("collapsed: 50 % where chance is 50 %",)) if run.seed == 2 else run for run in runs(BASE)
    ]
    assert only(check(runs(BASE), said, Rules())).reason == "newly collapsed: seed 2"
    assert only(check(said, said, Rules())).reason == ""


def test_of_one_cell_the_test_is_students() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.8, 0.1, 6), rng.normal(0.85, 0.1, 6)
    (paired,) = drops([dict(enumerate(a - b))], 0.01, 0.05)
    assert paired.p == pytest.approx(stats.ttest_1samp(a - b, -0.01, alternative="less").pvalue)
    low = stats.ttest_1samp(a - b, 0, alternative="greater").confidence_interval(0.95).low
    assert paired.at_least == pytest.approx(low)


def test_a_drop_of_one_cell_in_fifty_is_found_with_three_seeds() -> None:
    rng = np.random.default_rng(1)
    before, after = [], []
    for cell in range(50):
        values = 0.9 + 0.005 * rng.normal(size=(2, 3)) - [[0.0], [0.1 if cell == 7 else 0.0]]
        before += runs(values[0].tolist(), f"s{cell}")
        after += runs(values[1].tolist(), f"s{cell}")
    found = check(before, after, Rules())
    assert [cell.label for cell in found.cells if cell.fails] == ["s7"]


def test_a_drop_of_all_cells_that_none_shows_is_found() -> None:
    rng = np.random.default_rng(2)
    before, after = [], []
    for cell in range(50):
        values = 0.8 + 0.03 * rng.normal(size=(2, 5)) - [[0.0], [0.04]]
        before += runs(values[0].tolist(), f"s{cell}")
        after += runs(values[1].tolist(), f"s{cell}")
    found = check(before, after, Rules(metrics=["average_accuracy"]))
    assert ("all cells together", "worse") in [(cell.label, cell.verdict) for cell in found.cells]
    assert "the mean over 50 cells" in {cell.label: cell.reason for cell in found.cells}["all cells together"]


def test_unchanged_cells_cost_the_others_nothing() -> None:
    worse = moved(BASE, -0.03, 0.004)
    alone = only(check(runs(BASE), runs(worse), Rules(metrics=["average_accuracy"])))
    others = [run for place in range(40) for run in runs(BASE, f"other {place}")]
    among = check(runs(BASE) + others, runs(worse) + others, Rules(metrics=["average_accuracy"]))
    assert {cell.label: cell for cell in among.cells}["ewc"].metrics == alone.metrics


def standard_error(n: int) -> float:
    return float((0.05 * 0.95 / n) ** 0.5)


FEW = 250
MIXED = (0.002, 0.007, 0.01, 0.04)


@pytest.mark.parametrize(
    "setting",
    [
        Setting(12, 2, MIXED),
        Setting(12, 3, EQUAL),
        Setting(12, 3, UNEQUAL),
        Setting(3, 3, MIXED),
        Setting(12, 3, MIXED, heavy=True),
        Setting(12, 3, EQUAL, common=0.9),
        Setting(12, 5, UNEQUAL),
    ],
    ids=str,
)
def test_a_faithful_candidate_fails_at_most_in_alpha_of_checks(setting: Setting) -> None:
    """All cells at the margin's edge, the worst that is allowed."""
    assert failing(setting, -0.01, FEW) <= 0.05 + 3 * standard_error(FEW)


def test_power_does_not_collapse_with_the_number_of_cells() -> None:
    quiet, noisy = (0.004, 0.007, 0.01), (0.03, 0.05, 0.07)
    assert failing(Setting(50, 3, quiet, one=True), -0.05, 100) >= 0.85
    assert failing(Setting(50, 3, noisy), -0.05, 100) >= 0.9, "all cells together"
    assert failing(Setting(50, 5, noisy, one=True), -0.2, 100) >= 0.85
    assert failing(Setting(1, 5, EQUAL), -0.05, 100) >= 0.9


def test_the_simulation_decides_as_the_gate_does() -> None:
    rng = np.random.default_rng(3)
    verdicts = []
    for _ in range(30):
        differences = rng.normal(-0.02, 0.01, (4, 3))
        before = [run for cell in range(4) for run in runs([0.9] * 3, f"s{cell}")]
        after = [run for cell in range(4) for run in runs((0.9 + differences[cell]).tolist(), f"s{cell}")]
        # The metric is a mean over two tasks, of which one has moved.
        verdicts.append(not check(before, after, Rules(metrics=["average_accuracy"], margins=HALF)).passed)
        assert verdicts[-1] == fails(differences, Setting(4, 3))
    assert 0 < sum(verdicts) < 30


def test_baselines_of_older_schemas_are_checked() -> None:
    old = [run_of(store.read(path)) for path in sorted((Path(__file__).parent / "golden").glob("result-v*.json"))]
    assert len(old) >= 4
    for run in old:
        assert only(check([run], [run], Rules())).verdict == "same"
        assert only(check([run], [run], EXACT)).verdict == "same"


def test_narrow_tables_say_remarks_below() -> None:
    found = check(runs(BASE), runs(BASE[:3]), Rules())
    assert "remark" in checks.table(found).header
    assert "remark" not in checks.table(found, wide=False).header
    assert checks.remarks(found) == "ewc on split-digits: the candidate lacks seeds 3, 4"


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
