"""Better, worse, equal or open: against a second, plain implementation, and by what must never change an answer."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import optimize, special, stats

from clbench.analysis.answers import Against, Question, against
from clbench.analysis.apart import NO_POOL, Apart, Values, apart, pool_of
from clbench.analysis.joint import joint_p
from clbench.analysis.moderated import Prior
from clbench.analysis.significance import Test

HIGHER, LOWER = Question(lower=False, margin=0.01), Question(lower=True, margin=0.01)
T = Question(lower=False, margin=0.01, test="t")
GRADES = {"worse": 0, "open": 1, "equal": 1, "better": 2}


def seeded(values: Iterable[float], first: int = 0) -> dict[int, float]:
    return dict(enumerate(map(float, values), start=first))


def drawn(k: int, n: int, seed: int = 0, spreads: Sequence[float] = (0.005, 0.02, 0.04)) -> NDArray[np.float64]:
    """Rows that differ in means and spreads, and share what the seeds bring."""
    rng = np.random.default_rng([k, n, seed])
    return (
        rng.normal(0.6, 0.03, (k, 1)) + rng.choice(spreads, (k, 1)) * rng.normal(size=(k, n)) + rng.normal(0, 0.02, n)
    )


def asked(rows: Sequence[Values], question: Question = HIGHER) -> list[Against]:
    """Compare all rows with the first."""
    names = [f"row {place}" for place in range(len(rows))]
    first, *others = against(rows, [None] + [0] * (len(rows) - 1), names, question)
    assert first is None
    return [one for one in others if one is not None]


# A second implementation, of rows that have all seeds.


def plain_moderation(X: NDArray[np.float64]) -> Callable[[float], tuple[float, float]]:
    """From METHODS, section 9, with the three departures that ``moderated`` names."""
    k, n = X.shape
    f = n - 1
    s2 = np.array([np.var(X[i] - X[j], ddof=1) for i, j in itertools.combinations(range(k), 2)])
    if f < 2 or len(s2) < 2:
        return lambda own: (own, f)
    e = np.log(s2) - special.psi(f / 2) + np.log(f / 2)
    excess = np.var(e, ddof=1) - special.polygamma(1, f / 2)
    if excess <= 0:
        d0, s02 = np.inf, s2.mean()
    else:
        d0 = 2 * np.exp(optimize.brentq(lambda x: np.log(special.polygamma(1, np.exp(x)) / excess), -18, 18))
        s02 = np.exp(e.mean())

    def moderate(own: float) -> tuple[float, float]:
        mixed = s02 if np.isinf(d0) else (d0 * s02 + f * own) / (d0 + f)
        if own > 2 * mixed:
            return own, f
        return max(own, mixed), max(f, min(d0 + f, f * (k - 1)))

    return moderate


def plain_holm(ps: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Adjusted p-values, and the level at which each was decided on."""
    order = np.argsort(ps, kind="stable")
    factors = np.empty(len(ps))
    factors[order] = np.arange(len(ps), 0, -1)
    adjusted = np.empty(len(ps))
    adjusted[order] = np.minimum(np.maximum.accumulate(ps[order] * factors[order]), 1)
    levels = 0.05 / factors
    kept = order[adjusted[order] > 0.05]
    levels[kept] = 0.05 / max(len(kept), 1)
    return adjusted, levels


def plain(X: NDArray[np.float64], moderate: Callable[[float], tuple[float, float]]) -> list[tuple[float, ...]]:
    """Difference, p, low, high and the probability of being within a point, of each row against the first."""
    n = X.shape[1]
    means = [float((row - X[0]).mean()) for row in X[1:]]
    told = [moderate(float((row - X[0]).var(ddof=1))) for row in X[1:]]
    ts = [stats.t(df, mean, np.sqrt(s2 / n)) for mean, (s2, df) in zip(means, told, strict=True)]
    ps, levels = plain_holm(np.array([2 * min(t.cdf(0), t.sf(0)) for t in ts]))
    # The distribution about the mean: its quantiles are the interval's ends.
    return [
        (mean, p, *t.interval(1 - level), t.cdf(0.01) - t.cdf(-0.01))
        for mean, p, t, level in zip(means, ps, ts, levels, strict=True)
    ]


