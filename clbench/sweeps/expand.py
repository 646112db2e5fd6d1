"""From a plan to its runs: every combination, each run once."""

from __future__ import annotations

import fnmatch
import itertools
import math
import random
from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from clbench import registry, store
from clbench.config import RunConfig, resolve
from clbench.config.layers import Section, assigned, read_seeds
from clbench.config.names import scenario_parts
from clbench.data.sources import DataPlace
from clbench.errors import UserError, did_you_mean
from clbench.sweeps.plan import Plan, Random
from clbench.sweeps.space import Range

Values = dict[str, Any]


def expand(plan: Plan, place: DataPlace | None = None) -> list[RunConfig]:
    """Return the runs of a plan, each once: the first seed of every configuration, then the second, and so on, so that
    a look before the end compares all of them on the same seeds. Raises UserError for what no run can be made of.

    An option of a strategy (scenario, model, optimiser) whose name varies is left out where it has no such option; a
    key that fits nowhere is an error. ``place``: where data are looked up.
    """
    seeds = read_seeds(plan.seeds)
    runs: dict[str, RunConfig] = {}
    used: set[str] = set()
    varied = _varied(plan)
    for point in _points(plan):
        fitting = {key: value for key, value in point.items() if key not in varied or _has(plan.base, point, key)}
        used |= fitting.keys()
        for config in resolve(plan.base, assigned(fitting), {"seeds": seeds}, place=place):
            runs.setdefault(config.run_id, config)
    for key in varied - used:
        section, _, option = key.partition(".")
        names = {str(_name(plan.base, point, section)) for point in _points(plan)}
        raise UserError(f"{key}: no {section} of this plan ({', '.join(sorted(names))}) has an option '{option}'.")
    return sorted(_without(list(runs.values()), plan.exclude), key=lambda config: seeds.index(config.seed))


def _points(plan: Plan) -> Iterator[Values]:
    """Every combination of grid, list and random points."""
    combinations = itertools.product(*plan.grid.values())
    drawn = list(_drawn(plan.random)) if plan.random else [{}]
    for values, point, draw in itertools.product(combinations, plan.points or [{}], drawn):
        yield dict(zip(plan.grid, values, strict=True)) | point | draw


def _drawn(asked: Random) -> Iterator[Values]:
    source = random.Random(asked.seed)
    for _ in range(asked.draws):
        yield {key: _draw(values, source) for key, values in asked.axes.items()}


def _draw(values: Sequence[Any] | Range, source: random.Random) -> Any:
    if not isinstance(values, Range):
        return source.choice(values)
    if values.log:
        return math.exp(source.uniform(math.log(values.low), math.log(values.high)))
    return source.uniform(values.low, values.high)


def _varied(plan: Plan) -> set[str]:
    """Options that vary, of sections whose name varies too."""
    keys = {
        *plan.grid,
        *(key for point in plan.points or [] for key in point),
        *(plan.random.axes if plan.random else ()),
    }
    return {key for key in keys if "." in key and keys & {key.partition(".")[0], f"{key.partition('.')[0]}.name"}}


def _name(base: Values, point: Values, section: str) -> Any:
    value = point.get(f"{section}.name", point.get(section, base.get(section)))
    return value.get("name") if isinstance(value, dict) else value


def _has(base: Values, point: Values, key: str) -> bool:
    """Whether the unit that a point chooses has an option."""
    section, _, option = key.partition(".")
    name = str(_name(base, point, section))
    match section:
        case "strategy":
            names = store.parts(name)
            own, _, rest = option.partition(".")
            return any(
                option in fields or (own == part and rest in fields)
                for part in names
                for fields in [registry.strategy.load(part).schema.model_fields]
            )
        case "model":
            schema = registry.model.load(name).schema
            return (
                option == "classifier" or option in schema.model_fields or schema.model_config.get("extra") == "allow"
            )
        case "optimizer":
            from clbench import optimizers

            return option in optimizers.declared(name).schema.model_fields
        case "scenario":
            from clbench.data.streams import common_options

            common = registry.options_model("scenario", common_options).model_fields
            return option in common or option in registry.scenario.load(scenario_parts(name)[0]).schema.model_fields
    return True


def _without(runs: list[RunConfig], patterns: Sequence[Values]) -> list[RunConfig]:
    """Runs that match no pattern; a pattern's key that no run has is an error."""
    if not patterns:
        return runs
    settings = {config.run_id: store.flat(config.model_dump(mode="json")) for config in runs}
    known = {key for found in settings.values() for key in found}
    for pattern in patterns:
        for key in pattern:
            if key not in known and f"{key}.name" not in known:
                raise UserError(f"exclude: no run of this plan has the key '{key}'.{did_you_mean(key, known)}")
    return [config for config in runs if not any(_matches(settings[config.run_id], pattern) for pattern in patterns)]


def _matches(found: Section, pattern: Values) -> bool:
    return all(_fits(found.get(key, found.get(f"{key}.name")), wanted) for key, wanted in pattern.items())


def _fits(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, list):
        return value == wanted or any(_fits(value, one) for one in wanted)
    if isinstance(wanted, str) and isinstance(value, str):
        return fnmatch.fnmatchcase(value, wanted)
    return bool(value == wanted)


def line(config: RunConfig) -> str:
    """Return a run as one line of YAML, which ``clbench run --config`` reads."""
    content = config.model_dump(mode="json", exclude={"seed", "tuned"}) | {"seeds": [config.seed]}
    return yaml.safe_dump(content, default_flow_style=True, sort_keys=False, width=math.inf).strip()
