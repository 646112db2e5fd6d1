"""What a Result file holds, from the schema that 'clbench schema result' prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clbench.config.schema import result_schema
from clbench.store import SCHEMA_VERSION
from docs.catalogue.reference import schemas
from docs.catalogue.text import block, cell, code, page, prose, table


def result_page() -> str:
    """Return the page of the Result and its parts."""
    schema = result_schema()
    parts = [_part(name, one) for name, one in schema["$defs"].items()]
    return page(
        "# Result",
        f"One JSON file is one run. This is version {SCHEMA_VERSION} of the schema; files of older versions are read "
        "and brought up to date.",
        block("clbench schema result > result.schema.json", "sh"),
        _prose(schema.get("description", "")),
        _fields(schema),
        *parts,
    )


def _part(name: str, schema: Mapping[str, Any]) -> str:
    return page(f"## {name}", _prose(schema.get("description", "")), _fields(schema))


def _prose(text: str) -> str:
    return "\n\n".join(prose(part) for part in text.split("\n\n"))


def _fields(schema: Mapping[str, Any]) -> str:
    rows = []
    for name, one in schema.get("properties", {}).items():
        words = str(one.get("description", ""))
        needed = "yes" if name in schema.get("required", []) else "no"
        rows.append([code(name), schemas.values(one), needed, cell(words)])
    return table(["key", "values", "required", "what it is"], rows)