@pytest.mark.parametrize("n", [2, 3, 10])
@pytest.mark.parametrize("k", [1, 2, 3, 52])
@pytest.mark.parametrize("test", ["moderated", "t"])
def test_answers_are_those_of_the_plain_implementation(k: int, n: int, test: Test) -> None:
    for seed, spreads in enumerate(((0.005, 0.02, 0.04), (0.01,), (0.001, 0.1))):
        X = drawn(k, n, seed, spreads)
        expected = plain(X, plain_moderation(X) if test == "moderated" else lambda own: (own, n - 1))
        found = asked([seeded(row) for row in X], Question(False, 0.01, test))
        for mine, (mean, p, low, high, inside) in zip(found, expected, strict=True):
            assert (mine.difference, mine.p) == pytest.approx((mean, p), rel=1e-6)
            assert (mine.low, mine.high) == pytest.approx((low, high), rel=1e-6)
            stand = "equal" if inside >= 0.95 else "open" if p > 0.05 else "better" if mean > 0 else "worse"
            assert mine.stand == stand


@pytest.mark.parametrize("n", [2, 3, 10])
def test_two_rows_are_a_paired_t_test_and_rows_without_shared_seeds_welchs(n: int) -> None:
    a, b = drawn(2, n)
    (found,) = asked([seeded(a), seeded(b)])
    assert found.paired
    assert found.p == pytest.approx(stats.ttest_rel(b, a).pvalue)
    (found,) = asked([seeded(a), seeded(b, 100)])
    assert not found.paired
    assert found.p == pytest.approx(stats.ttest_ind(b, a, equal_var=False).pvalue)


def test_missing_seeds_are_left_out_of_their_pair_alone() -> None:
    a, b, c = ([float(v) for v in row] for row in drawn(3, 6))
    found = asked([seeded(a), seeded(b), seeded(c[:4])], T)
    raw = [stats.ttest_rel(b, a).pvalue, stats.ttest_rel(c[:4], a[:4]).pvalue]
    assert [one.n for one in found] == [6, 4]
    assert [one.p for one in found] == pytest.approx(list(plain_holm(np.array(raw))[0]))


def test_single_seeds_are_open_and_cost_nothing() -> None:
    a, b = drawn(2, 5)
    one, single = asked([seeded(a), seeded(b), {0: 0.9}])
    assert one == asked([seeded(a), seeded(b)])[0]
    assert (single.stand, single.p, single.low, single.seeds_needed) == ("open", None, None, None)
    assert single.difference == pytest.approx(0.9 - a[0])


def test_each_row_may_have_its_own_reference() -> None:
    rows = [seeded(row) for row in drawn(4, 5)]
    found = against(rows, [None, None, 0, 1], list("abcd"), T)
    assert found[:2] == [None, None]
    raw = [stats.ttest_rel([*rows[i].values()], [*rows[j].values()]).pvalue for i, j in ((2, 0), (3, 1))]
    assert [one.p for one in found if one] == pytest.approx(list(plain_holm(np.array(raw))[0]))
    assert [one.reference for one in found if one] == ["a", "b"]


def with_p(p: float) -> dict[int, float]:
    """A row of five seeds that a paired t-test finds different from .5 at this p."""
    d = np.array([-2, -1, 0, 1, 2]) / 100
    return seeded(0.5 + d + stats.t.isf(p / 2, 4) * d.std(ddof=1) / np.sqrt(5))


@pytest.mark.parametrize("ps", [(0.03, 0.024), (0.024, 0.03), (0.04, 0.02, 0.0166)])
def test_intervals_agree_where_adjusted_ps_are_equal(ps: tuple[float, ...]) -> None:
    """Holm's adjusted p never falls: 2·.024 = .048 is that of .03 too, and their order decides on the levels."""
    for one in asked([seeded([0.5] * 5), *map(with_p, ps)], T):
        assert one.stand == "better"
        assert one.low is not None
        assert one.low > 0


# What spread is when there is none.


@pytest.mark.parametrize("shift", [0.25, -0.25])
@pytest.mark.parametrize("n", [2, 3, 5, 6, 8])
def test_the_same_difference_in_all_seeds_counts_by_its_sign(shift: float, n: int) -> None:
    (found,) = asked([seeded([0.5] * n), seeded([0.5 + shift] * n)])
    assert found.p == 2.0 ** (1 - n)
    told = "better" if shift > 0 else "worse"
    assert found.stand == (told if n >= 6 else "open")
    assert (found.low, found.high) == ((shift, shift) if n >= 6 else (None, None))
    assert found.seeds_needed == (None if n >= 6 else 6), "no spread does not make two seeds enough"


def test_rows_that_are_the_same_are_equal_unless_no_margin_is_given() -> None:
    rows = [seeded([0.5, 0.6]), seeded([0.5, 0.6])]
    (found,) = asked(rows)
    assert (found.stand, found.p, found.low, found.high, found.wins) == ("equal", 1.0, 0.0, 0.0, 0.5)
    (found,) = asked(rows, Question(lower=False, margin=0.0))
    assert (found.stand, found.seeds_needed) == ("open", None)


