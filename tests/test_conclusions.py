"""What is said of a board: true, and in English."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from clbench.analysis.compare import Leaderboard, Method, leaderboards
from clbench.analysis.runs import Run, run_of
from clbench.render.leaderboards import answer, fewer
from tests.helpers import make_result

COLLAPSED = ("collapsed: x",)


def rows(strategy: str, mean: float, spread: float = 0.01, seeds: Sequence[int] = range(3), **more: Any) -> list[Run]:
    """Seeds of a strategy about a mean, always the same ones."""
    noise = (
        np.random.default_rng([*strategy.encode()]).normal(0, spread, len(seeds)) if spread else np.zeros(len(seeds))
    )
    return [
        run_of(make_result(strategy, seed, [[0.5, 0.5], [1.0, 0.5], [value, value]], **more))
        for seed, value in zip(seeds, (mean + noise).clip(0, 1).tolist(), strict=True)
    ]


def board(*groups: list[Run], **method: Any) -> Leaderboard:
    (found,) = leaderboards([run for group in groups for run in group], Method(**method))
    return found


def said(*groups: list[Run], **method: Any) -> str:
    return answer(board(*groups, **method))


NAIVE, EWC, SI = rows("naive", 0.5), rows("ewc", 0.7), rows("si", 0.8)

BOARDS: dict[str, tuple[list[list[Run]], str]] = {
    "a winner, and another that wins too": (
        [NAIVE, EWC, SI],
        "3 seeds. si is the better of 2 methods; si beats fine-tuning (naive) by 27.9 points or more; 1 "
        "other beats it too.",
    ),
    "two that may be the best": (
        [NAIVE, rows("ewc", 0.8), rows("si", 0.8), rows("mas", 0.6)],
        "3 seeds. si and ewc may be the best of 3 methods; both beat fine-tuning (naive) by 27.2 points "
        "or more; 1 other beats it too.",
    ),
    "many that may be the best": (
        [NAIVE, *(rows(f"m{place}", 0.8) for place in range(9)), rows("bad", 0.3)],
        "3 seeds. 9 of 10 methods may be the best, m1 and m8 first; all of them beat fine-tuning (naive)"
        " by 21.1 points or more; bad (−20.1 ± 2.0) is worse.",
    ),
    "nothing is told": (
        [rows("naive", 0.5, 0.1), rows("ewc", 0.55, 0.1), rows("si", 0.52, 0.1)],
        "3 seeds. The seeds do not tell which of 2 methods is the better; si (+10.9 ± 29.7) and ewc "
        "(+6.0 ± 29.7) are open against fine-tuning (naive). Open is not equal: if differences and "
        "spreads stay so, 20 seeds should settle half of them.",
    ),
    "equal within the margin": (
        [rows("naive", 0.5, 0.001), rows("ewc", 0.501, 0.001), rows("si", 0.5005, 0.001)],
        "3 seeds. The seeds do not tell which of 2 methods is the better; si (+0.1 ± 0.3) and ewc (+0.1 "
        "± 0.3) are equal to fine-tuning (naive) within 1 point.",
    ),
    "worse, one of them the better of the two": (
        [rows("naive", 0.8), rows("ewc", 0.5), rows("si", 0.4)],
        "3 seeds. ewc is the better of 2 methods; ewc (−29.9 ± 2.4) and si (−39.1 ± 3.0) are worse than "
        "fine-tuning (naive).",
    ),
    "a control above all methods": (
        [NAIVE, rows("ewc", 0.6), rows("frozen-backbone", 0.9), rows("joint", 0.95)],
        "3 seeds. ewc beats fine-tuning (naive) by 7.4 points or more. Above every method by its mean: "
        "frozen-backbone, a control.",
    ),
    "some are lost": (
        [NAIVE, EWC, rows("si", 0.3, status="diverged"), rows("mas", 0.5, warnings=COLLAPSED)],
        "3 seeds. ewc beats fine-tuning (naive) by 16.6 points or more. mas (collapsed) and si "
        "(diverged) take no part.",
    ),
    "all are lost": (
        [rows("naive", 0.5, warnings=COLLAPSED), rows("ewc", 0.5, 0.02, warnings=COLLAPSED)],
        "3 seeds. Every row diverged, collapsed or is unstable: no number here means anything.",
    ),
    "no reference": (
        [EWC, SI],
        "3 seeds. si is the better of 2 methods. Nothing is compared with a reference: there is no run "
        "of fine-tuning (naive) here; choose another with --against.",
    ),
    "a lost reference": (
        [rows("naive", 0.5, warnings=COLLAPSED), EWC, SI],
        "3 seeds. si is the better of 2 methods. Nothing is compared with a reference: the reference, "
        "naive, takes no part (collapsed); choose another with --against. naive (collapsed) takes no "
        "part.",
    ),
    "a single row": (
        [EWC],
        "3 seeds.",
    ),
    "one seed each": (
        [rows("naive", 0.5, seeds=[0]), rows("ewc", 0.6, seeds=[0])],
        "One seed, which tells nothing apart: run three or more. ewc (+11.2) is open against fine-tuning (naive).",
    ),
    "one seed of some": (
        [NAIVE, SI, rows("ewc", 0.7, seeds=[0])],
        "1 to 3 seeds. ewc has a single seed, which says nothing; si beats fine-tuning (naive) by 29.1 "
        "points or more; ewc (+21.2) is open.",
    ),
    "no methods": (
        [NAIVE, rows("joint", 0.9)],
        "3 seeds. There are no methods here, only bounds and controls.",
    ),
    "the same difference in all seeds": (
        [rows("naive", 0.5, 0), rows("ewc", 0.7, 0)],
        "3 seeds. ewc (+20.0) is open against fine-tuning (naive). Open is not equal: if differences and"
        " spreads stay so, 6 seeds should settle this.",
    ),
}


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_in_words(name: str) -> None:
    groups, text = BOARDS[name]
    assert said(*groups) == text


def test_by_how_much_is_said_by_an_interval_of_the_same_test_alone() -> None:
    """Sign flips may tell where Student's interval holds 0, or has no width: then nothing is said of how much."""
    naive = rows("naive", 0.5, 0, seeds=range(6))
    rare = [
        run_of(make_result("ewc", seed, [[0.5, 0.5], [1.0, 0.5], [0.5 + gain, 0.5 + gain]]))
        for seed, gain in enumerate([0.01, 0.01, 0.01, 0.01, 0.01, 0.45])
    ]
    assert said(naive, rare, test="permutation") == "6 seeds. ewc beats fine-tuning (naive)."
    assert "by 20 points or more" in said(naive, rows("si", 0.7, 0, seeds=range(6)))


