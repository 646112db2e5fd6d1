"""The public Python interface, with signatures and docstrings by inspection."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import clbench
from clbench import api
from docs.catalogue.text import anchor, block, cell, code, escaped, page, prose, table

LEVEL = 100  # characters of a signature on one line


def python_page() -> str:
    """Return the page of everything in ``clbench.__all__``."""
    found = {name: getattr(api, name, None) or getattr(clbench, name) for name in clbench.__all__}
    rows = [[f"[{code(f'cl.{name}')}](#{anchor(_title(name, one))})", cell(_first(one))] for name, one in found.items()]
    return page(
        "# Python",
        prose(inspect.getdoc(clbench) or ""),
        block("import clbench as cl", "python"),
        table(["name", "what it is"], rows),
        *(_section(name, one) for name, one in found.items()),
    )


def _title(name: str, thing: Any) -> str:
    """A heading: 'stream' and 'class Stream' are two."""
    return f"class {name}" if inspect.isclass(thing) else name


def _first(thing: Any) -> str:
    return " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())


def _section(name: str, thing: Any) -> str:
    """A name's section: signature, documentation, and of a class its public members."""
    heading = f"## {escaped(_title(name, thing))}"
    parts = [heading, block(signature(f"cl.{name}", thing), "python"), documentation(thing)]
    if inspect.isclass(thing):
        parts += [_member(name, member, value) for member, value in members(thing)]
    return page(*parts)


def members(kind: type) -> Iterator[tuple[str, Any]]:
    """Return a class's own public methods and properties."""
    for name, value in vars(kind).items():
        is_member = inspect.isfunction(value) or isinstance(value, property | classmethod | staticmethod)
        if is_member and not name.startswith("_"):
            yield name, value


def _member(owner: str, name: str, value: Any) -> str:
    heading = f"### {escaped(f'{owner}.{name}')}"
    if isinstance(value, property):
        hint = value.fget.__annotations__.get("return", "") if value.fget else ""
        return page(heading, block(f"{name}: {hint}" if hint else name, "python"), documentation(value))
    inner = value.__func__ if isinstance(value, classmethod | staticmethod) else value
    return page(heading, block(signature(name, inner, is_method=True), "python"), documentation(inner))


def signature(name: str, thing: Any, is_method: bool = False) -> str:
    """Return a signature as it is written in Python, on one line or a parameter a line."""
    try:
        found = inspect.signature(thing)
    except (TypeError, ValueError):
        return name
    parameters = [*found.parameters.values()][1 if is_method else 0 :]
    shown, star = [], False
    for one in parameters:
        if one.kind is one.KEYWORD_ONLY and not star:
            shown.append("*")
            star = True
        star = star or one.kind is one.VAR_POSITIONAL
        shown.append(_parameter(one))
    returns = "" if found.return_annotation in (found.empty, None, "None") else f" -> {_hint(found.return_annotation)}"
    line = f"{name}({', '.join(shown)}){returns}"
    if len(line) <= LEVEL:
        return line
    return "\n".join([f"{name}(", *(f"    {one}," for one in shown), f"){returns}"])


def _parameter(one: inspect.Parameter) -> str:
    stars = "*" if one.kind is one.VAR_POSITIONAL else "**" if one.kind is one.VAR_KEYWORD else ""
    hint = "" if one.annotation is one.empty else f": {_hint(one.annotation)}"
    if one.default is one.empty:
        return f"{stars}{one.name}{hint}"
    value = "…" if " object at 0x" in repr(one.default) or "<" in repr(one.default) else repr(one.default)
    return f"{stars}{one.name}{hint} = {value}" if hint else f"{stars}{one.name}={value}"


def _hint(hint: Any) -> str:
    return hint if isinstance(hint, str) else inspect.formatannotation(hint)


def documentation(thing: Any) -> str:
    """Return a docstring as Markdown: paragraphs, and indented lines as code."""
    parts = []
    for part in (inspect.getdoc(thing) or "").split("\n\n"):
        lines = part.split("\n")
        is_code = all(line.startswith(("    ", ">>> ")) or not line for line in lines)
        parts.append(block(inspect.cleandoc(part), "python") if is_code and part.strip() else prose(" ".join(lines)))
    return "\n\n".join(part.strip("\n") for part in parts)