def test_copies_of_a_row_make_nothing_more_certain() -> None:
    """They have one spread between them: pooled as if independent, twenty of three seeds said p = 2e-10 of .01."""
    reference, row = (seeded(one) for one in drawn(2, 3, 1))
    (alone,) = asked([reference, row], T)
    for copies in (2, 5, 20):
        among = asked([reference, *[row] * copies])
        assert among[0].p == pytest.approx(min(1.0, copies * (alone.p or 0)))
    shifted = [{seed: value + place / 64 for seed, value in row.items()} for place in range(5)]
    assert pool_of([reference, *shifted]) == NO_POOL, "nor rows that differ from it by a constant"


def test_of_many_rows_some_pairs_tell_of_spreads_whatever_their_order() -> None:
    rows = [seeded(row) for row in drawn(90, 4)]
    pool = pool_of(rows)
    assert pool == pool_of(rows[::-1])
    assert pool == pool_of([{seed: value + 0.25 for seed, value in row.items()} for row in rows])
    assert pool.freedom == pytest.approx(pool_of(rows[:50]).freedom, rel=0.5)


def test_rows_that_tell_nothing_of_spreads_do_not_count_as_independent() -> None:
    rows = [seeded(row) for row in drawn(4, 5)]
    short = [{0: 0.3}, {1: 0.2}, *({0: 0.1 + i / 50, 1: 0.3 - i / 70} for i in range(10))]
    assert pool_of([*rows, *short]) == pool_of(rows)


# What must never change an answer.

TIMES = settings(max_examples=60, deadline=None)
VALUES = st.integers(0, 40).map(lambda value: value / 40)


@st.composite
def boards(draw: st.DrawFn) -> list[dict[int, float]]:
    """Rows of a few seeds, some of them missing, many of them level, some the same."""
    n = draw(st.integers(2, 6))
    row = st.dictionaries(st.integers(0, n - 1), VALUES, min_size=1, max_size=n)
    whole = st.lists(VALUES, min_size=n, max_size=n).map(seeded)
    return draw(st.lists(st.one_of(whole, whole, row), min_size=2, max_size=6))


def told(found: Sequence[Against]) -> list[tuple[object, ...]]:
    """All that an answer says, numbers to eight digits."""
    return [
        (one.stand, one.n, one.paired, *(x if x is None else round(x, 8) for x in (one.difference, one.low, one.p)))
        for one in found
    ]


@TIMES
@given(boards(), st.sampled_from([HIGHER, LOWER, T]))
def test_the_interval_leaves_out_nothing_just_where_p_is_small(
    rows: list[dict[int, float]], question: Question
) -> None:
    for one in asked(rows, question):
        if one.low is None or one.high is None or one.p is None or abs(one.p - 0.05) < 1e-9:
            continue
        assert (not one.low <= 0 <= one.high) == (one.p <= 0.05)
        assert one.stand == "equal" or (one.stand != "open") == (one.p <= 0.05)
        assert one.low <= one.difference <= one.high


@TIMES
@given(boards(), st.randoms())
def test_the_order_of_rows_and_seeds_changes_nothing(rows: list[dict[int, float]], shuffler: random.Random) -> None:
    order = list(range(1, len(rows)))
    shuffler.shuffle(order)
    mixed = [rows[0], *(dict(shuffler.sample(list(rows[place].items()), len(rows[place]))) for place in order)]
    straight = told(asked(rows))
    assert told(asked(mixed)) == [straight[place - 1] for place in order]


@TIMES
@given(boards())
def test_better_is_worse_where_lower_is_better_and_from_the_other_side(rows: list[dict[int, float]]) -> None:
    turned = {"better": "worse", "worse": "better"}
    up, down = asked(rows), asked(rows, LOWER)
    mirrored = asked([{seed: -value for seed, value in row.items()} for row in rows])
    for one, two, three in zip(up, down, mirrored, strict=True):
        assert two.stand == three.stand == turned.get(one.stand, one.stand)
        assert two.p == one.p
        assert three.p == (one.p if one.p is None else pytest.approx(one.p, rel=1e-9, abs=1e-300))
        assert (one.wins or 0) + (two.wins or 0) == 1


@TIMES
@given(st.integers(2, 6), st.integers(2, 6), st.integers(0, 1000), st.sampled_from(["moderated", "t", "max-t"]))
def test_what_a_seed_brings_to_all_rows_changes_nothing(k: int, n: int, seed: int, test: Test) -> None:
    X = drawn(k, n, seed)
    question = Question(False, 0.01, test)
    lifted = X + np.random.default_rng(seed).normal(0, 1, n)
    assert told(asked([seeded(row) for row in lifted], question)) == told(asked([seeded(row) for row in X], question))


