"""When to use a strategy and when not: what follows from its docstring, its checks and the committed Results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from clbench.analysis.boards import Leaderboard
from clbench.registry.catalogue import Listed
from clbench.render.catalogue import ROLES
from docs.catalogue import boards
from docs.catalogue.boards import Place
from docs.catalogue.contract import Contract
from docs.catalogue.text import Link, escaped, prose

FORGETS = "It is for streams that ask for training samples to be forgotten: forget-class-… and forget-images-…."
NOBODY = "No committed leaderboard has it, so nothing is known here of how it does."


def advice(unit: Listed, contract: Contract, places: Sequence[Place], link: Link) -> str:
    """Return two lists: what speaks for the strategy, and what speaks against it or is not known."""
    said = _said(unit, contract, places)
    titles = {"for": "Speaks for it", "against": "Speaks against it", "open": "Not known"}
    parts = []
    for side, title in titles.items():
        if said[side]:
            parts.append(f"**{title}**\n\n" + "\n".join(f"- {prose(one, link)}" for one in said[side]))
    return "\n\n".join(parts)


def _said(unit: Listed, contract: Contract, places: Sequence[Place]) -> Mapping[str, list[str]]:
    said: dict[str, list[str]] = {"for": [], "against": [], "open": []}
    if unit.role != "method":
        said["against"].append(ROLES[unit.role])
    if contract.forgets:
        said["for"].append(FORGETS)
    for place in places:
        side, words = _on_board(place, unit.name)
        said[side].append(words)
        said["against"] += [f"On {place.board.title} it warned: {one}." for one in boards.warned(place)]
    if not places:
        said["open"].append(NOBODY)
    for what, refusals in (("streams", contract.streams), ("networks", contract.networks)):
        told = "; ".join(refusal.where for refusal in refusals if not refusal.remark)
        said["against"] += [f"It refuses {what}: {told}."] if told else []
    return said


def _on_board(place: Place, name: str) -> tuple[str, str]:
    """On which side a board's answer stands, and the answer."""
    entry = place.entry
    words = f"On {boards.where(place.board)} it {boards.standing(place)}."
    if place.as_other:
        words = f"On {boards.where(place.board)} its runs are those of '{entry.strategy}', bit for bit."
        return "against", words
    if entry.diverged or entry.spoilt:
        return "against", words
    if entry.against is None:
        return "open", words
    return {"better": "for", "worse": "against", "equal": "against", "open": "open"}[entry.against.stand], words


def standing(strategy: str, board: Leaderboard) -> str:
    """Return in a word how a strategy stands to fine-tuning on a board, with a star if it may be the best there."""
    place = next((place for place in boards.places(strategy) if place.board is board), None)
    if place is None:
        return "–"
    entry = place.entry
    if place.as_other:
        return f"as {escaped(entry.strategy)}"
    if entry.against is None or entry.diverged or entry.spoilt:
        return entry.state or "reference"
    return f"{entry.against.stand} ★" if entry.may_be_best else entry.against.stand
