"""Results on disk: written whole or not at all, verified when read; single files, or lines of packs."""

from __future__ import annotations

import fnmatch
import glob
import json
import os
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import ValidationError

from clbench.errors import UnreachableError, UnwritableError, UserError
from clbench.store.folders import Folder, LocalFolder
from clbench.store.layout import laid_out
from clbench.store.migrations import migrate
from clbench.store.packs import PACK, inside, located, opened, parsed_pack, shown
from clbench.store.schema import SCHEMA_VERSION, Result, digest

_GREEK = {chr(code): unicodedata.name(chr(code)).split()[-1].lower() for code in range(0x3B1, 0x3CA)}
_GREEK["λ"] = "lambda"  # Unicode's own name is spelt otherwise


def path_of(result: Result, folder: Path) -> Path:
    """Return where a Result belongs."""
    return folder / name_of(result)


def as_single(path: Path) -> Path:
    """Return where a Result lies, or would if it were not packed; there its weights are kept, too."""
    return Path(*(part for part in path.parts if part != PACK))


def name_of(result: Result) -> str:
    """Return a Result's name in its folder."""
    return name(result.scenario_name, result.strategy, result.seed, result.run_id)


def name(scenario: str, strategy: str, seed: int, run_id: str) -> str:
    """Return ``<scenario>/<strategy>/s<seed>-<run id>.json``, in ASCII without spaces."""
    where, safe = ("".join(c if _is_plain(c) else "_" for c in one) for one in (scenario, strategy))
    return f"{where}/{safe[:80]}/s{seed}-{run_id[:12]}.json"


def slug(words: str) -> str:
    """Return words as the name of a folder: ASCII without spaces or commas, Greek letters by their names.

    'raw, λ 31.6, η 0.1' → 'raw-lambda-31.6-eta-0.1'.
    """
    named = "".join(_GREEK.get(c, c) for c in words)
    plain = unicodedata.normalize("NFKD", named)
    kept = "".join(c if _is_plain(c) else "-" for c in plain if not unicodedata.combining(c))
    return "-".join(part for part in kept.split("-") if part)


def _is_plain(character: str) -> bool:
    return character.isascii() and (character.isalnum() or character in "+-_.")


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
    return (laid_out(content | {"checksum": digest(content)}) + "\n").encode()


def unwritable(folder: Path | Folder, error: OSError) -> UnwritableError:
    """Return the error for a results folder that cannot be written."""
    if isinstance(error, UnreachableError):
        return UnwritableError(str(error))
    reason = error.strerror or str(error)
    return UnwritableError(
        f"The results folder {folder} cannot be written ({reason}). Name another with --results, or make it writable."
    )


def read(path: Path) -> Result:
    """Read and verify a Result, a single file or a line of a pack; older schema versions are brought up to date.

    Raises UserError if it is missing, damaged, edited by hand or of a newer schema version.
    """
    if path.name == PACK:  # which stands for its Results unless it is damaged
        opened(path)
    try:
        with open(path, "rb") as stream:
            content = stream.read()
    except OSError as error:
        found = located(path)
        if found is None:
            raise UserError(f"{path} cannot be read ({error.strerror}). Check the path.") from None
        content = _packed(*found)
    return parsed(content, shown(path))


def _packed(pack: Path, name: str) -> bytes:
    try:
        return opened(pack).content(name)
    except KeyError:
        raise UserError(f"{pack} has no Result {name}. Check the path.") from None


def has(name: str, folder: Folder) -> bool:
    """Say whether a folder has a Result of this name, as a file or in a pack."""
    return folder.exists(name) or _in_pack(name, folder) is not None


def raw(name: str, folder: Folder) -> bytes:
    """Return the content of a folder's Result, from its file or from a pack. Raises FileNotFoundError."""
    if folder.exists(name) or (found := _in_pack(name, folder)) is None:
        return folder.read(name)
    return found


def _in_pack(name: str, folder: Folder) -> bytes | None:
    if isinstance(folder, LocalFolder):
        found = located(folder.path / name)
        return _packed(*found) if found and found[1].endswith(".json") else None
    if not folder.exists(PACK):
        return None
    pack = parsed_pack(folder.read(PACK), f"{folder}/{PACK}")
    return pack.content(name) if name in pack.places else None