@TIMES
@given(boards(), st.data())
def test_to_be_better_is_never_held_against_a_row(rows: list[dict[int, float]], data: st.DataObject) -> None:
    place = data.draw(st.integers(1, len(rows) - 1))
    before = asked(rows)[place - 1].stand
    for shift in (0.005, 0.05, 0.5):
        raised = [*rows]
        raised[place] = {seed: value + shift for seed, value in rows[place].items()}
        assert GRADES[asked(raised)[place - 1].stand] >= GRADES[before]


# Without any shape: the largest t over sign flips.


def plain_max_t(differences: NDArray[np.float64]) -> list[float]:
    """By writing out all flips."""
    n = differences.shape[1]

    def t(d: NDArray[np.float64]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = np.abs(d.mean(axis=1) / (d.std(axis=1, ddof=1) / np.sqrt(n)))
        return found

    largest = np.array([t(differences * signs).max() for signs in itertools.product((1, -1), repeat=n)])
    return [float((largest >= own - 1e-9).mean()) for own in t(differences)]


@pytest.mark.parametrize("n", [3, 6, 9])
def test_max_t_is_that_of_all_flips_written_out(n: int) -> None:
    X = drawn(5, n)
    pairs = [(seeded(row), seeded(X[0])) for row in X[1:]]
    assert joint_p(pairs) == pytest.approx(plain_max_t(X[1:] - X[0]))


def test_max_t_of_one_comparison_is_a_permutation_test_of_t() -> None:
    a, b = drawn(2, 8)
    by_scipy = stats.permutation_test(
        (b - a,),
        lambda d, axis: np.abs(stats.ttest_1samp(d, 0, axis=axis).statistic),
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=True,
        alternative="greater",
    )
    assert joint_p([(seeded(b), seeded(a))]) == pytest.approx([by_scipy.pvalue])


def test_max_t_draws_flips_of_many_seeds_and_takes_many_rows_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    X = drawn(30, 16)
    pairs = [(seeded(row), seeded(X[0])) for row in X[1:]]
    at_once = joint_p(pairs)
    monkeypatch.setattr("clbench.analysis.joint.AT_ONCE", 7)
    assert joint_p(pairs) == at_once
    assert min(p for p in at_once if p is not None) >= 1 / 4096, "the flips that were observed are among them"
    few = [({0: 0.5, 1: 0.6}, {0: 0.5}), ({0: 0.5, 1: 0.6}, {0: 0.1, 1: 0.2})]
    assert joint_p(few) == [None, None]
    assert joint_p([]) == []


def test_six_seeds_tell_by_max_t_whatever_the_number_of_rows() -> None:
    for n, stand in ((5, "open"), (6, "better")):
        rows = [seeded(0.5 + place / 10 + np.arange(n) / (100 + place)) for place in range(40)]
        assert {one.stand for one in asked(rows, Question(False, 0.0, "max-t"))} == {stand}


# Seeds that would settle it.


def test_seeds_needed_give_the_promised_power() -> None:
    comparisons, mean, spread = 4, 0.012, 0.02
    open_row = Apart(mean, spread / np.sqrt(5), 4.0, 5, paired=True)
    from clbench.analysis.answers import judge

    found = judge([open_row] * comparisons, ["r"] * comparisons, T, [0.5] * comparisons)
    n = found[0].seeds_needed
    assert n is not None
    rng = np.random.default_rng(1)
    hits = stats.ttest_1samp(rng.normal(mean, spread, (4000, n)), 0, axis=1).pvalue <= 0.05 / comparisons
    assert 0.75 <= hits.mean() <= 0.88
    (none,) = judge([Apart(0.0, 0.1, 4.0, 5, True)], ["r"], T, [1.0])
    assert none.seeds_needed is None, "a difference of nothing is never told"


def test_wins_are_counted_in_pairs_or_over_all_pairs() -> None:
    rows = [seeded([0.5, 0.5, 0.5, 0.5]), seeded([0.6, 0.4, 0.5, 0.7]), seeded([0.5, 0.9], 10)]
    assert [one.wins for one in asked(rows)] == [0.625, 0.75]
    assert [one.wins for one in asked(rows, LOWER)] == [0.375, 0.25]


def test_a_row_noisier_than_the_pool_is_judged_by_itself() -> None:
    X = drawn(2, 4, spreads=(0.1,))
    found = apart(seeded(X[1]), seeded(X[0]), Prior(20.0, 1e-4, 100.0))
    assert found.freedom == 3
    assert found.spread == pytest.approx(float((X[1] - X[0]).std(ddof=1)))