def test_where_lower_is_better_and_in_other_units() -> None:
    assert "si is the better of 2 methods; si beats fine-tuning (naive) by 27" in said(
        NAIVE, EWC, SI, columns=["forgetting"]
    )
    quick = [rows(name, mean, seconds=seconds) for name, mean, seconds in (("naive", 0.5, 3.0), ("ewc", 0.6, 5.0))]
    assert "ewc (+2.0) is open against" in said(*quick, columns=["seconds"]), "no points"


def test_a_difference_of_nothing_has_no_sign_and_asks_for_no_seeds() -> None:
    naive = [run_of(make_result("naive", s, [[0.5, 0.5], [1.0, 0.5], [v, v]])) for s, v in enumerate([0.4, 0.5, 0.6])]
    moved = [run_of(make_result("ewc", s, [[0.5, 0.5], [1.0, 0.5], [v, v]])) for s, v in enumerate([0.6, 0.5, 0.4])]
    text = said(naive, moved)
    assert "ewc (0.0 ± 49.7) is open against fine-tuning (naive)." in text
    assert "settle" not in text


def test_seeds_beyond_count_are_not_promised() -> None:
    naive = [run_of(make_result("naive", s, [[0.5, 0.5], [1.0, 0.5], [v, v]])) for s, v in enumerate([0.4, 0.5, 0.6])]
    moved = [run_of(make_result("ewc", s, [[0.5, 0.5], [1.0, 0.5], [v, v]])) for s, v in enumerate([0.60002, 0.5, 0.4])]
    assert said(naive, moved).endswith("not even 1,000,000 seeds would settle this.")


def test_the_mark_of_fewer_seeds_says_what_is_compared() -> None:
    assert fewer(board(NAIVE, EWC)) == ""
    assert fewer(board(NAIVE, rows("ewc", 0.7, seeds=[0, 1]))).endswith("the seeds that two rows share.")
    none_shared = board(rows("naive", 0.5, seeds=[7, 8, 9]), EWC)
    assert fewer(none_shared).endswith("rows that share fewer than two are compared as groups.")
