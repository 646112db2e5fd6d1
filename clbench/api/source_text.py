"""Where the class of an object comes from: the text that was run, wherever it stands, or that nobody can say."""

from __future__ import annotations

import ast
import hashlib
import inspect
import linecache
import sys
import sysconfig
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType
from weakref import WeakKeyDictionary

from clbench.registry.origins import OWN, Origin, origin_of

NOTEBOOK = "notebook.py"
UNKNOWN = "unknown"  # source text that nobody can say is what was run
FUTURE = annotations.compiler_flag  # of the one feature that is not always on


@dataclass(frozen=True)
class Loaded(Origin):
    """Code of a class that a program has made an object of: what becomes of its file changes nothing any more."""

    @property
    def changed(self) -> bool:
        """Never."""
        return False


Unit = type | FunctionType

# A class whose text is not there is itself in this process, and in no other.
_strangers: WeakKeyDictionary[Unit, str] = WeakKeyDictionary()


def code_of(kind: Unit) -> Origin | None:
    """Where a class or function comes from; None for clbench's own.

    A package's is known by version and file, a file's by its text, one of a notebook by its text and that of all
    classes and functions of the notebook that it builds on or names – provided that this text is what was run.
    """
    known = origin_of(kind.__module__)
    if known is None and kind.__module__.partition(".")[0] == OWN:
        return None
    if known is not None and _is_installed(known.file):
        return Loaded(known.source, known.file, known.sha256)
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    text, source = (_text_of(file), Path(file).name) if file else (None, NOTEBOOK)
    if file is None:
        texts = [_cell_of(one) for one in _reached(kind)]
        text = None if None in texts else "\n".join(one or "" for one in texts)
    elif text is not None and not _is_what_was_run(kind, text):
        text = None
    if text is None:
        token = _strangers.setdefault(kind, uuid.uuid4().hex)
        return Loaded(UNKNOWN, Path(UNKNOWN), hashlib.sha256(token.encode()).hexdigest())
    return Loaded(source, Path(file or source), hashlib.sha256(text.encode()).hexdigest())


def _is_installed(file: Path) -> bool:
    """Whether a file lies where packages are installed; a package's name alone may be that of a folder here, too."""
    return any(file.is_relative_to(sysconfig.get_path(kind)) for kind in ("purelib", "platlib"))


def _text_of(file: str) -> str | None:
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None


def _reached(kind: Unit) -> list[Unit]:
    """A class or function, and all of its module that it builds on or that its code names, and so on."""
    found: list[Unit] = []
    ahead: list[Unit] = [kind]
    while ahead:
        one = ahead.pop(0)
        if one in found:
            continue
        found.append(one)
        ahead += [base for base in getattr(one, "__mro__", ()) if base.__module__ == kind.__module__]
        known = vars(sys.modules[kind.__module__]) if kind.__module__ in sys.modules else {}
        names = [name for method in _methods(one) for code in _codes(method) for name in code.co_names]
        named = [known[name] for name in names if isinstance(known.get(name), type | FunctionType)]
        ahead += [other for other in named if other.__module__ == kind.__module__]
    return found


def _cell_of(kind: Unit) -> str | None:
    """The text of a class or function that has no file: that of its cell, which notebooks keep for tracebacks."""
    codes = [code for code in _methods(kind) if linecache.getlines(code.co_filename)]
    text = "".join(linecache.getlines(codes[0].co_filename)) if codes else ""
    if not text or not _is_what_was_run(kind, text):
        return None
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.Lambda):
            continue
        if getattr(node, "name", "<lambda>") != kind.__name__:
            continue
        if node.lineno <= codes[0].co_firstlineno <= (node.end_lineno or 0):
            return ast.get_source_segment(text, node)
    return None


def _is_what_was_run(kind: Unit, text: str) -> bool:
    """Whether a text compiles to the methods that a class has: its file may have been edited since it was loaded."""
    methods = _methods(kind)
    flags = methods[0].co_flags & FUTURE if methods else 0  # a notebook's cells inherit those of earlier ones
    try:
        codes = {*_codes(compile(text, "text", "exec", flags, dont_inherit=True))}
    except (SyntaxError, ValueError):
        return False
    return all(code in codes for code in methods)


def _methods(kind: Unit) -> list[CodeType]:
    """The code of a function, or of a class's methods without generated ones, which follow from the others."""
    if isinstance(kind, FunctionType):
        return [inspect.unwrap(kind).__code__]
    functions = [inspect.unwrap(value) for value in vars(kind).values() if isinstance(value, FunctionType)]
    return [f.__code__ for f in functions if f.__module__ == kind.__module__ and f.__code__.co_filename != "<string>"]


def _codes(code: CodeType) -> Iterator[CodeType]:
    """A code object and all that are in it."""
    yield code
    for value in code.co_consts:
        if isinstance(value, CodeType):
            yield from _codes(value)
