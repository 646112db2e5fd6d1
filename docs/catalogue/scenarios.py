"""A page for every scenario family: what it is, its options, and each of its streams with its recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

from clbench import registry
from clbench.analysis.boards import Leaderboard
from clbench.config.names import scenario_parts
from clbench.config.shipped import shipped_recipes
from clbench.config.standard import standards
from clbench.data.known import scenario_names
from clbench.registry.catalogue import Listed, common_options
from clbench.registry.words import words
from clbench.render import catalogue
from clbench.render.leaderboards import answer
from docs.catalogue import boards, sources
from docs.catalogue.strategies import options_table
from docs.catalogue.text import anchor, block, cell, code, escaped, joined, page, prose, slugs, table

UP = "../"
DATA = {
    "images": "images",
    "tables": "tables of numbers and categories",
    "grouped": "data whose rows say where they belong",
    "any": "images and tables",
}


@cache
def streams() -> Mapping[str, Sequence[str]]:
    """Return the names that 'clbench list scenarios' shows, by family."""
    found: dict[str, list[str]] = {family: [] for family in registry.scenario.listed}
    for family, source in scenario_names(registry.scenario.listed):
        found[family].append(f"{family}-{source}")
    for name in standards():
        found[scenario_parts(name)[0]].append(name)
    return found


def stream_link(name: str) -> str:
    """Return where a stream is described, from the catalogue's folder."""
    pages = slugs(registry.scenario.listed)
    return f"scenarios/{pages[scenario_parts(name)[0]]}.md#{anchor(name)}"


def family_page(unit: Listed) -> str:
    """Return the page of one family."""
    said, names = words(unit, registry.scenario.listed), streams()[unit.name]
    common = {option.name for option in common_options()}
    example = names[0] if names else f"{unit.name}-digits"
    described = catalogue.description("scenario", example)
    own = [option for option in described.options if option.key.partition(".")[2] not in common]
    summary, _, rest = said.prose.partition("\n\n")
    return page(
        f"# {escaped(unit.name)}",
        prose(summary),
        _facts(unit),
        _command(unit, names),
        prose(rest),
        f"## Options\n\nBeside them it has [those of every scenario](../scenario-options.md). Defaults are those of "
        f"{code(example)}.\n\n{options_table(own)}",
        _streams(names),
        _on_boards(unit.name),
        _tuned(names),
        *map(_recipe, names),
    )


def _facts(unit: Listed) -> str:
    kind = registry.scenario.load(unit.name).attributes.get("kind")
    kind = kind or "chosen by the option scenario.incremental"
    papers, places = sources.told(unit.doc), sources.within(unit.doc)
    lines = [f"- **Kind:** {escaped(kind)}", f"- **Data:** {DATA.get(unit.data, unit.data)}"]
    lines += [f"- **Source:** {papers}"] if papers else []
    lines += [f"- **Of it:** {escaped(places)}"] if places else []
    lines += [f"- **Version:** {unit.version}; Results of older ones stand on boards of their own"] * (unit.version > 1)
    return "\n".join([*lines, f"- **Code:** {code(f'scenarios/{unit.file.name}')}"])


def _command(unit: Listed, names: Sequence[str]) -> str:
    if names:
        return block(f"clbench run --scenario {names[0]} --strategy er", "sh")
    return block(f"clbench run --scenario {unit.name} --data FILE --strategy er", "sh")


def _streams(names: Sequence[str]) -> str:
    """The rows of 'clbench list scenarios' that are this family's."""
    if not names:
        return page("## Streams", "It has no named stream: it is for your own data.")
    rows = [
        [f"[{escaped(row[0])}](#{anchor(row[0])})", *map(cell, row[1:])]
        for row in catalogue.table("scenarios").rows
        if row[0] in names
    ]
    header = catalogue.table("scenarios").header
    return page(
        "## Streams", "Each with its standard recipe, which fills in whatever a run does not give.", table(header, rows)
    )


def _on_boards(family: str) -> str:
    found = [board for board in boards.boards() if scenario_parts(board.scenario)[0] == family]
    return page("## On the committed leaderboards", *map(_board, found)) if found else ""


def _board(board: Leaderboard) -> str:
    return f"[{escaped(board.title)}]({UP}boards.md#{anchor(board.title)}): {prose(answer(board))}"


def _tuned(names: Sequence[str]) -> str:
    """For which strategies settings are shipped on these streams."""
    pages = slugs(registry.strategy.listed)
    lines = []
    for name in names:
        known = [strategy for strategy, scenarios in shipped_recipes().items() if name in scenarios]
        linked = [f"[{escaped(one)}]({UP}strategies/{pages[one]}.md)" for one in known if one in pages]
        lines += [f"- {escaped(name)}: {joined(linked)}"] if linked else []
    return page("## Shipped settings", "`--tuned` has settings of:", "\n".join(lines)) if lines else ""


def _recipe(name: str) -> str:
    """One stream: what it is, where it is a standard setting, and its recipe."""
    about = prose(standards()[name].about) if name in standards() else ""
    return page(f"### {escaped(name)}", about, block(catalogue.description("scenario", name).recipe, "yaml"))


def options_page() -> str:
    """The page of the options that every scenario has."""
    family = next(name for name, names in streams().items() if names)
    common = {option.name for option in common_options()}
    described = catalogue.description("scenario", streams()[family][0])
    shared = [option for option in described.options if option.key.partition(".")[2] in common]
    return page("# Options of every scenario", "Every family has these beside its own.", options_table(shared))
