"""A page for every network: what it is, its options, and which strategies refuse it."""

from __future__ import annotations

from clbench import registry
from clbench.registry.catalogue import Listed
from clbench.registry.words import words
from clbench.render import catalogue
from docs.catalogue import sources
from docs.catalogue.contract import Refusal, contracts, is_about
from docs.catalogue.strategies import options_table
from docs.catalogue.text import block, cell, code, escaped, page, prose, slugs, table


def model_page(unit: Listed) -> str:
    """Return the page of one network."""
    said = words(unit, registry.model.listed)
    summary, _, rest = said.prose.partition("\n\n")
    described = catalogue.description("model", unit.name)
    return page(
        f"# {escaped(unit.name)}",
        prose(summary),
        _facts(unit),
        block(f"clbench run --strategy er --model {unit.name}", "sh"),
        prose(rest),
        f"## Options\n\n{options_table(described.options)}",
        _refusals(unit.name),
    )


def _facts(unit: Listed) -> str:
    papers, places = sources.told(unit.doc), sources.within(unit.doc)
    lines = [f"- **Source:** {papers}"] if papers else []
    lines += [f"- **Of it:** {escaped(places)}"] if places else []
    lines += [f"- **Version:** {unit.version}; older Results are told apart"] if unit.version > 1 else []
    return "\n".join([*lines, f"- **Code:** {code(f'clbench/models/{unit.file.name}')}"])


def _refusals(name: str) -> str:
    """Which strategies do not work on it, by their own checks at default options."""
    pages = slugs(registry.strategy.listed)
    rows = []
    for strategy, contract in contracts().items():
        for refusal in contract.networks:
            if is_about(refusal, name):
                who = f"[{escaped(strategy)}](../strategies/{pages[strategy]}.md)"
                rows.append([who, _how(refusal), cell(refusal.words)])
    title = "## Strategies that refuse it"
    if not rows:
        return page(title, "None does, at default options.")
    told = (
        "Asked before training, at default options; strategies that refuse every network with one classifier, or every "
        "one with heads, are left out. All others take it."
    )
    return page(title, told, table(["strategy", "it", "in these words"], rows))


def _how(refusal: Refusal) -> str:
    return "remarks" if refusal.remark else "refuses"
