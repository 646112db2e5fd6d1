"""How long a plan will take, from two short runs of each kind of run in it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from clbench.config import RunConfig
from clbench.store import Result

STEPS = (10, 40)  # of each stage; what both cost alike is the cost of a stage, the rest that of its steps
KINDS = 12  # probed at most; kinds beyond take the mean of these

Run = Callable[[RunConfig], Result]


@dataclass(frozen=True)
class Estimate:
    """Seconds of computing, one run after another. ``at_most``: some stages end when they have learnt enough."""

    seconds: float
    at_most: bool
    probed: int
    kinds: int


def estimate(configs: Iterable[RunConfig], run: Run) -> Estimate:
    """Probe one run of each strategy, scenario and model, for a few steps of each stage, and reckon up."""
    kinds: dict[tuple[str, ...], list[RunConfig]] = defaultdict(list)
    for config in configs:
        kinds[config.strategy["name"], config.scenario["name"], config.model["name"]].append(config)
    probes = {kind: _probe(found[0], run) for kind, found in list(kinds.items())[:KINDS]}
    total, unknown = 0.0, 0
    for kind, found in kinds.items():
        if kind in probes:
            total += sum(probes[kind](config) for config in found)
        else:
            unknown += len(found)
    known = sum(len(found) for kind, found in kinds.items() if kind in probes)
    mean = total / known if known else 0.0
    at_most = any(one.until_train_accuracy is not None for found in kinds.values() for one in found)
    return Estimate(total + mean * unknown, at_most, len(probes), len(kinds))


def _probe(config: RunConfig, run: Run) -> Callable[[RunConfig], float]:
    """Return a function that says what a run of this kind takes."""
    short = {"epochs": None, "until_train_accuracy": None, "max_epochs": None}
    run(config.model_copy(update=short | {"steps": 1}))  # what only the first run of a process costs
    few, more = (run(config.model_copy(update=short | {"steps": steps})) for steps in STEPS)
    samples = [sum(few.data.train_samples[task] for task in cost.tasks) for cost in few.cost]
    taken, longer = ([cost.steps or 0 for cost in result.cost] for result in (few, more))
    shares = [steps / STEPS[0] for steps in taken]  # joint's one stage has every task's budget
    step = max(more.seconds - few.seconds, 0.0) / max(sum(longer) - sum(taken), 1)

    def seconds(one: RunConfig) -> float:
        epochs = one.epochs or one.max_epochs or 1
        steps = sum(
            one.steps * share if one.steps else epochs * one.updates * math.ceil(count / one.batch_size)
            for count, share in zip(samples, shares, strict=True)
        )
        return few.seconds + step * (steps - sum(taken))

    return seconds
