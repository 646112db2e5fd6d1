"""Every command with its arguments, options and examples, from the command line's own declarations."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import typer
from rich.text import Text

from clbench.cli import app
from docs.catalogue.text import anchor, block, cell, code, escaped, page, prose, table

# How types of parameters read.
TYPES: dict[Any, str] = {str: "text", int: "whole number", float: "number", Path: "path", bool: "flag"}


@dataclass(frozen=True)
class Command:
    """A command by its whole name, as Typer has made it."""

    name: str
    made: Any

    @property
    def help(self) -> str:
        """Its documentation, as written."""
        function = self.made.callback
        return inspect.getdoc(inspect.unwrap(function)) or "" if function else plain(self.made.help or "")


def every() -> Iterator[Command]:
    """Return all commands and groups, each group before its commands."""
    root = typer.main.get_command(app)
    yield from _below("clbench", root)


def _below(name: str, made: Any) -> Iterator[Command]:
    yield Command(name, made)
    for word, one in getattr(made, "commands", {}).items():
        if not one.hidden:
            yield from _below(f"{name} {word}", one)


def commands_page() -> str:
    """Return the page of all commands."""
    found = [one for one in every() if one.name != "clbench"]
    rows = [
        [f"[{code(one.name)}](#{anchor(one.name)})", cell(one.help.split("\n\n")[0])]
        for one in found
        if not getattr(one.made, "commands", {})
    ]
    intro = (
        "`--help` behind any of them shows the same. Completion of names and keys: "
        "`clbench --install-completion`. What [exit codes](exit-codes.md) mean is the same everywhere."
    )
    return page("# Commands", intro, table(["command", "what it does"], rows), *map(_command, found))


def _command(one: Command) -> str:
    """A command's section: usage, documentation, parameters, examples."""
    level = "#" * one.name.count(" ") + "#"
    heading = f"{level} {escaped(one.name)}"
    if getattr(one.made, "commands", {}):
        return page(heading, prose(one.help))
    hints = _declared(one)
    arguments = [parameter for parameter in one.made.params if not _is_option(parameter)]
    usage = " ".join([one.name, "[OPTIONS]", *map(_shown, arguments)])
    rows = [_row(parameter, hints) for parameter in one.made.params if parameter.name in hints]
    return page(
        heading,
        block(usage, "text"),
        "\n\n".join(prose(part) for part in one.help.split("\n\n")),
        table(["option", "values", "default", "what it is"], rows) if rows else "",
        _examples(one.made.epilog or ""),
    )


def _declared(one: Command) -> dict[str, tuple[Any, Any]]:
    """Each parameter's type and declaration, by name."""
    function = inspect.unwrap(one.made.callback)
    found = {}
    for name, hint in get_type_hints(function, include_extras=True).items():
        inner, *told = get_args(hint) if hasattr(hint, "__metadata__") else (hint,)
        found[name] = inner, told[0] if told else None
    return found


def _row(parameter: Any, hints: dict[str, tuple[Any, Any]]) -> list[str]:
    hint, declared = hints[parameter.name]
    words = plain(parameter.help or "")
    before, _, after = words.partition("[default: ")
    default = after.rstrip("]") if after else _default(parameter, hint)
    names = ", ".join(code(name) for name in sorted(parameter.opts, key=len, reverse=True))
    shown = names if _is_option(parameter) else code(_shown(parameter))
    default = code(default) if default and " " not in default and default != "required" else cell(default)
    return [shown, _values(hint, declared), default, cell(before.strip())]


def _default(parameter: Any, hint: Any) -> str:
    value = parameter.default
    value = value.value if isinstance(value, Enum) else value
    if parameter.required:
        return "required"
    return "" if value is None or value == [] or hint is bool or callable(value) else str(value)


def _values(hint: Any, declared: Any) -> str:
    """A parameter's values in words: choices, type, bounds, whether it may be repeated."""
    if get_origin(hint) in (Union, UnionType):
        hint = next(part for part in get_args(hint) if part is not type(None))
    many = get_origin(hint) is list
    hint = get_args(hint)[0] if many else hint
    if inspect.isclass(hint) and issubclass(hint, Enum):
        said = ", ".join(code(str(one.value)) for one in hint)
    else:
        said = TYPES.get(hint, getattr(hint, "__name__", str(hint)))
    low, high = getattr(declared, "min", None), getattr(declared, "max", None)
    if low is not None and high is not None:
        said += f" from {low:g} to {high:g}"
    elif low is not None:
        said += f" ≥ {low:g}"
    metavar = getattr(declared, "metavar", None)
    said = code(metavar) if metavar else said
    return f"{said}; repeatable" if many else said


def _is_option(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "option")


def _shown(parameter: Any) -> str:
    """An argument as in a usage line."""
    name = str(parameter.metavar or parameter.name).upper().strip("[]{}")
    name = f"{name}…" if parameter.nargs == -1 else name
    return name if parameter.required else f"[{name}]"


def _examples(epilog: str) -> str:
    """Examples as they stand below a command's help; headings in bold begin another part."""
    parts, lines = [], list[str]()
    for line in [*epilog.splitlines(), "[bold]"]:
        if line.startswith("[bold]"):
            text = "\n".join(one for one in lines if one)
            parts.append(block(text, "sh" if text.startswith("clbench") else "text") if text else "")
            parts.append(f"**{escaped(plain(line))}**" if plain(line) else "")
            lines = []
        else:
            lines.append(re.sub(r"\s{2,}\((.*)\)$", r"  # \1", plain(line)))
    return page(*parts) if any(parts) else ""


def plain(text: str) -> str:
    """Text without the marks of rich."""
    return Text.from_markup(text).plain
