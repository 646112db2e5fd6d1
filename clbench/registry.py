"""Strategies, scenarios and models: how they are declared, found, described and made.

A unit is a function or class under a decorator, in a file of its own. Its keyword-only parameters *are* its options:
their types, ranges and defaults give ``--set`` validation, ``clbench describe`` and the documentation.
Names and summaries are read from the source text, so listing them imports nothing.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

from annotated_types import Ge, Gt, Le, Lt

from clbench.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from pydantic import BaseModel

Unit = TypeVar("Unit", bound=Callable[..., Any])

# Types for options, with their ranges.
NonNegative = Annotated[float, Ge(0)]
Positive = Annotated[float, Gt(0)]
UnitInterval = Annotated[float, Ge(0), Le(1)]
Share = Annotated[float, Ge(0), Lt(1)]
Count = Annotated[int, Ge(1)]
Index = Annotated[int, Ge(0)]


@dataclass(frozen=True)
class Declared:
    """A unit that is loaded: the callable that makes it and what its decorator said."""

    name: str
    make: Callable[..., Any]
    attributes: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def schema(self) -> type[BaseModel]:
        """The unit's options as a pydantic model."""
        return options_model(self.name, self.make)


@dataclass(frozen=True)
class Listed:
    """A unit as its source text declares it; nothing is imported."""

    name: str
    summary: str
    file: Path
    module: str | None  # None: a single file given with --plugin


class Registry:
    """All units of one kind: found by folder, entry-point group or plugin file."""

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self.package = package
        self._declared: dict[str, Declared] = {}
        self._plugin_files: list[Path] = []

    def __call__(self, name: str, **attributes: Any) -> Callable[[Unit], Unit]:
        """Declare a unit: ``@strategy("ewc")``. The name must be a literal, since it is read from the text."""

        def declare(unit: Unit) -> Unit:
            known = self._declared.get(name)
            if known is not None and known.make.__module__ != unit.__module__:
                raise UserError(
                    f"{self.kind} '{name}' is declared twice, in {known.make.__module__} and {unit.__module__}. "
                    "Rename one of them."
                )
            self._declared[name] = Declared(name, unit, attributes)
            return unit

        return declare

    def add_file(self, path: Path) -> None:
        """Take units of this kind from one more source file (``--plugin``)."""
        self._plugin_files.append(path)
        self.__dict__.pop("listed", None)

    @cached_property
    def listed(self) -> dict[str, Listed]:
        """Every unit by name, in alphabetical order, read from source text."""
        found: dict[str, Listed] = {}
        for module, file in self._sources():
            for unit in _scan(file, self.kind, module):
                if unit.name in found:
                    raise UserError(
                        f"{self.kind} '{unit.name}' is declared twice, in {found[unit.name].file} and {file}. "
                        "Rename one of them."
                    )
                found[unit.name] = unit
        return dict(sorted(found.items()))

    def _sources(self) -> list[tuple[str | None, Path]]:
        """(module, file) of everything that may declare units of this kind."""
        spec = importlib.util.find_spec(self.package)
        assert spec is not None
        assert spec.submodule_search_locations is not None
        folder = Path(next(iter(spec.submodule_search_locations)))
        sources: list[tuple[str | None, Path]] = [
            (f"{self.package}.{file.stem}", file)
            for file in sorted(folder.glob("*.py"))
            if not file.name.startswith("_")
        ]
        for point in entry_points(group=self.package):
            other = importlib.util.find_spec(point.module)
            if other is not None and other.origin is not None:
                sources.append((point.module, Path(other.origin)))
        return sources + [(None, file) for file in self._plugin_files]

    def check(self, name: str) -> Listed:
        """Return the listing of a name, or raise UserError with the nearest one."""
        if name not in self.listed:
            raise UserError(
                f"Unknown {self.kind} '{name}'.{did_you_mean(name, self.listed)} "
                f"'clbench list {plural(self.kind)}' shows all {len(self.listed)}."
            )
        return self.listed[name]

    def load(self, name: str) -> Declared:
        """Import the unit's module and return the unit."""
        if name not in self._declared:
            unit = self.check(name)
            if unit.module is not None:
                importlib.import_module(unit.module)
            else:
                _import_file(unit.file)
        return self._declared[name]


def plural(kind: str) -> str:
    """Return the word the command line uses for all of a kind."""
    return "strategies" if kind == "strategy" else f"{kind}s"


def _scan(file: Path, kind: str, module: str | None) -> list[Listed]:
    """Units of a kind that a source file declares, by its text."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{file} cannot be read as Python: {error}. Correct the file or leave it out.") from None
    units = []
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        for decorator in node.decorator_list:
            match decorator:
                case ast.Call(func=ast.Name(id=called), args=[ast.Constant(value=str(name)), *_]) if called == kind:
                    summary = (ast.get_docstring(node) or "").split("\n\n")[0].replace("\n", " ")
                    units.append(Listed(name, summary, file, module))
    return units


def _import_file(file: Path) -> None:
    """Run a plugin file once, as a module of its own."""
    name = f"clbench_plugin_{file.stem}"
    if name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


def options_model(name: str, make: Callable[..., Any], *, keyword_only: bool = True) -> type[BaseModel]:
    """Turn a callable's parameters into a pydantic model that refuses unknown keys, NaN and infinity.

    By default only keyword-only parameters are options; the others are what the engine hands over.
    """
    from pydantic import ConfigDict, create_model

    target = make.__init__ if inspect.isclass(make) else make
    try:
        hints = get_type_hints(target, include_extras=True)
    except (NameError, TypeError):  # other people's plugins may annotate with names that are not importable
        hints = {}
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(make).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if keyword_only and parameter.kind is not parameter.KEYWORD_ONLY:
            continue
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (hints.get(parameter.name, Any), default)
    config = ConfigDict(
        extra="forbid",
        allow_inf_nan=False,
        validate_default=True,
        arbitrary_types_allowed=True,
        protected_namespaces=(),
    )
    return create_model(name, __config__=config, **fields)


strategy = Registry("strategy", "clbench.strategies")
scenario = Registry("scenario", "clbench.scenarios")
model = Registry("model", "clbench.models")


def add_plugin(path: Path) -> None:
    """Make the units of one Python file known to every registry.

    Raises UserError if the file is missing or declares nothing.
    """
    if not path.is_file():
        raise UserError(f"--plugin {path}: there is no such file. Give the path of a Python file.")
    path = path.resolve()
    kinds = (strategy, scenario, model)
    if not any(_scan(path, registry.kind, None) for registry in kinds):
        raise UserError(
            f"--plugin {path} declares no strategy, scenario or model. Put a decorator such as "
            '@strategy("my-method") above a class or function (see "Add a strategy" in the README).'
        )
    for registry in kinds:
        registry.add_file(path)
