"""Strategies as objects: what a run's description says of one, and a fresh copy for each seed."""

from __future__ import annotations

import ast
import copy
import hashlib
import inspect
import linecache
import pickle
import re
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from clbench import registry, store
from clbench.api.settings import plain
from clbench.errors import UserError
from clbench.layers import Section
from clbench.origins import Origin, origin_of
from clbench.registry import Declared

if TYPE_CHECKING:
    from pydantic import BaseModel

NOTEBOOK = "notebook.py"
UNKNOWN = "unknown"  # source text that nobody can say is what was run
STATE = "state"  # the option that tells objects apart whose options do not


@dataclass(frozen=True)
class Loaded(Origin):
    """Code of a class that a program has made an object of: what becomes of its file changes nothing any more."""

    @property
    def changed(self) -> bool:
        """Never."""
        return False


@dataclass(frozen=True)
class Lent(Declared):
    """An object that stands in for a unit while it is run. ``options``: what can be said of how it was made."""

    options: Mapping[str, Any] = field(default_factory=dict)
    code: Origin | None = None

    @property
    def origin(self) -> Origin | None:
        """Where its class comes from."""
        return self.code

    @cached_property
    def schema(self) -> type[BaseModel]:
        """Its options with the values that they have; there are no others."""
        from pydantic import ConfigDict, create_model

        fields: dict[str, Any] = {name: (Any, value) for name, value in self.options.items()}
        return create_model(self.name, __config__=ConfigDict(extra="forbid", protected_namespaces=()), **fields)

    @property
    def section(self) -> Section:
        """The strategy section of its runs."""
        return {"name": self.name, **self.options}

    def known(self) -> AbstractContextManager[None]:
        """Make it known for a while."""
        return registry.strategy.lent(self)


def lent(thing: object) -> Lent:
    """Return an object as a unit: each run has a copy of it as it is now, and it stays as it is.

    Its name is that of its class, as declared or with '-' between words; its options are the parameters of its
    constructor that it has as attributes of plain values. Where some cannot be told so, ``state`` stands for them.
    Raises UserError for what is no strategy, or cannot be copied, or is called like another strategy.
    """
    from clbench.avalanche import SupervisedPlugin

    if isinstance(thing, type):
        raise UserError(f"strategy: {thing.__name__} is a class. Make an object of it: {thing.__name__}(…).")
    if not isinstance(thing, SupervisedPlugin):
        raise UserError(
            f"strategy: expected a name such as 'ewc', a mapping such as {{'name': 'ewc', 'lam': 5}}, or an object of "
            f"a Strategy or of an Avalanche SupervisedPlugin, got an object of type {type(thing).__name__}."
        )
    kind = type(thing)
    try:
        kept = copy.deepcopy(thing)
    except Exception as error:
        raise UserError(
            f"strategy: the {kind.__name__} cannot be copied ({type(error).__name__}: {error}), and each seed needs a "
            "copy of its own. Let it open files and the like in before_training."
        ) from None
    declared = registry.strategy.made_by(kind)
    name = declared.name if declared else _in_words(kind.__name__)
    if declared is None and (name in registry.strategy or name in registry.strategy.listed):
        raise UserError(f"strategy: the class {kind.__name__} is called like clbench's '{name}'. Give it another name.")
    return Lent(
        name=name,
        make=lambda **_: copy.deepcopy(kept),
        version=declared.version if declared else 1,
        concerns=declared.concerns if declared else None,
        role=declared.role if declared else "method",
        options=_options_of(thing, declared),
        code=_code_of(kind),
    )


def _in_words(name: str) -> str:
    """A class's name in small letters with '-' between words.

    >>> _in_words("MyEWC2Strategy")
    'my-ewc2-strategy'
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).replace("_", "-").lower().strip("-")


def _options_of(thing: object, declared: Declared | None) -> Section:
    """Parameters of the constructor with the values of attributes of the same name; a digest of all, if some have none.

    Two objects that were made otherwise must not be taken for seeds of one method.
    """
    parameters = inspect.signature(type(thing)).parameters.values()
    values = {p.name: plain(getattr(thing, p.name)) for p in parameters if hasattr(thing, p.name)}
    found = {name: value for name, value in values.items() if _is_plain(value) and name[0] != "_"}
    if all(p.name in found for p in parameters):
        return declared.schema.model_validate(found).model_dump(mode="json") if declared else found
    try:
        state = pickle.dumps(thing)
    except Exception:  # each class has its own
        state = uuid.uuid4().bytes
    return found | {STATE: hashlib.sha256(state).hexdigest()[:12]}


def _is_plain(value: Any) -> bool:
    try:
        store.canonical(value)
    except (TypeError, ValueError):
        return False
    return True


# A class whose text is not there is itself in this process, and in no other.
_strangers: WeakKeyDictionary[type, str] = WeakKeyDictionary()


def _code_of(kind: type) -> Origin | None:
    """Where a class comes from; None for clbench's own.

    A package's is known by version and file, a file's by its text, one of a notebook by the text of the class and of
    the classes of the notebook that it builds on – provided that this text is what was run.
    """
    known = origin_of(kind.__module__)
    if known is None and kind.__module__.partition(".")[0] == "clbench":
        return None
    if known is not None and not known.source.endswith(".py"):
        return Loaded(known.source, known.file, known.sha256)
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    text, source = (_text_of(file), Path(file).name) if file else (None, NOTEBOOK)
    if file is None:
        classes = [base for base in kind.__mro__ if base.__module__ == kind.__module__]
        texts = [_cell_of(base) for base in classes]
        text = None if None in texts else "\n".join(one or "" for one in texts)
    elif text is not None and not _is_what_was_run(kind, text):
        text = None
    if text is None:
        token = _strangers.setdefault(kind, uuid.uuid4().hex)
        return Loaded(UNKNOWN, Path(UNKNOWN), hashlib.sha256(token.encode()).hexdigest())
    return Loaded(source, Path(file or source), hashlib.sha256(text.encode()).hexdigest())


def _text_of(file: str) -> str | None:
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None


def _cell_of(kind: type) -> str | None:
    """The text of a class that has no file: that of its cell, which notebooks keep for tracebacks."""
    codes = [code for code in _methods(kind) if linecache.getlines(code.co_filename)]
    text = "".join(linecache.getlines(codes[0].co_filename)) if codes else ""
    if not text or not _is_what_was_run(kind, text):
        return None
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.ClassDef) or node.name != kind.__name__:
            continue
        if node.lineno <= codes[0].co_firstlineno <= (node.end_lineno or 0):
            return ast.get_source_segment(text, node)
    return None


def _is_what_was_run(kind: type, text: str) -> bool:
    """Whether a text compiles to the methods that a class has: its file may have been edited since it was loaded."""
    try:
        codes = {*_codes(compile(text, "text", "exec", dont_inherit=True))}
    except (SyntaxError, ValueError):
        return False
    return all(code in codes for code in _methods(kind))


def _methods(kind: type) -> list[CodeType]:
    """The code of a class's methods, those that are generated left out: they follow from the others."""
    functions = [inspect.unwrap(value) for value in vars(kind).values() if isinstance(value, FunctionType)]
    return [f.__code__ for f in functions if f.__module__ == kind.__module__ and f.__code__.co_filename != "<string>"]


def _codes(code: CodeType) -> Iterator[CodeType]:
    """A code object and all that are in it."""
    yield code
    for value in code.co_consts:
        if isinstance(value, CodeType):
            yield from _codes(value)
