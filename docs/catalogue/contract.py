"""What strategies refuse, found out by asking them: their contract's attributes and checks, at default options.

Imports torch, since networks are built for it; they are built without memory or values.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from clbench import registry
from clbench.errors import Remark, UserError
from clbench.registry.options import validated

if TYPE_CHECKING:
    from clbench.strategy.composition import Part

SHAPE = (3, 32, 32)
TASKS = 5
STREAMS = ("task", "class", "domain")
LOGITS = ("all", "seen", "current")
HEADS = {"single": "one classifier for all tasks", "multi": "a head for each task"}


@dataclass(frozen=True)
class Refusal:
    """What is refused, or only partly used (``remark``): on which networks or streams, and in which words.

    ``names``: the networks, where it is not about all of them.
    """

    where: str
    words: str
    remark: bool = False
    names: Sequence[str] = ()


@dataclass(frozen=True)
class Contract:
    """What a strategy says of itself to a composition, and what it refuses alone.

    ``alters``: whether it changes which data a stage uses.
    """

    part: Part
    forgets: bool
    alters: bool
    networks: Sequence[Refusal]
    streams: Sequence[Refusal]


@cache
def contracts() -> Mapping[str, Contract]:
    """Return the contract of every registered strategy, by name."""
    return {name: _contract(name) for name in registry.strategy.listed}


def refused_with(name: str, contracts: Mapping[str, Contract]) -> dict[str, list[str]]:
    """Return why a strategy cannot be composed with others → their names; the rules are those of a run's assembly."""
    from clbench.strategy.composition import clash

    mine, found = contracts[name], dict[str, list[str]]()
    for other, theirs in contracts.items():
        if other == name:
            continue
        clashing = clash({f"'{name}'": mine.part, "the other": theirs.part}, each=lambda *_: "each")
        if clashing is not None:
            found.setdefault(clashing.why, []).append(other)
        elif mine.alters and theirs.alters:  # a run finds out with its stream: clbench.engine.plugins.stages_of
            found.setdefault("each changes which data a stage uses", []).append(other)
    return found


def is_about(refusal: Refusal, network: str) -> bool:
    """Whether a refusal is about one network in particular."""
    return network in refusal.names


def _contract(name: str) -> Contract:
    from clbench.strategy import Ahead, Strategy
    from clbench.strategy.composition import part_of

    unit = registry.strategy.load(name)
    made = unit.make(**validated("strategy", unit.schema, {}))
    assert isinstance(made, Strategy)
    networks = [(net, said, remark) for net, model in _networks().items() for said, remark in _asked(made.check, model)]
    streams = []
    for stream in STREAMS:
        for logits in LOGITS:
            ahead = Ahead(stream, 2 * TASKS, logits, lambda: [[2 * task, 2 * task + 1] for task in range(TASKS)])
            streams += [((stream, logits), said, remark) for said, remark in _asked(made.check_stream, ahead)]
    return Contract(
        part_of(made),
        made.forgets,
        made.stages(TASKS) is not None,
        _by_words(networks, _networks_told),
        _by_words(streams, _streams_told),
    )


def _asked(check, subject) -> Iterator[tuple[str, bool]]:  # type: ignore[no-untyped-def]  # either of two checks
    """What a check says of its subject, and whether that is a remark alone."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            check(subject)
        except UserError as error:
            yield str(error), False
    yield from ((str(one.message), True) for one in heard if issubclass(one.category, Remark))


@cache
def _networks():  # type: ignore[no-untyped-def]  # torch, whose names must not be needed to import this
    """Every registered network that can be built here, with one classifier and with heads: (name, kind) → module."""
    import torch

    from clbench.models import network

    found = {}
    for name in registry.model.listed:
        unit = registry.model.load(name)
        for kind in HEADS:
            try:
                with torch.device("meta"):
                    backbone = unit.make(SHAPE, **validated("model", unit.schema, {}))
                    heads = [2] * TASKS if kind == "multi" else 1
                    found[name, kind] = network.build(backbone, SHAPE, kind, 2, heads)  # type: ignore[arg-type]
            except (ImportError, UserError):  # what an extra brings is not installed
                continue
    return found


def _by_words(found, told) -> list[Refusal]:  # type: ignore[no-untyped-def]
    """Join what was said in the same words."""
    places: dict[tuple[str, bool], list[tuple[str, str]]] = {}
    for place, words, remark in found:
        places.setdefault((words, remark), []).append(place)
    every = {name for name, _ in _networks()}
    made = []
    for (words, remark), where in places.items():
        names = {name for name, _ in where}
        made.append(Refusal(told(where), words, remark, [] if names == every else sorted(names)))
    return made


def _networks_told(places: Sequence[tuple[str, str]]) -> str:
    """'any network with a head for each task', 'linear', 'linear with a head for each task'."""
    every = {name for name, _ in _networks()}
    by_kind = {kind: [name for name, one in places if one == kind] for kind in HEADS}
    if by_kind["single"] == by_kind["multi"]:
        return "any network" if {*by_kind["single"]} == every else ", ".join(by_kind["single"])
    parts = []
    for kind, names in by_kind.items():
        if names:
            who = "any network" if {*names} == every else ", ".join(names)
            parts.append(f"{who} with {HEADS[kind]}")
    return "; ".join(parts)


def _streams_told(places: Sequence[tuple[str, str]]) -> str:
    """'task-incremental, domain-incremental', 'class-incremental with logits=current'."""
    parts = []
    for stream in STREAMS:
        logits = [one for name, one in places if name == stream]
        if logits:
            only = "" if len(logits) == len(LOGITS) else f" with {' or '.join(f'logits={one}' for one in logits)}"
            parts.append(f"{stream}-incremental{only}")
    return ", ".join(parts)
