"""Which settings are tried: a block ``tune`` of a config, validated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Len, Lt
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from clbench import registry, store
from clbench.config.layers import Section, read_seeds
from clbench.errors import UserError, did_you_mean
from clbench.metrics import METRICS
from clbench.registry import Count

# Learning rates in half decades; strengths in decades around a method's default.
LEARNING_RATES = [0.1, 0.03, 0.01, 0.003, 0.001]
DECADES = [0.01, 0.1, 1.0, 10.0, 100.0]
STRENGTHS = ("lam", "mu")


class Range(BaseModel):
    """A range of numbers; ``log``: tried evenly by order of magnitude."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    low: float
    high: float
    log: bool = False

    @model_validator(mode="after")
    def _in_order(self) -> Range:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError("a range needs low < high, and low > 0 with log")
        return self


class Tune(BaseModel):
    """How settings are chosen.

    The first ``tasks`` tasks choose, by the mean of ``metric`` over ``seeds`` on a share ``validation`` of their
    training images that is held out; the tasks after them are left to be scored, unless ``tasks`` is null: then all
    choose, still on held-out images. grid: every combination of lists; other samplers: so many ``trials``.
    pruner: when a trial is given up after a task, by the mean accuracy on the held-out images of the tasks so far:
    below the median of the trials before (median), or not among the best quarter (halving).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    tasks: Count | None = 3
    metric: str = "average_accuracy"
    validation: Annotated[float, Gt(0), Lt(1)] = 0.1
    seeds: list[Annotated[int, Ge(0)]] = [0]
    sampler: Literal["grid", "tpe", "random", "gp", "cmaes"] = "grid"
    pruner: Literal["none", "median", "halving"] = "none"
    trials: Count = 30
    space: dict[str, Annotated[list[Any], Len(1)] | Range]

    def asked(self) -> Section:
        """What was asked, as plain values; a key that came later says nothing where it changes nothing."""
        return self.model_dump(mode="json", exclude={"pruner"} if self.pruner == "none" else set())


def read(block: Mapping[str, Any], strategy: Section) -> Tune:
    """Validate a tune block for a strategy section; without a space, learning rate and strengths are tried.

    Raises UserError that names the key.
    """
    settings = dict(block)
    if "seeds" in settings:
        settings["seeds"] = read_seeds(settings["seeds"])
    settings.setdefault("space", default_space(strategy))
    try:
        for values in dict(settings["space"]).values():
            if isinstance(values, dict):  # by itself, so that its errors are its own
                Range.model_validate(values)
        tune = Tune.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, ("tune", *first["loc"][:2])))
        message = str(first["msg"]).removeprefix("Value error, ")
        raise UserError(f"{where}: {message}. Keys of 'tune' are {', '.join(Tune.model_fields)}.") from None
    if tune.metric not in METRICS:
        raise UserError(f"tune.metric: unknown metric '{tune.metric}'.{did_you_mean(tune.metric, METRICS)}")
    if tune.pruner != "none" and METRICS[tune.metric].better != "higher":
        raise UserError(f"tune.pruner: it goes by accuracy, which says nothing of '{tune.metric}'. Leave it at none.")
    ranges = [key for key, values in tune.space.items() if isinstance(values, Range)]
    if tune.sampler == "grid" and ranges:
        raise UserError(f"tune.space.{ranges[0]}: a grid needs a list of values. Give one, or choose sampler tpe.")
    return tune


def default_space(strategy: Section) -> dict[str, list[Any]]:
    """Learning rates in half decades, and each strength of the strategy in decades around its default."""
    space: dict[str, list[Any]] = {"optimizer.lr": list(LEARNING_RATES)}
    names = store.parts(str(strategy["name"]))
    for name in names:
        fields = registry.strategy.load(name).schema.model_fields
        for option in STRENGTHS:
            if option in fields and isinstance(fields[option].default, float):
                key = f"strategy.{option}" if len(names) == 1 else f"strategy.{name}.{option}"
                space[key] = [fields[option].default * factor for factor in DECADES]
    return space
