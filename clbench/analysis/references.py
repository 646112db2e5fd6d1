"""Which row each row of a board is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from clbench.analysis.boards import Entry
from clbench.analysis.runs import beside_strategy
from clbench.errors import UserError, did_you_mean

FINE_TUNING = ("naive", "warm")  # the second is what streams of growing data call it
SHOWN = 12


def named(entries: Sequence[Entry], wanted: str | None) -> list[int]:
    """Return the places of rows that a name means: a label, else a strategy, else a folder; None: fine-tuning."""
    if wanted is None:
        for name in FINE_TUNING:
            if found := [place for place, entry in enumerate(entries) if _called(entry, name)]:
                return found
        return []
    folder = str(Path(wanted))
    for known in (
        [place for place, entry in enumerate(entries) if wanted in entry.names],
        [place for place, entry in enumerate(entries) if _called(entry, wanted)],
        [place for place, entry in enumerate(entries) if entry.source and str(Path(entry.source)) == folder],
    ):
        if known:
            return known
    return []


def _called(entry: Entry, name: str) -> bool:
    """Whether a row is of this strategy, or has it among its other names, behind which settings may stand."""
    return entry.strategy == name or any(f"{also} ".startswith(f"{name} ") for also in entry.also)


def unknown(entries: Sequence[Entry], wanted: str) -> UserError:
    """The error for a reference that is on no board."""
    labels = list(dict.fromkeys(entry.label for entry in entries))
    folders = sorted({entry.source for entry in entries} - {""})
    shown = ", ".join(labels[:SHOWN]) + (f" and {len(labels) - SHOWN} more" if len(labels) > SHOWN else "")
    return UserError(
        f"--against {wanted}: no row is called so.{did_you_mean(wanted, [*labels, *folders])} "
        f"It takes a row's label, a strategy or one of several folders. There are {', '.join([shown, *folders])}."
    )


def references(entries: Sequence[Entry], able: Sequence[bool], candidates: Sequence[int]) -> list[int | None]:
    """Return for each row the place of the row that it is compared with.

    One candidate is everybody's reference. Of several it is the one with the same configuration, or with the same but
    for the strategy; without such a one the best of them (they are in order). What is not ``able`` has no reference and
    is none; candidates are compared with nobody.
    """
    usable = [place for place in candidates if able[place]]
    found: list[int | None] = []
    for place, entry in enumerate(entries):
        if not able[place] or place in candidates or not usable:
            found.append(None)
            continue
        same = [one for one in usable if entries[one].setup == entry.setup]
        alike = [one for one in usable if beside_strategy(entries[one].setup) == beside_strategy(entry.setup)]
        found.append([*same, *alike, *usable][0])
    return found