def names(folder: Folder) -> list[str]:
    """Return the names of a folder's Results, those in its packs with them."""
    found = []
    for name in folder.names():
        if name.rpartition("/")[2] == PACK:
            where = name.removesuffix(PACK)
            found += [where + one for one in parsed_pack(folder.read(name), f"{folder}/{name}").places]
        elif name.endswith(".json") and name[0] != ".":
            found.append(name)
    return found


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


def is_there(path: Path) -> bool:
    """Say whether there is such a file or folder, in a pack or not."""
    return path.exists() or located(path) is not None


def expand(paths: Iterable[Path]) -> list[Path]:
    """Return paths with patterns such as ``results/*/ewc*`` expanded; what is in packs is found as if it were not.

    Raises UserError for a path or pattern that names nothing.
    """
    found: list[Path] = []
    for path in paths:
        here = [path] if is_there(path) else _matching(path)
        if not here:
            check_here(path)
            raise UserError(f"{path}: there is no such file or folder. 'clbench run' writes Results; see --results.")
        found += here
    return found


def check_here(path: Path) -> None:
    """Raise UserError for a path that was a URL: what it names must come to this machine first."""
    scheme, _, rest = str(path).partition(":/")
    if path.exists() or not rest or len(scheme) < 2 or not scheme.isalnum():  # C:/ is a path
        return
    url = f"{scheme}://{rest.lstrip('/')}"
    raise UserError(f"{url} is not on this machine. Copy its Results first: clbench results import {url}.")


def _matching(pattern: Path) -> list[Path]:
    """The files and folders that match a pattern, those in packs with them."""
    single = [Path(name) for name in sorted(glob.glob(str(pattern), recursive=True))]
    if not glob.has_magic(str(pattern)):
        return single
    depth = next(at for at, part in enumerate(pattern.parts) if glob.has_magic(part))
    top = Path(*pattern.parts[:depth])
    packs = [file for folder in (top, *top.parents) if (file := folder / PACK).is_file()]
    packs += [Path(where) / PACK for where, _, files in os.walk(top) if PACK in files and Path(where) != top]
    packed: set[Path] = set()
    for pack in packs:
        for file in inside(pack):
            as_single = pack.parent / file.relative_to(pack)
            packed |= {one for one in (as_single, *as_single.parents) if _is_match(one, pattern)}
    return [*single, *sorted(packed - {*single})]


def _is_match(path: Path, pattern: Path) -> bool:
    """Whether a path matches part by part; '**' stands for any number of parts."""
    if "**" in pattern.parts:
        return fnmatch.fnmatchcase(str(path), str(pattern).replace("**/", "*"))
    parts = zip(path.parts, pattern.parts, strict=False)
    return len(path.parts) == len(pattern.parts) and all(fnmatch.fnmatchcase(*pair) for pair in parts)


def find(places: Iterable[Path], without: Path | None = None) -> Iterator[tuple[Path, Path]]:
    """Yield the Results' files of files and folders, folders searched whole, in order and without repeats.

    Each comes with the place that it was found in. A folder ``without`` that lies inside a place is passed over.
    Those in packs follow, by ``clbench.store.packs``' paths: of packs inside a place, and what packs around it have of
    it.
    """
    seen: set[str] = set()
    places = list(places)
    passed_over = os.path.realpath(without) if without else None
    for place in places:
        for file in _files(place, passed_over):
            if len(places) > 1:  # within one folder no file comes twice
                real = os.path.realpath(file)
                if real in seen:
                    continue
                seen.add(real)
            yield place, Path(file)


def _files(place: Path, without: str | None) -> Iterator[str]:
    around = located(place) if place.name != PACK else None
    if place.is_dir():
        yield from _json_files(place, without)
    elif around is None:
        yield from [str(place)] if place.name != PACK else map(str, inside(place))
    if around is not None:
        yield from map(str, inside(*around))


def _json_files(folder: Path, without: str | None) -> Iterator[str]:
    """The folder's JSON files in order, those of its folders after its own; hidden ones and studies left out.

    A folder's pack stands for its lines, after the files.
    """
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name[0] != ".")
        if without is not None:
            folders[:] = [name for name in folders if os.path.realpath(os.path.join(where, name)) != without]
        yield from (
            os.path.join(where, n)
            for n in sorted(names)
            if n.endswith(".json") and n[0] != "." and not n.endswith(".study.json")
        )
        if PACK in names:
            yield from map(str, inside(Path(where) / PACK))
