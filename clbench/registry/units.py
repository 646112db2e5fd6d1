"""Strategies, scenarios and models: how they are declared, found, described and made.

A unit is a function or class under a decorator, in a file of its own. Its keyword-only parameters *are* its options:
their types, ranges and defaults give ``--set`` validation, ``clbench describe`` and the documentation.
Names and summaries are read from the source text, so listing them imports nothing.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from clbench.errors import UserError
from clbench.registry import guests
from clbench.registry.catalogue import Listed, scan, version_with
from clbench.registry.elsewhere import meant
from clbench.registry.foreign import Found, find, is_foreign
from clbench.registry.options import options_model
from clbench.registry.origins import OWN, Origin, origin_of, run_file, told
from clbench.roles import Role, checked, of_composition

if TYPE_CHECKING:
    from pydantic import BaseModel

Unit = TypeVar("Unit", bound=Callable[..., Any])


@dataclass(frozen=True)
class Declared:
    """A unit that is loaded: the callable that makes it and what its decorator said; or somebody else's.

    ``foreign``: of a network from elsewhere, ``terms``: of what was named by its import path.
    """

    name: str
    make: Callable[..., Any]
    attributes: dict[str, Any] = field(default_factory=dict)
    keyword_only: bool = True
    version: int = 1
    concerns: Sequence[str] | None = None
    role: Role = "method"
    foreign: Found | None = None
    terms: guests.Terms | None = None

    def version_with(self, options: Mapping[str, Any]) -> int:
        """The version that a run with these options has."""
        return version_with(self.version, self.concerns, options)

    @property
    def origin(self) -> Origin | None:
        """Where its code comes from; None for clbench's own units."""
        return origin_of(self.foreign.module if self.foreign else getattr(self.make, "__module__", None) or "")

    @cached_property
    def schema(self) -> type[BaseModel]:
        """The unit's options as a pydantic model."""
        if self.foreign is not None:
            return options_model(self.name, self.foreign.signature, keyword_only=False, lenient=True)
        if self.terms is not None and self.terms.supplied:
            return options_model(self.name, self.make, keyword_only=False, lenient=True, terms=self.terms)
        return options_model(self.name, self.make, keyword_only=self.keyword_only)


class Registry:
    """All units of one kind: found by folder, entry-point group or plugin file."""

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self.package = package
        self._declared: dict[str, Declared] = {}
        self._plugin_files: list[Path] = []

    def __call__(
        self,
        name: str,
        *,
        version: int = 1,
        concerns: Sequence[str] | None = None,
        role: Role = "method",
        **attributes: Any,
    ) -> Callable[[Unit], Unit]:
        """Declare a unit: ``@strategy("ewc", version=2)``. All must be literals, since they are read from the text.

        The version, above 1, is part of a run's identity. It is raised when the unit's numbers at unchanged options
        change, so that old Results stay apart from new ones. ``concerns``: the options that must be on for that; runs
        with none of them give the numbers that they gave before, and keep their identity. Empty where only a
        default has changed, which the options of a run tell.

        ``role``: what a strategy is in a comparison; "bound" if it sees more data than a continual learner may,
        "control" if it does nothing, under whatever name, or what a method must do better than.
        """

        def declare(unit: Unit) -> Unit:
            known = self._declared.get(name)
            if known is not None and known.make.__module__ != unit.__module__:
                raise UserError(
                    f"{self.kind} '{name}' is declared twice, in {known.make.__module__} and {unit.__module__}. "
                    "Rename one of them."
                )
            said = checked(role, f"{self.kind} '{name}'")
            self._declared[name] = Declared(name, unit, attributes, version=version, concerns=concerns, role=said)
            return unit

        return declare

    def add_file(self, path: Path) -> None:
        """Take units of this kind from one more source file (``--plugin``), once."""
        if path in self._plugin_files:
            return
        self._plugin_files.append(path)
        self.__dict__.pop("listed", None)

    @cached_property
    def listed(self) -> dict[str, Listed]:
        """Every unit by name, in alphabetical order, read from source text."""
        found: dict[str, Listed] = {}
        for module, file in self._sources():
            for unit in scan(file, self.kind, module):
                if unit.name in found:
                    raise UserError(
                        f"{self.kind} '{unit.name}' is declared twice, in {found[unit.name].file} and {file}. "
                        "Rename one of them."
                    )
                found[unit.name] = unit
        return dict(sorted(found.items()))

    @cached_property
    def folder(self) -> Path:
        """Where clbench's own units of this kind lie, and what is shipped beside them; nothing is imported."""
        spec = importlib.util.find_spec(self.package)
        assert spec is not None
        assert spec.submodule_search_locations is not None
        return Path(next(iter(spec.submodule_search_locations)))

    def _sources(self) -> list[tuple[str | None, Path]]:
        """(module, file) of everything that may declare units of this kind."""
        sources: list[tuple[str | None, Path]] = [
            (f"{self.package}.{file.stem}", file)
            for file in sorted(self.folder.glob("*.py"))
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
                f"Unknown {self.kind} '{name}'.{meant(self.kind, name, self.listed)} "
                f"'clbench list {plural(self.kind)}' shows all {len(self.listed)}."
            )
        return self.listed[name]

    def __contains__(self, name: str) -> bool:
        """Whether a unit of this name is loaded."""
        return name in self._declared

    def made_by(self, make: Callable[..., Any]) -> Declared | None:
        """Return the loaded unit that a class or function was declared as; None if it was not."""
        return next((unit for unit in self._declared.values() if unit.make is make), None)

    @contextmanager
    def lent(self, unit: Declared) -> Iterator[None]:
        """Know one more unit for a while, or another under a known name: an object that a program has made."""
        before = self._declared.get(unit.name)
        self._declared[unit.name] = unit
        try:
            yield
        finally:
            if before is None:
                del self._declared[unit.name]
            else:
                self._declared[unit.name] = before

    def load(self, name: str) -> Declared:
        """Import the unit's module and return the unit; a dotted name is the import path of a class."""
        if name not in self._declared:
            if "." in name:
                return _by_import_path(self.kind, name)
            _import(self.check(name))
        return self._declared[name]


