"""What rows are compared with: named by a person, or fine-tuning; one of several by its settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from clbench.analysis.boards import Entry, Leaderboard
from clbench.analysis.compare import Method, leaderboards
from clbench.analysis.runs import Run, run_of
from clbench.errors import UserError
from tests.helpers import make_result

WARM = {"optimizer": {"name": "sgd", "lr": 0.1}}


def rows(strategy: str, final: float, seeds: Sequence[int] = range(3), **more: object) -> list[Run]:
    """Runs of a strategy, a little apart from seed to seed."""
    R = [[[0.5, 0.5], [1.0, 0.5], [final + 0.01 * (seed % 3) ** 2, final]] for seed in seeds]
    return [run_of(make_result(strategy, seed, one, **more)) for seed, one in zip(seeds, R, strict=True)]  # type: ignore[arg-type]


def board(*groups: list[Run], against: str | None = None) -> Leaderboard:
    (found,) = leaderboards([run for group in groups for run in group], Method(against=against))
    return found


def compared(found: Leaderboard) -> dict[str, str]:
    """Whom each row is compared with."""
    return {entry.label: entry.against.reference for entry in found.entries if entry.against}


def entry(found: Leaderboard, label: str) -> Entry:
    return next(one for one in found.entries if one.label == label)


def test_fine_tuning_is_the_reference_by_itself() -> None:
    found = board(rows("naive", 0.5), rows("ewc", 0.7), rows("joint", 0.9))
    assert (found.reference, found.missing) == ("naive", "")
    assert compared(found) == {"ewc": "naive", "joint": "naive"}
    assert board(rows("warm", 0.5), rows("dash", 0.7)).reference == "warm"


def test_a_row_a_strategy_or_a_folder_is_named() -> None:
    two = [*rows("ewc", 0.6, options={"lam": 1}), *rows("ewc", 0.7, options={"lam": 2})]
    others = [*rows("naive", 0.5), *rows("si", 0.8)]
    assert compared(board(two, others, against="ewc (lam=1)"))["ewc (lam=2)"] == "ewc (lam=1)"
    by_strategy = board(two, others, against="ewc")
    assert compared(by_strategy) == {"si": "ewc (lam=2)", "naive": "ewc (lam=2)"}, "of several the best, before all"
    assert by_strategy.reference == "ewc"
    mine = [replace(run, source="mine") for run in rows("si", 0.6)]
    theirs = [replace(run, source="theirs") for run in [*rows("si", 0.8), *rows("naive", 0.5)]]
    assert compared(board(mine, theirs, against="theirs/")) == {"si [mine]": "si [theirs]"}, "the same configuration"


def test_of_several_the_one_beside_which_a_row_stands() -> None:
    found = board(
        rows("naive", 0.5), rows("naive", 0.6, settings=WARM), rows("ewc", 0.7), rows("ewc", 0.75, settings=WARM)
    )
    assert compared(found) == {
        "ewc (optimizer.lr=0.05)": "naive (optimizer.lr=0.05)",
        "ewc (optimizer.lr=0.1)": "naive (optimizer.lr=0.1)",
    }
    assert found.reference == "naive"


def test_an_unknown_name_is_said_with_what_there_is() -> None:
    with pytest.raises(UserError, match=r"--against ewk: no row is called so. Did you mean 'ewc'\?"):
        board(rows("naive", 0.5), rows("ewc", 0.7), against="ewk")
    many = [rows(f"method{number:02}", 0.5 + number / 100) for number in range(15)]
    with pytest.raises(UserError, match="and 3 more"):
        board(*many, against="nothing of the kind")


@pytest.mark.parametrize(
    ("groups", "against", "missing"),
    [
        ([rows("ewc", 0.7), rows("si", 0.6)], None, "there is no run of fine-tuning (naive) here"),
        (
            [rows("naive", 0.5, warnings=("collapsed: x",)), rows("ewc", 0.7)],
            None,
            "the reference, naive, takes no part (collapsed)",
        ),
        (
            [rows("ewc", 0.7), rows("si", 0.6, status="diverged"), rows("naive", 0.5)],
            "si",
            "the reference, si, takes no part (diverged)",
        ),
    ],
)
def test_without_a_reference_it_is_said_why(groups: list[list[Run]], against: str | None, missing: str) -> None:
    found = board(*groups, against=against)
    assert (found.reference, found.missing) == ("", missing)
    assert compared(found) == {}


def test_a_lost_reference_leaves_its_place_to_one_that_is_there() -> None:
    lost = rows("naive", 0.5, settings=WARM, warnings=("collapsed: x",))
    found = board(lost, rows("naive", 0.6), rows("ewc", 0.7, settings=WARM))
    assert compared(found) == {"ewc (optimizer.lr=0.1)": "naive (optimizer.lr=0.05)"}


def test_a_reference_without_shared_seeds_is_compared_as_a_group() -> None:
    found = board(rows("naive", 0.5, [10, 11, 12]), rows("ewc", 0.9))
    told = entry(found, "ewc").against
    assert told is not None
    assert (told.paired, told.n, told.stand) == (False, 3, "better")


# Strategies whose runs are the same.


def same(*names: str) -> list[list[Run]]:
    return [rows(name, 0.6) for name in names]


def test_names_of_the_same_runs_are_one_row_that_answers_to_all() -> None:
    found = board(*same("naive", "ewc"), rows("redo", 0.6, warnings=("never fired: x",)), rows("si", 0.8))
    assert [one.label for one in found.entries] == ["si", "naive"]
    row = entry(found, "naive")
    assert row.also == {"ewc": [], "redo": ["never fired"]}
    assert row.warnings == {}, "what never fired is no fault of fine-tuning"
    for name in ("ewc", "redo"):
        named = board(
            *same("naive", "ewc"), rows("redo", 0.6, warnings=("never fired: x",)), rows("si", 0.8), against=name
        )
        assert compared(named) == {"si": "naive"}


def test_fine_tuning_gives_the_row_its_name_before_other_controls() -> None:
    found = board(*same("frozen-backbone", "naive", "ewc"), rows("si", 0.8))
    assert (found.reference, compared(found)) == ("naive", {"si": "naive"})
    assert entry(found, "naive").names == ["naive", "frozen-backbone", "ewc"]


def test_settings_that_change_nothing_stay_and_the_order_of_files_does_not_matter() -> None:
    groups = [rows("a", 0.6, options={"lam": 1}), rows("a", 0.6, options={"lam": 2}), rows("b", 0.6)]
    orders = ([0, 1, 2], [1, 2, 0], [2, 1, 0])
    names = [[one.names for one in board(*(groups[place] for place in order)).entries] for order in orders]
    assert names == [[["a (lam=1)", "b"], ["a (lam=2)"]]] * 3


def test_diverged_runs_and_other_folders_are_rows_of_their_own() -> None:
    broken = [rows(name, 0.6, status="diverged") for name in ("a", "b")]
    assert len(board(*broken).entries) == 2
    there = [replace(run, source=place) for place in ("one", "two") for run in rows("naive", 0.6)]
    assert len(board(there).entries) == 2
