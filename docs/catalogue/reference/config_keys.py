"""Every key of a configuration, from the schema that 'clbench schema config' prints."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import clbench
from clbench.config.schema import config_schema
from clbench.registry.catalogue import options_of_function
from clbench.registry.words import taken_apart
from clbench.render.catalogue import Described
from docs.catalogue.reference import schemas
from docs.catalogue.strategies import options_table, with_words
from docs.catalogue.text import block, cell, code, page, prose, table

PACKAGE = Path(clbench.__file__).parent
# Sections whose options are the units' own, and the page of the catalogue that has them.
UNITS = {
    "strategy": "../catalogue/index.md#strategies",
    "scenario": "../catalogue/index.md#scenarios",
    "model": "../catalogue/index.md#networks",
    "optimizer": "../catalogue/optimisers.md",
}
EXAMPLE = """strategy: {name: ewc, lam: 5}
scenario: {name: permuted-mnist, tasks: 10}
optimizer: {name: sgd, lr: 0.05}
epochs: 1
seeds: 3"""


def keys_page() -> str:
    """Return the page of all keys."""
    properties: Mapping[str, Mapping[str, Any]] = config_schema()["properties"]
    rows = [_row(key, schema) for key, schema in properties.items()]
    return page(
        "# Keys of a configuration",
        prose(
            "The same keys work in a YAML file (``clbench run --config``), behind ``--set`` (``--set strategy.lam=5``) "
            "and as arguments of ``clbench.run``. What is not given comes from the scenario's standard recipe, then "
            "from the default. ``clbench schema config`` prints the schema for editors."
        ),
        block(EXAMPLE, "yaml"),
        table(["key", "values", "default", "what it is"], rows),
        "## Options of data",
        options_table(_described("data", PACKAGE / "data" / "description.py", "data_options")),
        "## Options of pretrain",
        _doc(PACKAGE / "config" / "__init__.py", "pretraining"),
        options_table(_described("pretrain", PACKAGE / "config" / "__init__.py", "pretraining")),
        "## Options of units",
        "Each unit of the [catalogue](../catalogue/index.md) has its own: `strategy.lam` of the strategy, "
        "`model.width` of the network. Of a composition's part it is `strategy.lam` if one part alone has it, else "
        "`strategy.ewc.lam`.",
    )


def _row(key: str, schema: Mapping[str, Any]) -> list[str]:
    words = str(schema.get("description", ""))
    if key in UNITS:
        return [code(key), f"[a name]({UNITS[key]}), or a mapping of name and options", "", cell(words)]
    return [code(key), schemas.values(schema), schemas.default(schema), cell(words)]


def _described(section: str, file: Path, function: str) -> list[Described]:
    options = options_of_function(file, function)
    said = taken_apart(_docstring(file, function), [option.name for option in options]).options
    return with_words(section, options, said)


def _doc(file: Path, function: str) -> str:
    """What a function that declares options says before them: 'Declare the options of …: what they are of.'."""
    names = [option.name for option in options_of_function(file, function)]
    text = taken_apart(_docstring(file, function), names).prose.partition(": ")[2]
    return prose(text[:1].upper() + text[1:])


def _docstring(file: Path, function: str) -> str:
    nodes = ast.parse(file.read_text(encoding="utf-8")).body
    return next(
        ast.get_docstring(node) or "" for node in nodes if isinstance(node, ast.FunctionDef) and node.name == function
    )
