"""A plan: which runs a sweep consists of. What its YAML file may say."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from annotated_types import Ge, Len
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from clbench import store
from clbench.config import RunConfig
from clbench.config.layers import read_seeds
from clbench.errors import UserError, did_you_mean
from clbench.registry import Count
from clbench.sweeps.space import Range

Choices = Annotated[list[Any], Len(1)]
MANY = 10_000  # runs from which a plan is asked about


class Random(BaseModel):
    """``draws`` points, each with a value of every axis: from a list, or a range."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    draws: Count
    seed: Annotated[int, Ge(0)] = 0
    axes: Annotated[dict[str, Choices | Range], Len(1)]


class Plan(BaseModel):
    """A base config, and what varies.

    grid: every combination of lists of values. list: points, each with values of several keys. random: drawn points.
    Grid, list and random are combined with each other and with the seeds. exclude: patterns of runs to leave out.
    retries: how often a run that fails is tried again.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    base: dict[str, Any] = {}
    grid: dict[str, Choices] = {}
    points: Annotated[list[Annotated[dict[str, Any], Len(1)]], Len(1)] | None = Field(None, alias="list")
    random: Random | None = None
    seeds: int | str | list[int] = 1
    exclude: list[Annotated[dict[str, Any], Len(1)]] = []
    retries: Annotated[int, Ge(0)] = 1

    @property
    def digest(self) -> str:
        """What tells plans apart."""
        return store.digest(self.model_dump(mode="json", exclude={"retries"}))

    @property
    def size(self) -> int:
        """How many runs there are at most, before exclusions and before equal ones are joined."""
        draws = self.random.draws if self.random else 1
        combinations = math.prod(map(len, self.grid.values()))
        return combinations * len(self.points or [{}]) * draws * len(read_seeds(self.seeds))


def read(content: Mapping[str, Any], name: str) -> Plan:
    """Validate a plan; UserError that names the key."""
    try:
        for values in _axes(content):
            if isinstance(values, dict):  # by itself, so that its errors are its own
                Range.model_validate(values)
        plan = Plan.model_validate(dict(content))
    except ValidationError as error:
        raise _user_error(error, name) from None
    read_seeds(plan.seeds)
    if "seeds" in plan.base or "seed" in plan.base:
        raise UserError(f"{name}: base.seeds: write 'seeds' at the top of the plan, beside 'base'.")
    repeated = [key for key in plan.grid if plan.random and key in plan.random.axes]
    repeated += [key for point in plan.points or [] for key in point if key in plan.grid]
    if repeated:
        raise UserError(f"{name}: {repeated[0]} is varied twice. Keep it in one of grid, list and random.")
    return plan


def _axes(content: Mapping[str, Any]) -> Iterable[Any]:
    drawn = content.get("random")
    axes = drawn.get("axes") if isinstance(drawn, dict) else None
    return axes.values() if isinstance(axes, dict) else ()


def _user_error(error: ValidationError, name: str) -> UserError:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if str(part) not in ("Range", "list[any]"))
    known = [field.alias or key for key, field in Plan.model_fields.items()]
    match first["type"]:
        case "too_short":
            return UserError(f"{name}: {where} is empty. Give it at least one value, or leave it out.")
        case "list_type":
            return UserError(
                f"{name}: {where}: expected a list of values, got {first['input']!r}. Write [{first['input']}]."
            )
        case "extra_forbidden" if len(first["loc"]) == 1:
            hint = " Keys of a run belong under 'base'." if where in RunConfig.model_fields else ""
            keys = ", ".join(known)
            return UserError(
                f"{name}: {where}: unknown key.{did_you_mean(where, known)}{hint} Keys of a plan are {keys}."
            )
    message = str(first["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    return UserError(f"{name}: {where or 'random'}: {message}. Correct it and run again.")
