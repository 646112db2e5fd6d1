"""Settings that were chosen: recipes that clbench ships, and how default strengths came about."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import yaml

from clbench.config.keys import written
from clbench.config.shipped import shipped_recipe, shipped_recipes
from clbench.store import flat
from docs.catalogue.boards import BASELINE
from docs.catalogue.text import anchor, block, code, escaped, page, prose, table

HEAD = re.compile(r"^\| (?P<name>\S+): (?P<option>\S+) \|", re.MULTILINE)


@cache
def strengths() -> Mapping[str, str]:
    """Return the committed table of a strategy's strengths, in Markdown, by its name."""
    text = (BASELINE / "strengths.md").read_text(encoding="utf-8")
    found = {}
    for part in text.split("\n\n"):
        head = HEAD.match(part)
        if head:
            found[head["name"]] = part.strip()
    return found


def of_strategy(name: str) -> str:
    """Return what was chosen for a strategy; empty where nothing was."""
    parts = []
    for scenario in shipped_recipes().get(name, []):
        command = f"clbench run --strategy {name} --scenario {scenario} --tuned"
        parts.append(f"### {escaped(scenario)}\n\n{block(command, 'sh')}\n{block(_written(name, scenario), 'yaml')}")
    tuned = ["Chosen by `clbench tune` on other tasks than those they are scored on, and shipped:", *parts]
    table_of_strengths = strengths().get(name, "")
    default = (
        [
            "### The default strength",
            "Points of validation accuracy above fine-tuning's at each strength; in bold the default. "
            f"[How it was chosen](../recipes.md#{anchor('Default strengths')}).",
            table_of_strengths,
        ]
        if table_of_strengths
        else []
    )
    return page("## Chosen settings", *(tuned if parts else []), *default) if parts or default else ""


def _written(name: str, scenario: str) -> str:
    recipe = {key: value for key, value in shipped_recipe(name, scenario).items() if key != "tuned"}
    return yaml.safe_dump(recipe, sort_keys=False, default_flow_style=None, allow_unicode=True)


def recipes_page(pages: Mapping[str, str]) -> str:
    """The page of all shipped settings, and of how default strengths were chosen; ``pages``: strategies' slugs."""
    rows = []
    for name, scenarios in shipped_recipes().items():
        for scenario in scenarios:
            recipe: dict[str, Any] = shipped_recipe(name, scenario)
            settings = flat({key: recipe[key] for key in ("optimizer", "strategy") if key in recipe})
            told = ", ".join(
                code(f"{key}={written(value)}") for key, value in settings.items() if not key.endswith(".name")
            )
            rows.append([escaped(scenario), f"[{escaped(name)}](strategies/{pages[name]}.md)", told or "–"])
    text = (BASELINE / "strengths.md").read_text(encoding="utf-8")
    intro = "\n\n".join(part for part in text.split("\n\n")[1:] if not part.startswith("|"))
    vectors = (BASELINE / "recipes.md").read_text(encoding="utf-8").partition("\n")[2]
    return page(
        "# Recipes",
        "A scenario's standard recipe fills in whatever a run does not give. Beside it there are settings that were "
        "chosen for one strategy on one scenario.",
        "## Shipped settings",
        prose(
            "``clbench run --tuned`` takes them. They were chosen on other tasks of the stream than those of the run."
        ),
        table(["scenario", "strategy", "chosen"], sorted(rows)),
        "## Default strengths",
        prose(intro.replace("`python -m tests.bench.strengths`", "``python -m tests.bench.strengths``")),
        "Each table stands on its strategy's page: "
        + ", ".join(f"[{escaped(name)}](strategies/{pages[name]}.md)" for name in strengths() if name in pages)
        + ".",
        "## Recipes for vectors",
        vectors,
    )
