"""What source text says of the units it declares: names, documentation, options. Nothing is imported."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from clbench.errors import UserError
from clbench.roles import Role, checked

# How the option types of clbench.registry read in a table.
WORDS = {
    "NonNegative": "number ≥ 0",
    "Positive": "number > 0",
    "UnitInterval": "number from 0 to 1",
    "Share": "number from 0, below 1",
    "Ratio": "number ≥ 1",
    "Count": "whole number ≥ 1",
    "bool": "true or false",
    "float": "number",
    "int": "whole number",
    "str": "text",
    "None": "null",
}


# Families of strategies, in the order of the catalogue: what a decorator says → its heading.
FAMILIES = {
    "penalty": "quadratic penalties",
    "interpolation": "explicit interpolation",
    "distillation": "distillation",
    "memory": "memory",
    "network": "networks divided or grown",
    "frozen": "classifiers on frozen features",
    "plasticity": "warm starts and plasticity",
    "regulariser": "regularisers of training",
    "removal": "forgetting on request",
    "bound": "bounds and controls",
    "other": "other",
}


@dataclass(frozen=True)
class Option:
    """An option of a unit, as text."""

    name: str
    type: str
    default: str


@dataclass(frozen=True)
class Listed:
    """A unit as its source text declares it."""

    name: str
    doc: str
    file: Path
    module: str | None  # None: a single file given with --plugin
    arguments: ast.arguments | None
    version: int = 1
    concerns: Sequence[str] | None = None
    role: Role = "method"
    family: str = "other"  # one of FAMILIES; of strategies
    data: str = "any"  # "images" or "tables" where a scenario is for those alone, "grouped": of a user's own in groups

    def version_with(self, options: Mapping[str, Any]) -> int:
        """The version that a run with these options has."""
        return version_with(self.version, self.concerns, options)

    @property
    def summary(self) -> str:
        """First paragraph of the documentation, on one line."""
        return self.doc.split("\n\n")[0].replace("\n", " ")

    @cached_property
    def options(self) -> list[Option]:
        """Keyword-only parameters, with aliases such as ``FisherKind`` spelt out."""
        return options_of(self.arguments, self.file) if self.arguments else []


def scan(file: Path, kind: str, module: str | None) -> list[Listed]:
    """Return the units of a kind that a file declares with ``@kind("name")``; UserError if it is no Python."""
    units = []
    for node in _parse(file).body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        for decorator in node.decorator_list:
            match decorator:
                case ast.Call(func=ast.Name(id=called), args=[ast.Constant(value=str(name)), *_]) if called == kind:
                    doc, said = ast.get_docstring(node) or "", _said(decorator)
                    said["role"] = checked(said.get("role", "method"), f"{file}, {kind} '{name}'")
                    units.append(Listed(name, doc, file, module, _arguments(node), **said))
    return units


def version_with(version: int, concerns: Sequence[str] | None, options: Mapping[str, Any]) -> int:
    """The version of a unit with these options: 1 if its version concerns none of those that are on."""
    return version if concerns is None or any(options.get(option) for option in concerns) else 1


SAID = ("version", "concerns", "role", "family", "data")


def _said(decorator: ast.Call) -> dict[str, Any]:
    """What a decorator says of the unit's version, role and family, as far as it is literal."""
    found = {str(keyword.arg): keyword.value for keyword in decorator.keywords}
    literal = {name: value for name, value in found.items() if isinstance(value, ast.Constant | ast.Tuple)}
    said = {name: ast.literal_eval(value) for name, value in literal.items() if name in SAID}
    if said.get("family") not in FAMILIES:
        said.pop("family", None)
    return said


def options_of_function(file: Path, function: str) -> list[Option]:
    """Return the options of one function in a file."""
    for node in _parse(file).body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            return options_of(node.args, file)
    raise LookupError(function)


def functions_with(option: str, file: Path) -> dict[str, list[Option]]:
    """Return the options of every function of a file that has a certain one, by the function's name."""
    found = {node.name: options_of(node.args, file) for node in _parse(file).body if isinstance(node, ast.FunctionDef)}
    return {name: options for name, options in found.items() if option in {one.name for one in options}}


