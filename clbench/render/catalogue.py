"""The catalogue as tables: what ``clbench list`` and ``clbench describe`` show."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, get_args

import yaml

from clbench import metrics, registry
from clbench.analysis.columns import resolve
from clbench.analysis.relative import RELATIVE, Relative
from clbench.config.names import scenario_parts
from clbench.config.standard import standards, stream_name
from clbench.data import own
from clbench.data.known import SOURCES, scenario_names
from clbench.data.sources import DataPlace
from clbench.registry import guests
from clbench.registry.catalogue import FAMILIES, Listed, Option, common_options
from clbench.registry.words import AS_FOR, Words, taken_apart, words
from clbench.render.tables import Table
from clbench.roles import Role

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo


@dataclass(frozen=True)
class Described:
    """An option: its key, which values it takes, its default, and what it does."""

    key: str
    values: str
    default: str
    words: str


@dataclass(frozen=True)
class Description:
    """A unit in full. ``recipe``: a scenario's standard recipe, as YAML."""

    title: str
    doc: str
    options: Sequence[Described] = ()
    cost: str = ""
    recipe: str = ""


# What 'describe' adds where a unit is no method to judge.
ROLES: Mapping[Role, str] = {
    "method": "",
    "bound": "A bound: it sees more data than a continual learner may, and never counts as the best.",
    "control": "A control: what a method must do better than.",
}
WHOLE = (
    "It trains by a loop of its own, fed as Avalanche feeds it: no checkpoints, no online accuracy, no count of its "
    "memory, and no row of R before training."
)
WIDE = 120  # columns of a terminal
# Columns that a narrow terminal has no room for.
WIDE_ONLY = frozenset({"optimiser", "epochs", "batch", "version"})


def table(kind: str) -> Table:
    """Return the table of all units of a kind."""
    match kind:
        case "strategies":
            rows = [[unit.name, FAMILIES[unit.family], unit.summary] for unit in _by_family()]
            return Table("", ["strategy", "family", "what it is"], rows)
        case "models":
            return _summaries("model", registry.model)
        case "scenarios":
            names = scenario_names(registry.scenario.listed)
            rows = [
                [name, *_recipe(name)] for name in (*(f"{family}-{source}" for family, source in names), *standards())
            ]
            header = ["scenario", "tasks", "kind", "model", "optimiser", "epochs", "batch"]
            return Table("", header, rows, right=frozenset({1, 5, 6}))
        case "metrics":
            found: list[metrics.Metric | Relative] = [*metrics.METRICS.values(), *RELATIVE.values()]
            rows = [[m.name, str(m.version), m.better, m.summary] for m in sorted(found, key=lambda m: m.name)]
            return Table("", ["metric", "version", "better", "definition"], rows)
        case "datasets":
            rows = [[s.name, "×".join(map(str, s.shape)), str(s.classes), s.summary] for s in SOURCES.values()]
            rows.append(["openml-<number>", "any", "any", "a table of openml.org, through scikit-learn"])
            rows.append(["<name>", "any", "any", "your own under the data root: a table, arrays or an image folder"])
            rows += [
                [name, "any", "any", f"{_a(mine.kind)}: {mine.path}"]
                for name, mine in own.all_under(DataPlace.default()).items()
                if name not in SOURCES
            ]
            return Table("", ["dataset", "shape", "classes", "what it is"], rows)
    raise ValueError(kind)


def of_avalanche(kind: str) -> Table:
    """Return the table of what Avalanche has: 'strategies', which are whole ones and plugins, or 'scenarios'."""
    word = {"strategies": "strategy", "scenarios": "scenario"}[kind]
    rows = []
    for path, make in guests.listed(word).items():
        why = guests.CANNOT.get(make.__name__)
        rows.append([path, f"cannot be run: {why}" if why else _first(guests.prose(make))])
    return Table("", [word, "what it is"], rows)


def _first(text: str) -> str:
    """The first sentence of a documentation, on one line."""
    return re.split(r"(?<=\.)\s|\n\s*\n", text)[0].replace("\n", " ").strip()


