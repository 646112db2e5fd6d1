"""Where units that are not clbench's own come from: a file or a package, and the sha256 of the source text."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from dataclasses import dataclass
from functools import cache
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

from clbench.errors import UserError
from clbench.registry.catalogue import unreadable

OWN = "clbench"
PLUGIN = "clbench_plugin_"  # what the modules of plugin files begin with
KEPT = "__clbench_origin__"  # a plugin's module keeps what it was made of


@dataclass(frozen=True)
class Origin:
    """Code that is loaded. ``source``: a file's name, or a package and its version; ``sha256``: of what was loaded."""

    source: str
    file: Path
    sha256: str

    @property
    def changed(self) -> bool:
        """Whether the file has other text now, or is gone."""
        try:
            return _sha256(self.file.read_bytes()) != self.sha256
        except OSError:
            return True


def run_file(file: Path) -> None:
    """Run a plugin file once, as a module of its own; what was run is what its sha256 is taken of.

    Compiled here, not imported: Python's cache of compiled files tells an edit by second and size alone. Raises
    UserError, with the line, if the file cannot be run or another of the same name has been.
    """
    name = f"{PLUGIN}{file.stem}"
    if name in sys.modules:
        known = sys.modules[name].__file__
        if known != str(file):
            raise UserError(f"{file}: {known} has the same file name. Rename one of them, or give one alone.")
        return
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        text = file.read_bytes()
        vars(module)[KEPT] = Origin(file.name, file, _sha256(text))
        exec(compile(text, str(file), "exec", dont_inherit=True), vars(module))
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise told(file, error) from None


def told(file: Path, error: BaseException) -> UserError:
    """Return what a file raised when it was imported, in one paragraph with the line that it came through last."""
    if isinstance(error, UserError):
        return error
    if isinstance(error, SyntaxError) and error.filename == str(file):
        return unreadable(file, error.lineno, error.msg)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    where = f", line {lines[-1]}" if lines else ""
    return UserError(
        f"{file}{where} raises {type(error).__name__} when it is imported: {error}. Correct the file or leave it out."
    )


def origin_of(module: str) -> Origin | None:
    """Return where a loaded module's code comes from; None for clbench's own and for what has no source file."""
    if module.partition(".")[0] == OWN or module not in sys.modules:
        return None
    kept: Origin | None = vars(sys.modules[module]).get(KEPT)
    return kept or _of_package(module)


@cache  # what was loaded stays what it was, whatever becomes of the file
def _of_package(module: str) -> Origin | None:
    file = getattr(sys.modules[module], "__file__", None)
    if file is None:
        return None
    names = packages_distributions().get(module.partition(".")[0])  # none: merely found on the path
    package = distribution(names[0]) if names else None
    source = f"{package.name} {package.version}" if package else Path(file).name
    return Origin(source, Path(file), _sha256(Path(file).read_bytes()))


def _sha256(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()
