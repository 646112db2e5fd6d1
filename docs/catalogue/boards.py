"""The committed leaderboards, and where each strategy stands on them: numbers as 'clbench compare' shows them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from clbench.analysis.boards import Entry, Leaderboard
from clbench.analysis.compare import leaderboards
from clbench.analysis.load import load
from clbench.analysis.references import FINE_TUNING
from clbench.render import leaderboards as render
from clbench.render import tables
from clbench.store.warnings import KINDS
from docs.catalogue.text import anchor, cell, code, page, prose, table

ROOT = Path(__file__).resolve().parents[2]
BASELINE = ROOT / "results" / "baseline"
# What a cost is of, as its amount is said.
KEPT = {"memory": "of samples", "state": "beside network, optimiser and samples"}


@dataclass(frozen=True)
class Place:
    """A strategy's row of a board; ``as_other``: its runs are those of the row's strategy, bit for bit."""

    board: Leaderboard
    entry: Entry
    as_other: bool


@cache
def boards() -> Sequence[Leaderboard]:
    """Return the boards of the committed baseline."""
    runs, _ = load([BASELINE])
    return leaderboards(runs)


def places(strategy: str) -> list[Place]:
    """Return where a strategy, with default options, stands on each board that has it."""
    return [
        Place(board, entry, entry.strategy != strategy)
        for board in boards()
        for entry in board.entries
        if strategy in (entry.strategy, *entry.names)
    ]


def methods(board: Leaderboard) -> int:
    """How many methods a board ranks."""
    return sum(entry.rank is not None for entry in board.entries)


def score(place: Place) -> str:
    """The board's first column of a row, as it is shown there: '73.8 ± 11.6'."""
    column = place.board.metrics[0]
    return render.number(place.entry.estimates[column], column, place.board.interval)


def rank(place: Place) -> str:
    """'19 of 57', or why it has no rank."""
    if place.entry.rank is not None:
        return f"{place.entry.rank} of {methods(place.board)}"
    why = place.entry.state if place.entry.spoilt or place.entry.diverged else f"a {place.entry.role}"
    return f"not ranked ({why})"


def standing(place: Place) -> str:
    """What the board's seeds allow to say of a row against the reference and the others, as a clause."""
    entry, board = place.entry, place.board
    reference = "fine-tuning" if board.reference in FINE_TUNING else board.reference
    against = entry.against
    if entry.diverged or entry.spoilt or against is None:
        said = f"is {entry.state}" if entry.state else "is what the others are compared with"
    else:
        said = {
            "better": f"is better than {reference}",
            "worse": f"is worse than {reference}",
            "equal": f"is equal to {reference} within {100 * board.margin:g} point",
            "open": f"cannot be told from {reference}: it is open",
        }[against.stand]
        said += f" ({difference(place)} points)"
    if entry.may_be_best:
        said = f"may be the best of {methods(board)} methods, and {said}"
    return said


def difference(place: Place) -> str:
    """The difference to the board's reference: '+6.1 ± 27.9'."""
    return render.difference(place.entry.against, place.board.metrics[0])


def times(place: Place, column: str) -> float | None:
    """How many times as much of a cost as the board's reference a row has; None where that is not known."""
    mine = place.entry.estimates.get(column)
    other = next((one.estimates.get(column) for one in place.board.entries if one.label == place.board.reference), None)
    return mine.mean / other.mean if mine and other and other.mean else None


def where(board: Leaderboard) -> str:
    """The board's stream in words: 'split-digits (task-incremental, 5 tasks)'."""
    kind = json.loads(board.kind)
    incremental, count = kind.get("scenario.incremental"), kind.get("scenario.tasks")
    parts = [f"{incremental}-incremental"] if incremental else []
    parts += [f"{count} tasks"] if count else []
    return f"{board.title} ({', '.join(parts)})" if parts else board.title


def places_table(found: Sequence[Place], prefix: str) -> str:
    """A row for each board that has a strategy; ``prefix`` leads to the catalogue's folder."""
    rows = []
    for place in found:
        entry = place.entry
        page_of_board = f"[{cell(place.board.title)}]({prefix}boards.md#{anchor(place.board.title)})"
        best = "yes" if entry.may_be_best else "–" if entry.may_be_best is None else "no"
        told = [score(place), difference(place), render.state_of(entry), rank(place), best, render.way(entry)]
        rows.append([page_of_board, *map(cell, told)])
    column = render.heading(found[0].board.metrics[0])
    header = ["board", f"{column}, %", "to fine-tuning", "", "place", "may be the best", "of the way"]
    return table(header, rows)


def kept(place: Place) -> str:
    """What a run cost that the load of a machine does not change, beside the reference, as a sentence."""
    samples = times(place, "samples")
    trained = "" if samples is None else f"{samples:.2f} times as many samples with gradients as fine-tuning"
    amounts = {what: place.entry.estimates.get(what) for what in ("memory", "state")}
    held = [
        f"{render.number(one, what, place.board.interval)} {KEPT[what]}"
        for what, one in amounts.items()
        if one and one.mean
    ]
    parts = [trained, f"kept {' and '.join(held)}" if held else "kept nothing beside network and optimiser"]
    return f"On {place.board.title}: {'; '.join(filter(None, parts))}."


def warned(place: Place) -> list[str]:
    """What its runs warn of on a board, in words: 'unstable in 2 of 5 seeds: steps of the method diverge …'."""
    found = []
    for kind, seeds in place.entry.warnings.items():
        meaning = f": {KINDS[kind].meaning}" if kind in KINDS else ""
        found.append(f"{kind} in {len(seeds)} of {len(place.entry.seeds)} seeds{meaning}")
    return found


def boards_page() -> str:
    """The page with every committed board whole."""
    parts = [
        "# Committed leaderboards",
        prose(
            "Every strategy at its default options on two streams of the bundled digits, from the Results in "
            "``results/baseline``. The same tables come from:"
        ),
        "```sh\nclbench compare results/baseline\n```",
    ]
    for board in boards():
        made = tables.markdown(render.leaderboard(board))
        parts += [f"## {cell(board.title)}", made.partition("\n")[2].strip()]
    parts.append("## What the columns and marks mean\n\n" + prose(render.caption(boards())))
    names = ", ".join(code(board.reference) for board in boards()[:1])
    parts.append(f"The reference, Δ, is {names}, fine-tuning without a remedy.")
    return page(*parts)
