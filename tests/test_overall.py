"""What holds over several boards: means, Satterthwaite's degrees of freedom and the probability of improvement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from scipy import stats

from clbench.analysis.answers import Against
from clbench.analysis.compare import Leaderboard, Method, leaderboards
from clbench.analysis.overall import AcrossBoards, across
from clbench.analysis.ranking import ranking
from clbench.analysis.runs import run_of
from clbench.render.leaderboards import overall
from tests.helpers import make_result

T = Method(columns=["average_accuracy"], test="t")
NAIVE, EWC, SI = [0.50, 0.52, 0.49, 0.51], [0.55, 0.60, 0.54, 0.53], [0.52, 0.52, 0.50, 0.51]


def boards(*given: Mapping[str, Sequence[float]], method: Method = T) -> list[Leaderboard]:
    """A board for each mapping from strategies to their seeds' accuracy."""
    runs = [
        run_of(make_result(name, seed, [[0.5, 0.5], [1.0, 0.5], [value, value]], scenario=f"split-{place}"))
        for place, board in enumerate(given)
        for name, values in board.items()
        for seed, value in enumerate(values)
    ]
    return leaderboards(runs, method)


def known(found: AcrossBoards | None) -> dict[str, Against]:
    assert found is not None
    return {row.label: row.against for row in found.rows}


def test_mean_and_satterthwaite_by_hand() -> None:
    first = {"naive": NAIVE, "ewc": EWC}
    second = {"naive": NAIVE[:3], "ewc": [0.9, 0.7, 0.8]}
    found = across(boards(first, second), lower=False)
    assert found is not None
    d1, d2 = np.subtract(EWC, NAIVE), np.subtract([0.9, 0.7, 0.8], NAIVE[:3])
    v1, v2 = d1.var(ddof=1) / 4, d2.var(ddof=1) / 3
    error, freedom = np.sqrt(v1 + v2) / 2, (v1 + v2) ** 2 / (v1**2 / 3 + v2**2 / 2)
    mean = (d1.mean() + d2.mean()) / 2
    (row,) = found.rows
    assert row.against.difference == pytest.approx(mean)
    assert row.against.p == pytest.approx(2 * stats.t.sf(abs(mean) / error, freedom))
    assert (row.against.low, row.against.high) == pytest.approx(stats.t(freedom, mean, error).interval(0.95))
    assert row.against.n == 3
    assert (found.reference, found.boards, row.improvement) == ("naive", ["split-0", "split-1"], 1.0)


def test_improvement_counts_each_board_once_and_ties_half() -> None:
    found = across(
        boards(
            {"naive": [0.5, 0.5, 0.5, 0.5], "ewc": [0.6, 0.6, 0.4, 0.5]},
            {"naive": [0.5, 0.6], "ewc": [0.4, 0.5]},
        ),
        lower=False,
    )
    assert found is not None
    assert found.rows[0].improvement == pytest.approx((0.625 + 0.0) / 2)


def test_methods_are_decided_together_and_stand_in_order() -> None:
    two = {"naive": NAIVE, "ewc": EWC, "si": SI}
    alone = known(across(boards({k: two[k] for k in ("naive", "ewc")}, {"naive": NAIVE, "ewc": EWC}), lower=False))
    found = known(across(boards(two, two), lower=False))
    assert list(found) == ["ewc", "si"]
    assert found["ewc"].p == pytest.approx(min(1, 2 * (alone["ewc"].p or 0))), "Holm over both"


def test_lower_is_better_where_it_is() -> None:
    given = {"naive": NAIVE, "ewc": EWC}
    found = across(boards(given, given, method=Method(columns=["forgetting"], test="t")), lower=True)
    assert found is not None
    (row,) = found.rows
    assert row.against.difference < 0, "forgetting falls where accuracy rises"
    assert row.improvement == 1.0


def test_what_is_not_on_all_boards_takes_no_part() -> None:
    found = across(boards({"naive": NAIVE, "ewc": EWC, "si": SI}, {"naive": NAIVE, "ewc": EWC}), lower=False)
    assert list(known(found)) == ["ewc"]
    assert across(boards({"naive": NAIVE, "ewc": EWC}), lower=False) is None, "one board"
    assert across(boards({"naive": NAIVE, "ewc": EWC}, {"ewc": EWC}), lower=False) is None, "no reference on one"
    assert across(boards({"naive": NAIVE}, {"naive": NAIVE}), lower=False) is None, "no method"
    assert across([], lower=False) is None


def test_single_seeds_have_a_mean_and_no_verdict() -> None:
    given = {"naive": [0.5], "ewc": [0.6]}
    row = known(across(boards(given, given), lower=False))["ewc"]
    assert row.difference == pytest.approx(0.1)
    assert (row.stand, row.p, row.low) == ("open", None, None)


def test_a_method_that_never_acts_on_one_board_is_still_there() -> None:
    """There its runs are fine-tuning's, bit for bit, and it is that row's other name: a difference of nothing."""
    made = boards({"naive": NAIVE, "ewc": NAIVE, "si": SI}, {"naive": NAIVE, "ewc": EWC, "si": SI})
    assert [entry.names for entry in made[0].entries] == [["si"], ["naive", "ewc"]]
    found = across(made, lower=False)
    ewc = known(found)["ewc"]
    assert ewc.difference == pytest.approx(np.subtract(EWC, NAIVE).mean() / 2)
    assert found is not None
    assert next(row.improvement for row in found.rows if row.label == "ewc") == 0.75
    ranked = ranking(made)
    assert ranked is not None
    assert set(ranked.ranks) == {"naive", "ewc", "si"}


def test_the_table_says_what_its_columns_mean() -> None:
    given = {"naive": NAIVE, "ewc": EWC, "si": SI}
    found = across(boards(given, given), lower=False)
    assert found is not None
    table = overall(found, "average_accuracy")
    assert table.header == ["strategy", "Δ naive", "", "better in"]
    assert table.rows[0][0] == "ewc"
    assert table.rows[0][3] == "100 %"
    assert "each counting once" in table.intro
