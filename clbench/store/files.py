"""Results on disk: written whole or not at all, verified when read."""

from __future__ import annotations

import glob
import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import ValidationError

from clbench.errors import UnwritableError, UserError
from clbench.store.folders import Folder, LocalFolder
from clbench.store.migrations import migrate
from clbench.store.schema import SCHEMA_VERSION, Result, digest


def path_of(result: Result, folder: Path) -> Path:
    """Return where a Result belongs."""
    return folder / name_of(result)


def name_of(result: Result) -> str:
    """Return a Result's name in its folder."""
    return name(result.scenario_name, result.strategy, result.seed, result.run_id)


def name(scenario: str, strategy: str, seed: int, run_id: str) -> str:
    """Return ``<scenario>/<strategy>/s<seed>-<run id>.json``."""
    where, safe = ("".join(c if c.isalnum() or c in "+-_." else "_" for c in one) for one in (scenario, strategy))
    return f"{where}/{safe[:80]}/s{seed}-{run_id[:12]}.json"


def weights_name(result: str) -> str:
    """Return the name of the final weights that are kept beside a Result, given the Result's own."""
    return result.removesuffix(".json") + ".safetensors"


def write(result: Result, folder: Path) -> Path:
    """Write a Result atomically, with a checksum, and return its path.

    Raises UserError if the folder cannot be written.
    """
    return folder / write_to(result, LocalFolder(folder))


def write_to(result: Result, folder: Folder) -> str:
    """Write a Result to a folder on this machine or elsewhere, and return its name there.

    Raises UserError if the folder cannot be written.
    """
    write_file(name_of(result), content_of(result), folder)
    return name_of(result)


def write_file(name: str, content: bytes, folder: Folder) -> None:
    """Write a file of a results folder; UserError if the folder cannot be written."""
    try:
        folder.write(name, content)
    except OSError as error:
        raise unwritable(folder, error) from None


def content_of(result: Result) -> bytes:
    """Return what a Result's file has in it, with a checksum."""
    content = result.model_dump(mode="json")
    text = json.dumps(content | {"checksum": digest(content)}, indent=1, ensure_ascii=False, allow_nan=False)
    return (_short_rows(text) + "\n").encode()


def unwritable(folder: Path | Folder, error: OSError) -> UnwritableError:
    """Return the error for a results folder that cannot be written."""
    reason = error.strerror or str(error)
    return UnwritableError(
        f"The results folder {folder} cannot be written ({reason}). Name another with --results, or make it writable."
    )


def _short_rows(text: str) -> str:
    """Put each list of numbers on one line, so that a committed R reads as a matrix."""
    return re.sub(r"\[\n\s*((?:[-\d.e+,\s]|null)+?)\n\s*\]", lambda m: "[" + re.sub(r"\s+", " ", m[1]) + "]", text)


def read(path: Path) -> Result:
    """Read and verify a Result; older schema versions are brought up to date.

    Raises UserError if the file is missing, damaged, edited by hand or of a newer schema version.
    """
    try:
        with open(path, "rb") as stream:
            content = stream.read()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}). Check the path.") from None
    return parsed(content, path)


def parsed(raw: bytes, path: Path | str) -> Result:
    """Verify the content of a Result's file; ``path`` names it in errors, which are those of ``read``."""
    try:
        content = json.loads(raw, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not a whole JSON file ({error}). Delete it and run again.") from None
    if not isinstance(content, dict) or "schema_version" not in content:
        raise UserError(f"{path} is not a Result: it has no 'schema_version'. Leave it out of the paths.")
    version = content["schema_version"]
    if not isinstance(version, int) or not 1 <= version <= SCHEMA_VERSION:
        raise UserError(
            f"{path} has schema version {version!r}; this clbench reads versions 1 to {SCHEMA_VERSION}. "
            "Use the clbench that wrote it, or run again."
        )
    checksum = content.pop("checksum", None)
    if checksum != digest(content):
        raise UserError(f"{path} does not match its checksum: it was damaged or edited. Delete it and run again.")
    try:
        return Result.model_validate(migrate(content))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{path}: '{where}' is wrong: {first['msg']}. Delete the file and run again.") from None


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def expand(paths: Iterable[Path]) -> list[Path]:
    """Return paths with patterns such as ``results/*/ewc*`` expanded.

    Raises UserError for a path or pattern that names nothing.
    """
    found: list[Path] = []
    for path in paths:
        here = [path] if path.exists() else [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]
        if not here:
            raise UserError(f"{path}: there is no such file or folder. 'clbench run' writes Results; see --results.")
        found += here
    return found


def find(places: Iterable[Path], without: Path | None = None) -> Iterator[tuple[Path, Path]]:
    """Yield the JSON files of files and folders, folders searched whole, in order and without repeats.

    Each comes with the place that it was found in. A folder ``without`` that lies inside a place is passed over.
    """
    seen: set[str] = set()
    places = list(places)
    passed_over = os.path.realpath(without) if without else None
    for place in places:
        for file in _json_files(place, passed_over) if place.is_dir() else [str(place)]:
            if len(places) > 1:  # within one folder no file comes twice
                real = os.path.realpath(file)
                if real in seen:
                    continue
                seen.add(real)
            yield place, Path(file)


def _json_files(folder: Path, without: str | None) -> Iterator[str]:
    """The folder's JSON files in order, those of its folders after its own; hidden ones and studies left out."""
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name[0] != ".")
        if without is not None:
            folders[:] = [name for name in folders if os.path.realpath(os.path.join(where, name)) != without]
        yield from (
            os.path.join(where, n)
            for n in sorted(names)
            if n.endswith(".json") and n[0] != "." and not n.endswith(".study.json")
        )
