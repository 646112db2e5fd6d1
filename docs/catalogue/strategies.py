"""A page for every strategy, written from its docstring, its contract and the committed Results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from clbench import registry
from clbench.registry.catalogue import FAMILIES, Listed, Option
from clbench.registry.words import words
from clbench.render import catalogue
from clbench.render.catalogue import ROLES, Described
from docs.catalogue import boards, chosen, evidence, sources
from docs.catalogue.advice import advice
from docs.catalogue.contract import Contract, Refusal, contracts, refused_with
from docs.catalogue.maths import equations
from docs.catalogue.text import (
    Link,
    anchor,
    block,
    cell,
    code,
    escaped,
    joined,
    page,
    prose,
    slug,
    slugs,
    table,
    values,
)

UP = "../"  # from a strategy's page to the catalogue
EXAMPLES = ("er", "ewc", "l2-init", "lwf")
MANY = 12  # names of a sentence; of more it says which kind they are


def strategy_page(unit: Listed) -> str:
    """Return the page of one strategy."""
    link = _linker()
    contract, places = contracts()[unit.name], boards.places(unit.name)
    said = words(unit, registry.strategy.listed)
    described = catalogue.description("strategy", unit.name)
    summary, _, rest = said.prose.partition("\n\n")
    return page(
        f"# {escaped(unit.name)}",
        prose(summary, link),
        _facts(unit, said.prose),
        block(f"clbench run --strategy {unit.name}", "sh"),
        _equation(said.prose),
        f"## What it does\n\n{prose(rest, link)}" if rest else "",
        ROLES[unit.role],
        f"## When to use it, and when not\n\n{advice(unit, contract, places, link)}",
        _on_boards(unit.name, places),
        evidence.of_strategy(unit.name),
        f"## Options\n\n{options_table(described.options, link)}",
        _cost(described.cost, places, link),
        _refusals(unit.name, contract),
        _composition(unit.name, link),
        chosen.of_strategy(unit.name),
    )


def options_table(options: Sequence[Described], link: Link | None = None) -> str:
    """Return options with their values, defaults and words; a sentence where there are none."""
    if not options:
        return "It has none.\n"
    first = options[0].key
    rows = [
        [code(one.key.partition(".")[2]), values(one.values), code(one.default), cell(one.words, link)]
        for one in options
    ]
    told = f"Each is a key of its section: `--set {first}=…`, in YAML or in Python."
    return page(told, table(["option", "values", "default", "what it is"], rows))


def with_words(section: str, options: Sequence[Option], words: Mapping[str, str]) -> list[Described]:
    """Return options of a section with the words that were found for them by name."""
    return [Described(f"{section}.{one.name}", one.type, one.default, words.get(one.name, "")) for one in options]


def _linker() -> Link:
    """Links from one strategy's page to another's."""
    pages = slugs(registry.strategy.listed)
    return lambda name: f"{pages[name]}.md" if name in pages else None


def _facts(unit: Listed, doc: str) -> str:
    family = FAMILIES[unit.family]
    lines = [f"- **Family:** [{escaped(family)}]({UP}index.md#{anchor(family)})", f"- **Role:** {unit.role}"]
    papers, places = sources.told(doc) or sources.told(unit.doc), sources.within(doc)
    lines += [f"- **Source:** {papers}"] if papers else []
    lines += [f"- **Of it:** {escaped(places)}"] if places else []
    lines += [f"- **Version:** {unit.version}; older Results are told apart"] if unit.version > 1 else []
    return "\n".join([*lines, f"- **Code:** {code(f'strategies/{unit.file.name}')}"])


def _equation(doc: str) -> str:
    found = equations(doc)
    return f"## Equation\n\n{block(chr(10).join(found))}" if found else ""


def _on_boards(name: str, places: Sequence[boards.Place]) -> str:
    """Where it stands, as a table and a picture; nothing where no board has it."""
    if not places:
        return ""
    alt = f"{escaped(name)} among all methods of the committed leaderboards"
    others = [place for place in places if place.as_other]
    told = f"Its runs are those of {code(others[0].entry.strategy)}, bit for bit, whose row this is." if others else ""
    return page(
        "## On the committed leaderboards",
        f"Mean and 95 % interval over {len(places[0].entry.seeds)} seeds, at default options and the scenarios' "
        "standard recipes. *Open* is not "
        "*equal*: the seeds cannot tell. *Of the way*: from fine-tuning to the bound, which has all data at once.",
        told,
        boards.places_table(places, UP),
        f"![{alt}]({slug(name)}.svg)",
    )


def _cost(cost: str, places: Sequence[boards.Place], link: Link) -> str:
    measured = "\n".join(f"- {prose(boards.kept(place))}" for place in places if not place.as_other)
    said = f"Beside fine-tuning: {prose(cost, link)}" if cost else ""
    return page("## Cost", said, f"Measured, mean over seeds:\n\n{measured}" if measured else "")


def _refusals(name: str, contract: Contract) -> str:
    """On which networks and streams it can work, as its own checks say at default options."""

    def rows(found: Sequence[Refusal]) -> list[list[str]]:
        return [[cell(one.where), "remarks" if one.remark else "refuses", cell(one.words)] for one in found]

    every = [*rows(contract.networks), *rows(contract.streams)]
    title = "## Networks and streams"
    if not every:
        return page(title, "At default options it refuses none of the networks and kinds of stream that clbench has.")
    told = "Asked before training, at default options; whatever is not named here it takes."
    return page(title, told, table(["on", "it", "in these words"], every))


def _composition(name: str, link: Link) -> str:
    found = refused_with(name, contracts())
    refused = {other for names in found.values() for other in names}
    example = next((one for one in EXAMPLES if one != name and one not in refused), "naive")
    parts = [f"## What it composes with\n\nA composition is written with a plus, {code(f'{name}+{example}')}."]
    if not found:
        return page(*parts, "No other strategy is refused beside it.")
    lines = []
    for why, names in sorted(found.items(), key=lambda one: len(one[1])):
        linked = joined([f"[{escaped(other)}]({link(other)})" for other in names])
        who = linked if len(names) <= MANY else f"{len(names)} strategies, among them {joined(linked.split(', ')[:3])}"
        lines.append(f"- {who}: {escaped(why)}")
    return page(*parts, "Refused beside it:", "\n".join(lines), "All others may be composed with it.")
