"""Which may be the best: against Hsu's method written out, and by what it promises."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from clbench.analysis.answers import Question
from clbench.analysis.bests import possible_bests
from clbench.analysis.significance import Test
from tests.test_answers import boards, drawn, plain_moderation, seeded

HIGHER, LOWER = Question(lower=False, margin=0.01), Question(lower=True, margin=0.01)
TIMES = settings(max_examples=40, deadline=None)


def bests(values: Sequence[Sequence[float]], question: Question = HIGHER) -> list[bool | None]:
    return possible_bests([seeded(row) for row in values], question)


@pytest.mark.parametrize("n", [2, 3, 10])
@pytest.mark.parametrize("k", [2, 3, 52])
@pytest.mark.parametrize("test", ["moderated", "t"])
def test_the_set_is_hsus_written_out(k: int, n: int, test: Test) -> None:
    for seed in range(3):
        X = drawn(k, n, seed)
        moderate = plain_moderation(X) if test == "moderated" else lambda own: (own, n - 1)
        expected = [True] * k
        for i, j in itertools.permutations(range(k), 2):
            d = X[j] - X[i]
            s2, df = moderate(float(d.var(ddof=1)))
            expected[i] &= bool(stats.t.sf(d.mean() / np.sqrt(s2 / n), df) > 0.05 / (k - 1))
        assert bests(X.tolist(), Question(False, 0.01, test)) == expected
        assert bests((-X).tolist(), Question(True, 0.01, test)) == expected


def test_by_hand() -> None:
    """Of three rows the worst is 10 points behind with a spread of 1 point: t = 17.3 on 2 degrees of freedom."""
    rows = [[0.50, 0.50, 0.50], [0.49, 0.50, 0.51], [0.39, 0.40, 0.41]]
    assert stats.t.sf(0.1 / (0.01 / 3**0.5), 2) == pytest.approx(0.0017, rel=0.05)
    assert bests(rows, Question(False, 0.01, "t")) == [True, True, False]


def test_one_row_is_the_best_and_single_seeds_are_not_judged() -> None:
    assert bests([[0.5, 0.6]]) == [True]
    assert bests([]) == []
    assert bests([[0.5, 0.51, 0.5], [0.9], [0.1, 0.1, 0.11]]) == [True, None, False]
    assert bests([[0.5], [0.9]]) == [None, None]


def test_rows_that_beat_each_other_in_a_circle_all_stay() -> None:
    """Three rows, each two of which share other seeds, and which win by turns."""
    a = {0: 0.1, 1: 0.1, 2: 0.9, 3: 0.91}
    b = {2: 0.4, 3: 0.4, 4: 0.9, 5: 0.91}
    c = {4: 0.4, 5: 0.4, 0: 0.6, 1: 0.61}
    assert possible_bests([a, b, c], HIGHER) == [True, True, True]
    assert possible_bests([a, b, c, seeded([0.0, 0.01, 0.02, 0.0, 0.01, 0.02])], HIGHER)[:3] == [True, True, True]


def test_an_arrangement_of_unequal_groups_has_no_mirror_image() -> None:
    """Of 15 ways to choose two of six one is as extreme: p = 1/15 one-sided as two-sided, not half of it."""
    rows = [seeded([0.5, 0.6]), seeded([0.9, 0.91, 0.92, 0.93], 10)]
    assert possible_bests(rows, Question(False, 0.01, "permutation")) == [True, True]
    equal = [seeded([0.5, 0.6, 0.55]), seeded([0.9, 0.91, 0.92], 10)]  # 1 of 20
    assert possible_bests(equal, Question(False, 0.01, "permutation")) == [False, True]


@pytest.mark.parametrize(("test", "n"), [("permutation", 5), ("wilcoxon", 5), ("max-t", 6)])
def test_tests_without_a_shape_need_their_least_number_of_seeds(test: Test, n: int) -> None:
    rows = [[0.5 + i / 100 for i in range(n)], [0.1 + i / 90 for i in range(n)]]
    assert bests(rows, Question(False, 0.01, test)) == [True, False]
    fewer = [row[: 4 if test != "max-t" else 5] for row in rows]
    assert bests(fewer, Question(False, 0.01, test)) == [True, True]


@TIMES
@given(boards(), st.randoms(), st.sampled_from([HIGHER, LOWER]))
def test_order_changes_nothing_and_some_row_always_stays(
    rows: list[dict[int, float]], shuffler: random.Random, question: Question
) -> None:
    order = list(range(len(rows)))
    shuffler.shuffle(order)
    straight = possible_bests(rows, question)
    assert possible_bests([rows[place] for place in order], question) == [straight[place] for place in order]
    assert True in straight or all(len(row) < 2 for row in rows)


@TIMES
@given(st.integers(2, 6), st.integers(2, 5), st.integers(0, 500))
def test_to_rise_never_costs_a_row_its_place(k: int, n: int, seed: int) -> None:
    X = drawn(k, n, seed)
    before = bests(X.tolist())[0]
    X[0] += 0.02
    assert bests(X.tolist())[0] or not before


def test_more_rows_than_rivals_are_judged_by_the_leading_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    X = drawn(30, 4).tolist()
    whole = bests(X)
    monkeypatch.setattr("clbench.analysis.bests.RIVALS", 5)
    fewer = bests(X)
    assert sum(bool(may) for may in fewer) < 30
    assert all(may for may, all_of_them in zip(fewer, whole, strict=True) if all_of_them), "none that may be is lost"


def test_the_true_best_stays_as_often_as_promised() -> None:
    """Level rows are the hardest case; a spread that is 17 times another's is where pooling alone would break."""
    rng = np.random.default_rng(0)
    for spreads in ((0.01,), (0.005, 0.085)):
        kept = 0
        for _ in range(400):
            X = 0.5 + rng.choice(spreads, (5, 1)) * rng.normal(size=(5, 3))
            kept += bests(X.tolist())[0] is not False
        assert kept / 400 >= 0.95 - 3 * (0.05 * 0.95 / 400) ** 0.5