class Networks(Registry):
    """All networks: those that are declared, and anybody's by file, import path or timm's name."""

    def load(self, name: str) -> Declared:
        """Likewise; what is not declared comes under its canonical name."""
        if name in self._declared or not is_foreign(name):
            return super().load(name)
        found = find(name)
        return Declared(found.name, found.make, foreign=found)


def plural(kind: str) -> str:
    """Return the word the command line uses for all of a kind."""
    return "strategies" if kind == "strategy" else f"{kind}s"


def _import(unit: Listed) -> None:
    """Import a unit's module; UserError if somebody else's raises, and nothing that it declared before stays."""
    if unit.module is not None and unit.module.startswith(f"{OWN}."):
        importlib.import_module(unit.module)
        return
    before = {registry: dict(registry._declared) for registry in REGISTRIES.values()}
    try:
        if unit.module is None:
            run_file(unit.file)
        else:
            importlib.import_module(unit.module)
    except Exception as error:
        for registry, declared in before.items():
            registry._declared = declared
        raise told(unit.file, error) from None


def _by_import_path(kind: str, path: str) -> Declared:
    """A class or function of somebody else's; what a run does not give of its parameters is an option."""
    make = guests.find(kind, path)
    terms = guests.terms(kind, make)
    return Declared(path, make, dict(terms.attributes), keyword_only=False, role=terms.role, terms=terms)


strategy = Registry("strategy", "clbench.strategies")
scenario = Registry("scenario", "clbench.scenarios")
model = Networks("model", "clbench.models")
REGISTRIES = {one.kind: one for one in (strategy, scenario, model)}


def role_of(parts: Sequence[str]) -> Role:
    """Return the role of a strategy, composed of these parts."""
    return of_composition(strategy.load(part).role for part in parts)


def add_plugin(path: Path) -> None:
    """Make the units of one Python file known to every registry.

    Raises UserError if the file is missing or declares nothing.
    """
    if not path.is_file():
        raise UserError(f"--plugin {path}: there is no such file. Give the path of a Python file.")
    if path.suffix != ".py":
        raise UserError(f"--plugin {path}: expected the path of a Python file, which ends in .py.")
    path = path.resolve()
    if not any(scan(path, kind, None) for kind in REGISTRIES):
        raise UserError(
            f"--plugin {path} declares no strategy, scenario or model. Put a decorator such as "
            '@strategy("my-method") above a class or function (see "Add a strategy" in the documentation).'
        )
    for registry in REGISTRIES.values():
        registry.add_file(path)
