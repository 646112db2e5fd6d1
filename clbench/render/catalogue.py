"""The catalogue as tables: what ``clbench list`` and ``clbench describe`` show."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from clbench import metrics, registry
from clbench.analysis.columns import resolve
from clbench.analysis.relative import RELATIVE, Relative
from clbench.catalogue import Listed, Option, common_options
from clbench.data.sources import SOURCES, scenario_names
from clbench.registry import scenario_parts
from clbench.render.tables import Table


def table(kind: str) -> Table:
    """Return the table of all units of a kind."""
    match kind:
        case "strategies":
            return _summaries("strategy", registry.strategy)
        case "models":
            return _summaries("model", registry.model)
        case "scenarios":
            names = scenario_names(registry.scenario.listed)
            rows = [[f"{family}-{source}", *_recipe(family, source)] for family, source in names]
            header = ["scenario", "tasks", "kind", "model", "optimiser", "epochs", "batch"]
            return Table("", header, rows, right=frozenset({1, 5, 6}))
        case "metrics":
            found: list[metrics.Metric | Relative] = [*metrics.METRICS.values(), *RELATIVE.values()]
            rows = [[m.name, str(m.version), m.better, m.summary] for m in sorted(found, key=lambda m: m.name)]
            return Table("", ["metric", "version", "better", "definition"], rows)
        case "datasets":
            rows = [[s.name, "×".join(map(str, s.shape)), str(s.classes), s.summary] for s in SOURCES.values()]
            rows.append(["<folder>", "any", "any", "an image folder <data root>/<folder>/{train,test}/<class>/*"])
            return Table("", ["dataset", "shape", "classes", "what it is"], rows)
    raise ValueError(kind)


def description(kind: str, name: str) -> tuple[str, Table | None]:
    """Return a unit's documentation and its table of options; UserError for an unknown name."""
    if kind == "metric":
        name = resolve(name, [*sorted(metrics.METRICS), *RELATIVE])
        if name in RELATIVE:
            return RELATIVE[name].summary, None
        return inspect.cleandoc(metrics.METRICS[name].compute.__doc__ or ""), None
    if kind == "scenario":
        family, source = scenario_parts(name)
        unit = registry.scenario.check(family)
        recipe = _recipe_of(family, source)
        chosen = recipe.get("scenario", {})
        own = [Option(o.name, o.type, str(chosen.get(o.name, o.default))) for o in unit.options]
        from clbench.data import streams

        shared = inspect.cleandoc(streams.common_options.__doc__ or "").split("\n\n", 1)[1]
        _, _, model, optimiser, epochs, batch = _recipe(family, source)
        standard = f"Standard recipe: {model}; {optimiser}; epochs per stage: {epochs}; batch {batch}."
        return f"{_doc(unit)}\n\n{shared}\n\n{standard}", _options([*own, *common_options()], "scenario")
    registries = {"strategy": registry.strategy, "model": registry.model}
    unit = registries[kind].check(name)
    return _doc(unit), _options(unit.options, kind) if unit.options else None


def _doc(unit: Listed) -> str:
    """A unit's documentation, and its version if there was one before."""
    return unit.doc if unit.version == 1 else f"{unit.doc}\n\nVersion {unit.version}: older Results are told apart."


def _summaries(word: str, units: registry.Registry) -> Table:
    return Table("", [word, "what it is"], [[unit.name, unit.summary] for unit in units.listed.values()])


def _options(options: Sequence[Option], section: str) -> Table:
    rows = [[f"{section}.{option.name}", option.type, option.default] for option in options]
    return Table("", ["option (--set …=…)", "values", "default"], rows)


def _recipe_of(family: str, source: str) -> Mapping[str, Any]:
    recipes: Mapping[str, Mapping[str, Any]] = registry.scenario.load(family).attributes["recipes"]
    return recipes.get(source, recipes["*"])


def _recipe(family: str, source: str) -> list[str]:
    """Tasks, kind, model, optimiser, epochs and batch of a standard recipe, as text."""
    recipe = _recipe_of(family, source)
    defaults = {option.name: option.default for option in registry.scenario.listed[family].options}
    chosen = defaults | {key: str(value) for key, value in recipe.get("scenario", {}).items()}
    return [
        chosen.get("tasks", "–"),
        chosen.get("incremental") or registry.scenario.load(family).attributes["kind"],
        _words(recipe["model"]),
        _words(recipe["optimizer"]),
        str(recipe["epochs"] or f"to {100 * recipe['until_train_accuracy']:g} %"),
        str(recipe["batch_size"]),
    ]


def _words(section: Mapping[str, Any]) -> str:
    """``{name: sgd, lr: 0.05}`` as 'sgd lr 0.05'."""
    parts = [
        f"{key} {'-'.join(map(str, value)) if isinstance(value, list) else value}"
        for key, value in section.items()
        if key != "name"
    ]
    return f"{section['name']} {', '.join(parts)}".strip()