def common_options() -> list[Option]:
    """Return the options that every scenario has."""
    return options_of_function(Path(__file__).parents[1] / "data" / "streams.py", "common_options")


def options_of(arguments: ast.arguments, file: Path) -> list[Option]:
    """Return keyword-only parameters as options."""
    aliases = _aliases(file)
    options = []
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        shown = "required" if default is None else _plain(default)
        options.append(Option(argument.arg, _words(argument.annotation, aliases), shown))
    return options


def _parse(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise unreadable(file, error.lineno, error.msg) from None
    except (OSError, ValueError) as error:
        raise unreadable(file, None, error) from None


def unreadable(file: Path, line: int | None, why: object) -> UserError:
    """Return the error for a source file that is no Python, or that raises when it is run."""
    where = f", line {line}" if line else ""
    return UserError(f"{file}{where} cannot be read as Python: {why}. Correct the file or leave it out.")


def _arguments(node: ast.FunctionDef | ast.ClassDef) -> ast.arguments | None:
    if isinstance(node, ast.FunctionDef):
        return node.args
    for child in node.body:
        if isinstance(child, ast.FunctionDef) and child.name == "__init__":
            return child.args
    return None


def _aliases(file: Path) -> dict[str, ast.expr]:
    """Type aliases such as ``Norm = Literal[…]`` of a file and of the clbench modules that it imports from."""
    tree = _parse(file)
    aliases: dict[str, ast.expr] = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            source = _module_file(node.module, node.level, file)
            if source is not None:
                aliases |= _assigned(_parse(source))
    return aliases | _assigned(tree)


def _assigned(tree: ast.Module) -> dict[str, ast.expr]:
    """Aliases that a file itself assigns."""
    return {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        if isinstance(node.value, ast.Subscript | ast.BinOp)
    }


def _module_file(module: str, level: int, file: Path) -> Path | None:
    """The file of a sibling module or of one of clbench's own; None for any other."""
    if level == 1:
        found = file.parent / f"{module.replace('.', '/')}.py"
    elif module.startswith("clbench."):
        found = Path(__file__).parents[1] / f"{module.removeprefix('clbench.').replace('.', '/')}.py"
    else:
        return None
    package = found.with_suffix("") / "__init__.py"
    return next((one for one in (found, package) if one.is_file()), None)


def _words(annotation: ast.expr | None, aliases: dict[str, ast.expr]) -> str:
    """A type in words: ``NonNegative`` is 'number ≥ 0', a Literal is its values."""
    match annotation:
        case None:
            return "anything"
        case ast.BinOp(left=left, right=right):
            return f"{_words(left, aliases)} or {_words(right, aliases)}"
        case ast.Constant(value=value):
            return "null" if value is None else str(value)
        case ast.Name(id=name) if name in WORDS:
            return WORDS[name]
        case ast.Name(id=name) if name in aliases:
            return _words(aliases[name], aliases)
        case ast.Subscript(value=ast.Name(id="Literal"), slice=ast.Tuple(elts=choices)):
            return " | ".join(_plain(choice) for choice in choices)
        case ast.Subscript(value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[inner, *_])):
            return _words(inner, aliases)
        case ast.Subscript(value=ast.Name(id="tuple"), slice=ast.Tuple(elts=[inner, ast.Constant()])):
            return f"list of: {_words(inner, aliases)}"
        case ast.Subscript(value=ast.Name(id="list"), slice=inner):
            return f"list of: {_words(inner, aliases)}"
    return ast.unparse(annotation)


def _plain(value: ast.expr) -> str:
    """A default as it is written in YAML."""
    match value:
        case ast.Constant(value=None):
            return "null"
        case ast.Constant(value=bool(truth)):
            return str(truth).lower()
        case ast.Constant(value=str(text)):
            return text
        case ast.Tuple(elts=values):
            return f"[{', '.join(map(_plain, values))}]"
    return ast.unparse(value)
