"""The catalogue's front page: every strategy by family, then every other kind of unit."""

from __future__ import annotations

from itertools import groupby

from clbench import metrics, registry
from clbench.analysis.relative import RELATIVE
from clbench.data.known import SOURCES
from clbench.registry.catalogue import FAMILIES, Listed
from docs.catalogue import boards
from docs.catalogue.advice import standing
from docs.catalogue.scenarios import streams
from docs.catalogue.text import anchor, cell, escaped, page, slugs, table


def index_page() -> str:
    """Return the front page."""
    strategies = registry.strategy.listed
    parts = [
        "# Catalogue",
        f"{len(strategies)} strategies, {sum(map(len, streams().values()))} scenarios of "
        f"{len(registry.scenario.listed)} families, {len(registry.model.listed)} networks, "
        f"{len(metrics.METRICS) + len(RELATIVE)} metrics and {len(SOURCES)} named datasets. These pages are made from "
        "the code's own documentation and the committed Results.",
        "\n".join(
            [
                "- [Strategies](#strategies), and their [leaderboards](boards.md) and [recipes](recipes.md)",
                "- [Scenarios](#scenarios), and the [options of all of them](scenario-options.md)",
                "- [Networks](#networks)",
                "- [Metrics](metrics.md), [datasets](datasets.md), [optimisers](optimisers.md) and "
                "[diagnostics](diagnostics.md)",
            ]
        ),
        "## Strategies",
        "The last columns say how each stands to fine-tuning on the [committed leaderboards](boards.md): ★ may be the "
        "best there; *open*: the seeds cannot tell; –: the board does not have it.",
        *_families(),
        "## Scenarios",
        _scenarios(),
        "## Networks",
        _networks(),
    ]
    return page(*parts)


def _families() -> list[str]:
    """A table for each family, in the catalogue's order."""
    order = list(FAMILIES)
    units = sorted(registry.strategy.listed.values(), key=lambda unit: order.index(unit.family))
    pages, parts = slugs(registry.strategy.listed), []
    for family, group in groupby(units, key=lambda unit: unit.family):
        heading = FAMILIES[family]
        rows = [_row(unit, pages[unit.name]) for unit in group]
        parts.append(f"### {escaped(heading)}")
        parts.append(table(["strategy", "what it is", *(escaped(board.title) for board in boards.boards())], rows))
    return parts


def _row(unit: Listed, file: str) -> list[str]:
    return [
        f"[{escaped(unit.name)}](strategies/{file}.md)",
        cell(unit.summary),
        *(standing(unit.name, board) for board in boards.boards()),
    ]


def _scenarios() -> str:
    pages = slugs(registry.scenario.listed)
    rows = []
    for family, unit in registry.scenario.listed.items():
        linked = ", ".join(
            f"[{escaped(name)}](scenarios/{pages[family]}.md#{anchor(name)})" for name in streams()[family]
        )
        rows.append(
            [f"[{escaped(family)}](scenarios/{pages[family]}.md)", cell(unit.summary), linked or "your own data"]
        )
    return table(["family", "what it is", "streams"], rows)


def _networks() -> str:
    pages = slugs(registry.model.listed)
    rows = [
        [f"[{escaped(name)}](networks/{pages[name]}.md)", cell(unit.summary)]
        for name, unit in registry.model.listed.items()
    ]
    return table(["network", "what it is"], rows)
