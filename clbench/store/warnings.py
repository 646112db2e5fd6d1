"""What a reader of a run's numbers must know: the kinds of warnings that a Result carries as '<kind>: <sentence>'."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A kind of warning: its meaning, what to do, and whether it ``spoils`` the numbers, which then must not win.

    A network that learnt nothing forgets nothing and may be quick: it would stand on every Pareto front. What a
    diverging update leaves is an accident of the moment it stopped at. A step that goes too far and comes back trains,
    a method that never fired is fine-tuning under another name, and a stage that missed its threshold ended early:
    that is shown, but these are honest numbers.
    """

    meaning: str
    advice: str
    spoils: bool


KINDS = {
    "collapsed": Kind(
        "no better than one constant answer", "Lower optimizer.lr, or the strategy's strength", spoils=True
    ),
    "single class": Kind(
        "the same answer to every sample", "Lower optimizer.lr, or the strategy's strength", spoils=True
    ),
    "unstable": Kind(
        "steps of the method diverge by themselves",
        "Lower the strategy's strength or optimizer.lr; penalties have strategy.clamp=true",
        spoils=True,
    ),
    "overshoot": Kind(
        "steps of the method passed their aim and came back",
        "Lower the strategy's strength or optimizer.lr; penalties have strategy.clamp=true",
        spoils=False,
    ),
    "never fired": Kind(
        "the method never acted: numbers of a run without it",
        "'clbench describe strategy NAME' says which option decides when it acts",
        spoils=False,
    ),
    "not converged": Kind(
        "a solver ended short of its tolerance",
        "Raise the strategy's iterations, or its tolerance",
        spoils=False,
    ),
    "threshold missed": Kind(
        "a stage ended short of the training accuracy asked for",
        "Raise max_epochs, or lower until_train_accuracy",
        spoils=False,
    ),
}


def kind_of(warning: str) -> str:
    """The kind of a warning: what stands before its colon."""
    return warning.partition(":")[0].strip()


def kinds_of(warnings: Iterable[str]) -> list[str]:
    """The kinds of some warnings, each once, the gravest first; unknown ones last."""
    found = {kind_of(warning) for warning in warnings}
    return [kind for kind in KINDS if kind in found] + sorted(found - KINDS.keys())


def spoilt(kinds: Iterable[str]) -> bool:
    """Whether any of some kinds keeps numbers from winning. Kinds that are not known here do not."""
    return any(kind in KINDS and KINDS[kind].spoils for kind in kinds)
