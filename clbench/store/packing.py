"""Packing a folder's Results into one file, unpacking them again, and removing Results wherever they are."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clbench.errors import UserError
from clbench.store.atomic import write_bytes
from clbench.store.files import as_single, check_here, find, parsed, unwritable, weights_name
from clbench.store.layout import laid_out
from clbench.store.line import Line, folded
from clbench.store.packs import PACK, Pack, is_safe, located, opened, shown, written


@dataclass(frozen=True)
class Packed:
    """What packing did: how many Results are new in the pack, how many it has now, how many stay single, its bytes."""

    new: int
    all: int
    single: int
    size: int


def pack(folder: Path, single: Sequence[str] = ()) -> Packed:
    """Move a folder's single Results into its pack, those of its folders with them; packs further down are taken in.

    Names that match a pattern of ``single``, such as 'split-digits/ewc/*', stay files. Lines that are there stay as
    they are, unless an earlier clbench wrote them. The pack is written before files go.

    Raises UserError, and changes nothing, if a Result is damaged or lies in two places.
    """
    check_here(folder)
    file = folder / PACK
    before = opened(file) if file.is_file() else None
    found = find([folder]) if folder.is_dir() else []
    singles = [path for _, path in found if not path.is_relative_to(file)]
    names = {path: _name(path, folder) for path in singles}
    moved = {path: name for path, name in names.items() if not any(fnmatch.fnmatchcase(name, one) for one in single)}
    if not moved and before is None:
        raise UserError(f"{folder} has no Results to pack. Name a folder of Results.")
    if before is not None:
        _check(before, folder)
    contents = {name: _content(path) for path, name in moved.items()}
    known = before.places if before else {}
    for name in contents.keys() & known.keys():
        assert before is not None
        if json.loads(before.content(name)) != json.loads(contents[name]):
            raise UserError(
                f"{folder / name} is in {shown(file / name)} too, and another. Remove one of the two: see "
                "'clbench results show'."
            )
    new = contents.keys() - known.keys()
    lines, loose = _kept(before) if before else ([], {})
    raw = written([*lines, *folded({name: json.loads(contents[name]) for name in new} | loose)])
    _write(file, raw)
    _check(opened(file), folder, contents)
    remove(moved)
    for path in moved:
        _tidy(path.parent, folder)
    return Packed(len(new), len(new) + len(known), len(singles) - len(moved), len(raw))


def unpack(folder: Path) -> int:
    """Write a pack's Results as single files, then remove the pack; return how many.

    Raises UserError, and changes nothing, if a line is damaged or a file is there already and another.
    """
    check_here(folder)
    file = folder / PACK
    if not file.is_file():
        raise UserError(f"{folder} has no {PACK}. Name the folder that 'clbench results pack' was given.")
    packed = opened(file)
    _check(packed, folder)
    contents = {name: packed.content(name) for name in packed.places}
    for name, content in contents.items():
        path = folder / name
        if path.is_file() and json.loads(_content(path)) != json.loads(content):
            raise UserError(f"{path} is there already, and another than {shown(file / name)}. Remove one of the two.")
    for name, content in contents.items():
        _write(folder / name, (laid_out(json.loads(content)) + "\n").encode())
    file.unlink()
    return len(contents)


def remove(paths: Iterable[Path]) -> None:
    """Remove Results, files and lines of packs, and packs that this leaves empty. Raises OSError."""
    gone: dict[Path, set[str]] = {}
    for path in paths:
        if path.is_file():
            path.unlink()
        elif (found := located(path)) is not None:
            gone.setdefault(found[0], set()).add(found[1])
    for file, names in gone.items():
        lines, loose = _kept(opened(file), names)
        if lines or loose:
            write_bytes(file, written([*lines, *folded(loose)]))
        else:
            file.unlink()


def discard(path: Path) -> None:
    """Remove a Result with the weights that are kept of it; UserError if that cannot be done."""
    try:
        remove([path])
        Path(weights_name(str(as_single(path)))).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{path} cannot be removed ({error.strerror}).") from None


def _kept(packed: Pack, gone: Collection[str] = ()) -> tuple[list[Line], dict[str, Any]]:
    """A pack's lines that can stay as they are, and the Results, by name, of those that cannot.

    These are lines with one of the names ``gone``, and those that an earlier clbench wrote. UserError if one of them is
    damaged.
    """
    without = {place[0] for name in gone if (place := packed.place(name))}
    lines = {n: line for n, line in packed.lines.items() if line.dictionary is None and n not in without}
    kept = [
        (own, packed.content(name))
        for name, (number, own) in [*packed.places.items(), *packed.again.items()]
        if number not in lines and name not in gone
    ]
    loose: dict[str, Any] = {}
    for own, content in kept:  # of what was there twice the first counts, as before
        loose.setdefault(own, json.loads(content))
    return list(lines.values()), loose


def _name(path: Path, folder: Path) -> str:
    """A Result's name below a folder, the pack that it may be in left out."""
    name = as_single(path).relative_to(folder).as_posix()
    if not is_safe(name) or not name.isascii() or any(c in " ,\"'" for c in name):
        raise UserError(f"{shown(path)}: a packed name is ASCII without spaces and commas. Rename its folders.")
    return name


def _content(path: Path) -> bytes:
    """A Result's JSON, verified."""
    found = None if path.is_file() else located(path)
    raw = opened(found[0]).content(found[1]) if found else path.read_bytes()
    parsed(raw, shown(path))
    return raw


def _check(packed: Pack, folder: Path, wanted: Mapping[str, bytes] | None = None) -> None:
    """UserError if a pack has lines that are damaged or repeated, or not what it should have."""
    for number in packed.damaged:
        packed.content(f"line {number}")
    for number, name in packed.again.values():
        raise UserError(f"{folder / PACK}, line {number}, is the same run as an earlier line, {name}. Take one out.")
    if wanted is None:
        for name in packed.places:
            parsed(packed.content(name), shown(folder / PACK / name))
        return
    for name, content in wanted.items():
        assert json.loads(packed.content(name)) == json.loads(content), name


def _tidy(place: Path, folder: Path) -> None:
    """Remove a place and those above it, up to the folder, as long as they are empty."""
    while place != folder:
        try:
            place.rmdir()
        except FileNotFoundError:  # another Result's tidying took it
            pass
        except OSError:
            return
        place = place.parent


def _write(file: Path, content: bytes) -> None:
    try:
        write_bytes(file, content)
    except OSError as error:
        raise unwritable(file.parent, error) from None