def _foreign(kind: str, path: str) -> Description:
    """Somebody else's class or function: its own words, what a run gives it, and the rest of its parameters."""
    unit = {"strategy": registry.strategy, "scenario": registry.scenario}[kind].load(path)
    assert unit.terms is not None
    known = inspect.signature(unit.make).parameters
    given = [name for name in known if name in unit.terms.supplied]
    origin = unit.origin
    said = [guests.prose(unit.make)]
    said += [f"Of {origin.source}."] if origin else []
    said += [f"The run gives it {', '.join(given)}."] if given else []
    said += [WHOLE] if unit.terms.whole else []
    said += [ROLES[unit.role]]
    fields = unit.schema.model_fields.items()
    options = [Option(name, _type_words(one.annotation), _default_words(one)) for name, one in fields]
    told = guests.words(unit.make)
    if kind == "scenario":
        shared, theirs = _shared()
        options, told = [*options, *shared], {**told, **theirs}
    return Description(f"{kind} {path}", "\n\n".join(filter(None, said)), _described(options, kind, told))


def _type_words(hint: Any) -> str:
    """A type as it reads in a table."""
    named: dict[Any, str] = {Any: "anything", int: "whole number", float: "number", str: "text"}
    named |= {bool: "true or false", type(None): "null"}
    parts = get_args(hint) or (hint,)
    found = [named.get(one) for one in parts]
    return " or ".join(filter(None, found)) if all(found) else str(hint).replace("typing.", "")


