"""JSON schemas in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from docs.catalogue.text import code

Schema = Mapping[str, Any]
NAMES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "mapping",
}


def values(schema: Schema) -> str:
    """Return what a schema allows, in Markdown: 'whole number ≥ 1 or `null`'."""
    if "const" in schema:
        return code(str(schema["const"]))
    if "enum" in schema:
        return ", ".join(code(str(one)) for one in schema["enum"])
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(values(one) for one in schema["anyOf"]))
    kind = schema.get("type")
    if isinstance(kind, list):
        return " or ".join(values({**schema, "type": one}) for one in kind)
    if kind == "array":
        if "prefixItems" in schema:
            return f"[{', '.join(values(one) for one in schema['prefixItems'])}]".replace("[", "\\[").replace(
                "]", "\\]"
            )
        return f"list of: {values(schema.get('items', {}))}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"mapping of names to: {values(schema['additionalProperties'])}"
    if kind == "null":
        return code("null")
    return NAMES.get(str(kind), "anything") + _bounds(schema)


def _bounds(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f" from {low:g} to {high:g}"
    if low is not None:
        return f" ≥ {low:g}"
    if "exclusiveMinimum" in schema:
        return f" &#62; {schema['exclusiveMinimum']:g}"
    return ""


def default(schema: Schema) -> str:
    """Return a schema's default as code; empty where it has none."""
    if "default" not in schema:
        return ""
    value = schema["default"]
    written = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return code(written)
