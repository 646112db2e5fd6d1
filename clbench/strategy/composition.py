"""Which methods cannot be parts of one composition, and why: the one place that has the rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from clbench.avalanche import SupervisedPlugin
from clbench.strategy import Strategy

KEEP_ONE = "Keep one of them"
Each = Callable[[str, str], str]


@dataclass(frozen=True)
class Part:
    """What a method says of itself to a composition: see ``Strategy``. ``idle``: it overrides nothing."""

    exclusive: str | None
    own_loss: bool
    own_answers: bool
    holds: bool
    rewrites: bool
    trains: bool
    idle: bool


@dataclass(frozen=True)
class Clash:
    """Why two parts cannot be in one composition, and what to do instead: each the words of a sentence."""

    why: str
    instead: str = KEEP_ONE


def part_of(plugin: SupervisedPlugin) -> Part:
    """Return what a plugin says of itself; of one that is Avalanche's nothing is known but whether it is idle."""
    if not isinstance(plugin, Strategy):
        return Part(None, False, False, False, False, True, is_fine_tuning(plugin))
    return Part(
        plugin.exclusive,
        plugin.own_loss,
        plugin.own_answers,
        plugin.holds,
        plugin.rewrites,
        plugin.trains,
        is_fine_tuning(plugin),
    )


def is_fine_tuning(plugin: SupervisedPlugin) -> bool:
    """Whether a part of a composition overrides nothing."""
    own = (
        type(plugin).__mro__[: type(plugin).__mro__.index(Strategy)] if isinstance(plugin, Strategy) else [type(plugin)]
    )
    return not any(callable(value) for one in own for value in vars(one).values())


def clash(parts: Mapping[str, Part], each: Each = "each of {} and {}".format) -> Clash | None:
    """Return the gravest reason why parts cannot be in one composition, of the first two that it holds for, or None.

    The keys are what the words call the parts, and ``each`` makes of two what the words call both.
    """
    named = [*parts.items()]
    pairs = [(one, other) for place, other in enumerate(named) for one in named[:place]]
    found = (rule(*one, *other, each) for rule in RULES for one, other in pairs)
    return next((reason for reason in found if reason is not None), None)


def _does_the_same(one: str, mine: Part, other: str, theirs: Part, each: Each) -> Clash | None:
    """They would undo each other."""
    same = mine.exclusive is not None and mine.exclusive == theirs.exclusive
    return Clash(f"{each(one, other)} {mine.exclusive}") if same else None


def _has_a_loss(one: str, mine: Part, other: str, theirs: Part, each: Each) -> Clash | None:
    both = mine.own_loss and theirs.own_loss
    return Clash(f"{each(one, other)} has a loss of its own for the batch") if both else None


def _answers(one: str, mine: Part, other: str, theirs: Part, each: Each) -> Clash | None:
    both = mine.own_answers and theirs.own_answers
    return Clash(f"{each(one, other)} answers in the classifier's place") if both else None


def _rewrites_what_is_held(one: str, mine: Part, other: str, theirs: Part, each: Each) -> Clash | None:
    if theirs.holds and mine.rewrites:
        one, other = other, one
    elif not (mine.holds and theirs.rewrites):
        return None
    return Clash(f"{one} holds weights for earlier tasks, and {other} sets weights anew or freezes them")


def _answers_alone(one: str, mine: Part, other: str, theirs: Part, each: Each) -> Clash | None:
    """A rule that trains nothing, beside a method: the answers would be the rule's alone."""
    if not theirs.trains and mine.trains and not mine.idle:
        one, other = other, one
    elif mine.trains or not theirs.trains or theirs.idle:
        return None
    return Clash(
        f"{one} trains no network and answers by itself, so {other} could change nothing",
        instead="Run them one by one, and compare",
    )


RULES = (_does_the_same, _has_a_loss, _rewrites_what_is_held, _answers_alone, _answers)  # the gravest first
