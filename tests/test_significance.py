"""Tests of pairs, corrections and ranks: against SciPy and against cases worked by hand."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from clbench.analysis.compare import leaderboards
from clbench.analysis.ranking import ranking, studentized_range
from clbench.analysis.runs import run_of
from clbench.analysis.significance import PairTest, compare, enough_seeds, holm
from clbench.analysis.statistics import estimate
from tests.helpers import make_result

TESTS: list[PairTest] = ["permutation", "wilcoxon", "t"]


def seeded(values: list[float], first: int = 0) -> dict[int, float]:
    return dict(enumerate(values, start=first))


def draw(n: int, shift: float, seed: int) -> tuple[list[float], list[float]]:
    rng = np.random.default_rng(seed)
    return list(rng.normal(size=n)), list(rng.normal(shift, size=n))


@pytest.mark.parametrize("n", [4, 7, 11])
def test_paired_tests_agree_with_scipy(n: int) -> None:
    a, b = draw(n, 0.6, n)
    mine, theirs = seeded(a), seeded(b)
    permuted = stats.permutation_test(
        (np.array(a) - b,), np.mean, permutation_type="samples", n_resamples=np.inf, vectorized=True
    )
    assert compare(mine, theirs, "permutation").p == pytest.approx(permuted.pvalue)
    assert compare(mine, theirs, "wilcoxon").p == pytest.approx(stats.wilcoxon(a, b, method="exact").pvalue)
    assert compare(mine, theirs, "t").p == pytest.approx(stats.ttest_rel(a, b).pvalue)


@pytest.mark.parametrize(("m", "n"), [(3, 3), (5, 7)])
def test_group_tests_agree_with_scipy(m: int, n: int) -> None:
    a, b = draw(m, 0.0, 1)[0], draw(n, 1.0, 2)[1]
    mine, theirs = seeded(a), seeded(b, first=100)
    permuted = stats.permutation_test(
        (a, b),
        lambda x, y, axis: np.abs(x.mean(axis) - y.mean(axis)),
        n_resamples=np.inf,
        vectorized=True,
        alternative="greater",
    )
    found = compare(mine, theirs, "permutation")
    assert not found.paired
    assert found.p == pytest.approx(permuted.pvalue)
    assert compare(mine, theirs, "wilcoxon").p == pytest.approx(stats.mannwhitneyu(a, b, method="exact").pvalue)
    assert compare(mine, theirs, "t").p == pytest.approx(stats.ttest_ind(a, b, equal_var=False).pvalue)


def test_paired_by_hand() -> None:
    found = compare(seeded([2.0, 3.0, 4.0]), seeded([1.0, 1.0, 1.0]))
    # Differences 1, 2, 3: of eight choices of signs only +++ and −−− reach a sum of 6.
    assert (found.difference, found.p, found.n, found.paired) == (2.0, 0.25, 3, True)


def test_seeds_are_matched_by_their_number() -> None:
    a, b = {0: 1.0, 1: 2.0, 7: 9.0}, {1: 1.5, 0: 0.5, 3: 4.0}
    found = compare(a, b)
    assert (found.n, found.difference) == (2, 0.5)


def test_many_seeds_are_drawn_and_agree_with_the_exact_count() -> None:
    a, b = draw(20, 0.7, 5)
    assert compare(seeded(a), seeded(b)).p == pytest.approx(stats.ttest_rel(a, b).pvalue, abs=0.01)
    assert compare(seeded(a), seeded(b, 100)).p == pytest.approx(stats.ttest_ind(a, b).pvalue, abs=0.02)
    far = compare(seeded([v + 100 for v in a]), seeded(b))
    assert far.p is not None
    assert 0 < far.p < 0.001


@pytest.mark.parametrize("test", TESTS)
def test_degenerate_cases_have_no_wrong_number(test: PairTest) -> None:
    assert compare({0: 1.0}, {0: 0.5}, test).p is None
    assert compare({0: 1.0}, {5: 0.5}, test).p is None
    same = compare(seeded([0.5, 0.5, 0.5]), seeded([0.5, 0.5, 0.5]), test)
    assert (same.difference, same.p) == (0.0, 1.0)
    for shift in (0.25, -0.25):
        shifted = compare(seeded([0.5 + shift] * 4), seeded([0.5] * 4), test)
        assert shifted.p == 0.125, "also for t, which would be certain: the signs alone count"
        apart = compare(seeded([0.5 + shift] * 4), seeded([0.5] * 4, 10), test)
        assert apart.p == pytest.approx(0.125 if test == "t" else 2 / 70)


@given(st.lists(st.floats(-1, 1, width=16, allow_subnormal=False), min_size=2, max_size=6), st.randoms())
def test_a_test_is_symmetric_and_knows_no_order(values: list[float], shuffler: random.Random) -> None:
    zero = seeded([0.0] * len(values))
    mixed = dict(shuffler.sample(list(seeded(values).items()), len(values)))
    for test in TESTS:
        there, back = compare(mixed, zero, test), compare(zero, seeded(values), test)
        assert there.p == pytest.approx(back.p)
        assert there.difference == pytest.approx(-back.difference)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    # statsmodels 0.15: multipletests([0.001, 0.2, 0.013, 0.013, 0.04, 0.0004, 0.9, 0.05], method="holm")[1]
    ps = [0.001, 0.2, 0.013, 0.013, 0.04, 0.0004, 0.9, 0.05]
    assert holm(ps) == pytest.approx([0.007, 0.4, 0.078, 0.078, 0.16, 0.0032, 0.9, 0.16])
    assert holm([]) == []


def test_family_of_true_nulls_is_rarely_rejected() -> None:
    rng = np.random.default_rng(0)
    rejected = 0
    for _ in range(300):
        best = seeded(list(rng.normal(size=8)))
        ps = [p for _ in range(6) if (p := compare(seeded(list(rng.normal(size=8))), best).p) is not None]
        rejected += min(holm(ps)) <= 0.05
    assert rejected / 300 <= 0.05 + 3 * (0.05 * 0.95 / 300) ** 0.5


def test_enough_seeds_is_the_least_number_with_which_a_test_can_reject() -> None:
    for comparisons in (1, 3, 17):
        n = enough_seeds(comparisons, "permutation")
        assert compare(seeded([1.0 + i / 100 for i in range(n)]), seeded([0.0] * n)).p <= 0.05 / comparisons  # type: ignore[operator]
        assert 2.0 ** (2 - n) > 0.05 / comparisons
    assert enough_seeds(17, "t") == enough_seeds(17, "moderated") == 2
    assert enough_seeds(17, "max-t") == 6, "2^(1−n) whatever their number"


def test_bootstrap_interval_holds_the_mean_and_is_the_same_each_time() -> None:
    values = [0.1, 0.5, 0.3, 0.9, 0.4]
    found = estimate(values, "bootstrap")
    assert found == estimate(values[::-1], "bootstrap")
    assert found.low is not None
    assert found.high is not None
    assert 0.1 <= found.low < found.mean < found.high <= 0.9
    assert estimate([0.2, 0.2], "bootstrap").half_width == 0


@pytest.mark.parametrize("groups", [2, 5, 18])
def test_studentized_range_agrees_with_scipy(groups: int) -> None:
    assert studentized_range(0.95, groups) == pytest.approx(stats.studentized_range.ppf(0.95, groups, 1e6), rel=1e-4)


def boards(scores: dict[str, list[float]]):  # type: ignore[no-untyped-def]
    runs = [
        run_of(make_result(name, 0, [[0.5, 0.5], [1.0, 0.5], [score, score]], scenario=f"split-{place}"))
        for name, row in scores.items()
        for place, score in enumerate(row)
    ]
    return leaderboards(runs)


def test_mean_ranks_by_hand_and_friedman_by_scipy() -> None:
    scores = {"a": [0.9, 0.8, 0.9, 0.7], "b": [0.8, 0.9, 0.8, 0.6], "c": [0.1, 0.2, 0.3, 0.5]}
    found = ranking(boards(scores))
    assert found is not None
    assert found.ranks == {"a": 1.25, "b": 1.75, "c": 3.0}
    assert found.p == pytest.approx(stats.friedmanchisquare(*scores.values()).pvalue)
    assert found.critical == pytest.approx(2.343 * (3 * 4 / (6 * 4)) ** 0.5, rel=1e-3)  # Demšar's table 5
    assert found.groups == [["a", "b"], ["b", "c"]]


def test_ties_share_a_rank_and_one_board_ranks_nothing() -> None:
    found = ranking(boards({"a": [0.9, 0.8], "b": [0.9, 0.7]}))
    assert found is not None
    assert found.ranks == {"a": 1.25, "b": 1.75}
    assert ranking(boards({"a": [0.9], "b": [0.8]})) is None
    assert ranking(boards({"a": [0.9, 0.8]})) is None
    assert ranking([]) is None
