"""What a run's end and its strategies say that a reader of the numbers must know."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from clbench import store
from clbench.avalanche import SupervisedPlugin
from clbench.config import RunConfig
from clbench.engine.learnt import Column, collapsed, single_class
from clbench.engine.stages import Trained
from clbench.store.warnings import kind_of, kinds_of
from clbench.strategy import Strategy


@dataclass(frozen=True)
class Ending:
    """How a run ended: its columns of R, and of each the one class that was the answer to all images (None: several).
    Of a diverged run the answers are not those of its end.
    """

    columns: Sequence[Column]
    answers: Sequence[int | None]


def warnings_of(config: RunConfig, trained: Trained, ending: Ending, plugins: Sequence[SupervisedPlugin]) -> list[str]:
    """Return a run's warnings, '<kind>: <sentence>' each, the gravest first.

    A diverged run has no last answers to judge; what its strategy has to say may be why it diverged.
    """
    found = [*_learnt(trained, ending), *_missed(config, trained), *_said(config.strategy["name"], plugins)]
    order = kinds_of(found)
    return sorted(found, key=lambda one: order.index(kind_of(one)))


def _learnt(trained: Trained, ending: Ending) -> Iterator[str]:
    if trained.reason is not None or trained.untrained:  # a rule is meant to know nothing of its input
        return
    row = [value for value in trained.rows[-1] if value is not None]
    for warning in (collapsed(row, ending.columns), single_class(ending.answers, ending.columns)):
        if warning is not None:
            yield warning


def _missed(config: RunConfig, trained: Trained) -> Iterator[str]:
    missed = [str(stage) for stage, cost in enumerate(trained.costs, start=1) if cost.reached is False]
    if missed:
        yield (
            f"threshold missed: training accuracy did not reach {config.until_train_accuracy} within "
            f"{config.max_epochs} epochs in stage {', '.join(missed)}"
        )


def _said(name: str, plugins: Sequence[SupervisedPlugin]) -> Iterator[str]:
    """What strategies say; in a composition with the part's name behind the kind. Avalanche's own say nothing."""
    parts = store.parts(name)
    if len(plugins) < len(parts):  # a whole strategy of Avalanche's is among them
        return
    for part, plugin in zip(parts, plugins, strict=True):
        for warning in plugin.warnings() if isinstance(plugin, Strategy) else ():
            kind, _, sentence = warning.partition(": ")
            yield warning if len(parts) == 1 else f"{kind}: {part}: {sentence}"