def _default_words(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    plain = field.default is None or isinstance(field.default, int | float | str | list | tuple)
    return yaml.safe_dump(field.default).split("\n")[0] if plain else "its own"


def on_terminal(kind: str, wide: bool) -> Table:
    """The same for a terminal: strategies under the headings of their families, and what a narrow one has room for."""
    found = table(kind)
    if kind == "strategies":
        return _under_headings(found)
    kept = [place for place, name in enumerate(found.header) if wide or name not in WIDE_ONLY]
    if len(kept) == len(found.header):
        return found
    return Table(
        "",
        [found.header[place] for place in kept],
        [[row[place] for place in kept] for row in found.rows],
        right=frozenset(new for new, place in enumerate(kept) if place in found.right),
        note=f"Whole recipes: a terminal of {WIDE} columns, --json, or 'clbench describe scenario NAME'."
        if kind == "scenarios"
        else "",
    )


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _by_family() -> list[Listed]:
    """All strategies, family by family."""
    order = list(FAMILIES)
    return sorted(registry.strategy.listed.values(), key=lambda unit: order.index(unit.family))


def _under_headings(found: Table) -> Table:
    rows: list[list[str]] = []
    strong: set[tuple[int, int]] = set()
    for heading, group in groupby(found.rows, key=lambda row: row[1]):
        strong.add((len(rows), 0))
        rows += [[heading, ""], *([f"  {name}", summary] for name, _, summary in group)]
    return Table("", [found.header[0], found.header[2]], rows, strong=frozenset(strong))


def description(kind: str, name: str) -> Description:
    """Return a unit in full; UserError for an unknown name."""
    if kind == "metric":
        name = resolve(name, [*sorted(metrics.METRICS), *RELATIVE])
        doc = RELATIVE[name].summary if name in RELATIVE else metrics.METRICS[name].compute.__doc__ or ""
        return Description(f"metric {name}", _read(taken_apart(inspect.cleandoc(doc), ()).prose))
    if "." in name and kind != "model" and not (kind == "scenario" and scenario_parts(name)[0] != name):
        return _foreign(kind, name)
    if kind == "scenario":
        return _scenario(name)
    units = {"strategy": registry.strategy, "model": registry.model}[kind]
    unit = units.check(name)
    said = words(unit, units.listed)
    title = f"{kind} {name} ({FAMILIES[unit.family]})" if kind == "strategy" else f"{kind} {name}"
    options = _described(unit.options, kind, said.options)
    return Description(title, _read(_versioned(unit, said.prose)), options, _cost(unit, said))


def _scenario(name: str) -> Description:
    """A scenario: its own options, with the recipe's defaults, those of every scenario, and the recipe."""
    family, _ = scenario_parts(name)
    unit = registry.scenario.check(family)
    recipe = _recipe_of(name)
    chosen = recipe.get("scenario", {})
    own = [Option(o.name, o.type, _plain(chosen.get(o.name, o.default))) for o in unit.options]
    said = words(unit, registry.scenario.listed)
    shared, theirs = _shared()
    options = _described([*own, *shared], "scenario", {**said.options, **theirs})
    about = f"{standards()[name].about}\n\n" if name in standards() else ""
    doc = about + _read(_versioned(unit, said.prose))
    return Description(f"scenario {name}", doc, options, recipe=_as_yaml(stream_name(name), recipe))


def _shared() -> tuple[list[Option], Mapping[str, str]]:
    """The options of every scenario, and what is said of them."""
    from clbench.data import streams

    shared = common_options()
    theirs = taken_apart(inspect.cleandoc(streams.common_options.__doc__ or ""), [option.name for option in shared])
    return shared, theirs.options


def _plain(value: Any) -> str:
    return "null" if value is None else str(value)


def _as_yaml(name: str, recipe: Mapping[str, Any]) -> str:
    """A standard recipe as a config that 'clbench run --config' reads."""
    written = {"scenario": {"name": name} | dict(recipe.get("scenario", {}))} | {
        key: value for key, value in recipe.items() if key != "scenario" and value is not None
    }
    return yaml.safe_dump(written, sort_keys=False, default_flow_style=None, allow_unicode=True).strip()


def _described(options: Sequence[Option], section: str, said: Mapping[str, str]) -> list[Described]:
    return [Described(f"{section}.{one.name}", one.type, one.default, _read(said.get(one.name, ""))) for one in options]


def _cost(unit: Listed, said: Words) -> str:
    """What a strategy costs; where it costs what another does, in that one's words."""
    source = AS_FOR.match(said.cost)
    if source and source[1] in registry.strategy.listed and source[1] != unit.name:
        other = registry.strategy.listed[source[1]]
        return _cost(other, words(other, registry.strategy.listed))
    return _read(said.cost)


def _read(text: str) -> str:
    """Documentation for reading: names of options in plain quotes."""
    return text.replace("``", "'")


def _versioned(unit: Listed, prose: str) -> str:
    """A unit's documentation, its role if it is no method to judge, and its version if there was one before."""
    said = [prose, ROLES[unit.role]]
    said += [] if unit.version == 1 else [f"Version {unit.version}: older Results are told apart."]
    return "\n\n".join(filter(None, said))


def _summaries(word: str, units: registry.Registry) -> Table:
    return Table("", [word, "what it is"], [[unit.name, unit.summary] for unit in units.listed.values()])


def _recipe_of(name: str) -> Mapping[str, Any]:
    """A scenario's standard recipe; of a standard setting the stream's, with what the setting says."""
    family, source = scenario_parts(name)
    recipes: Mapping[str, Mapping[str, Any]] = registry.scenario.load(family).attributes["recipes"]
    vectors = source in SOURCES and SOURCES[source].is_vectors
    recipe = recipes.get(source, recipes["vectors" if vectors else "*"])
    return standards()[name].over(recipe) if name in standards() else recipe


def _recipe(name: str) -> list[str]:
    """Tasks, kind, model, optimiser, epochs and batch of a standard recipe, as text."""
    family, _ = scenario_parts(name)
    recipe = _recipe_of(name)
    defaults = {option.name: option.default for option in registry.scenario.listed[family].options}
    chosen = defaults | {key: str(value) for key, value in recipe.get("scenario", {}).items()}
    return [
        _tasks(chosen),
        chosen.get("incremental") or registry.scenario.load(family).attributes["kind"],
        _words(recipe["model"]),
        _words(recipe["optimizer"]),
        str(recipe["epochs"] or f"to {100 * recipe['until_train_accuracy']:g} %"),
        str(recipe["batch_size"]),
    ]


def _tasks(chosen: Mapping[str, str]) -> str:
    """How many tasks a recipe has, where that is not for the data to say."""
    if chosen.get("every", "rows") != "rows":
        return f"by {chosen['every']}"
    if chosen.get("first", "null") != "null":
        return f"{chosen['first']}, then {chosen['then']}"
    return chosen.get("tasks", chosen.get("periods", "–"))


def _words(section: Mapping[str, Any]) -> str:
    """``{name: sgd, lr: 0.05}`` as 'sgd lr 0.05'."""
    parts = [
        f"{key} {'-'.join(map(str, value)) if isinstance(value, list) else value}"
        for key, value in section.items()
        if key != "name"
    ]
    return f"{section['name']} {', '.join(parts)}".strip()
