"""Packs: many Results of a folder in one file, ``packed.jsonl``, that git can merge and whose every Result is verified.

The file is ASCII, an object a line. The first names the format. Each other holds Results, up to 128:
``{"names": <stems of their paths by folder, below the pack's>, "packed": …, "images": …}``, see
``clbench.store.line``. What is packed is the content of the single file, its own checksum with it, whatever its schema
version. A line depends on no other, and stays as it is when a pack grows: lines of two branches are merged by putting
them together, in whatever order. Packs of the first format, which had a line for each Result and a dictionary in the
first line, are read, and written anew when something is packed there.

Where files are named, a packed Result is ``<folder>/packed.jsonl/<name>``; it is found at ``<folder>/<name>`` too, as
if it were not packed. A line that says nothing is ``<folder>/packed.jsonl/line <number>``, and what a line has that an
earlier one has too is below that.
"""

from __future__ import annotations

import base64
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from clbench.errors import UserError
from clbench.store.line import LARGEST, Line, of_json

PACK = "packed.jsonl"
FORMAT = "clbench pack 2"
BEFORE = "clbench pack 1"
_MARKERS = ("<<<<<<<", "|||||||", "=======", ">>>>>>>")


@dataclass(frozen=True)
class Pack:
    """A pack's lines by number, and why others say nothing.

    ``places``: number of the line and name there, of each Result; ``again``: the same for Results that an earlier line
    has, whose own names begin with that of their line.
    """

    file: str
    lines: dict[int, Line] = field(default_factory=dict)
    places: dict[str, tuple[int, str]] = field(default_factory=dict)
    again: dict[str, tuple[int, str]] = field(default_factory=dict)
    damaged: dict[int, str] = field(default_factory=dict)

    def names(self) -> list[str]:
        """What it has, in order; the repeated and the damaged by the number of their line."""
        return [*sorted(self.places), *self.again, *(f"line {number}" for number in self.damaged)]

    def place(self, name: str) -> tuple[int, str] | None:
        """The number of a name's line, and its name there; None if there is none."""
        number = name.removeprefix("line ")
        if number.isdigit() and int(number) in self.damaged:
            return int(number), name
        return self.places.get(name) or self.again.get(name)

    def content(self, name: str) -> bytes:
        """Return a Result's JSON. Raises KeyError if there is none, UserError, with the line, if it is damaged."""
        place = self.place(name)
        if place is None:
            raise KeyError(name)
        number, own = place
        if number in self.damaged:
            raise self._error(number, self.damaged[number])
        try:
            return self.lines[number].content(own)
        except ValueError as error:
            raise self._error(number, str(error)) from None

    def _error(self, number: int, why: str) -> UserError:
        many = len(self.lines[number].names) if number in self.lines else 0
        lost = f"; it had {many} Results" if many > 1 else ""
        return UserError(
            f"{self.file}, line {number}, holds no packed Results ({why}{lost}). Take the line out, or take the file "
            "from git."
        )


def parsed_pack(raw: bytes, file: str) -> Pack:
    """Read a pack's lines, without opening them. Raises UserError if its first line is not a pack's."""
    first, *others = raw.split(b"\n")
    dictionary = _dictionary(first, file)
    pack = Pack(file)
    for number, text in enumerate(others, start=2):
        if not text:
            continue
        try:
            line = of_json(json.loads(text.decode("ascii")), dictionary)
            if not all(map(is_safe, line.names)):
                raise ValueError("no name of a Result")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            merging = text.startswith(tuple(marker.encode() for marker in _MARKERS))
            pack.damaged[number] = "a merge conflict that is not resolved" if merging else str(error)
            continue
        pack.lines[number] = line
        for name in line.names:
            if name in pack.places:
                pack.again[f"line {number}/{name}"] = (number, name)
            else:
                pack.places[name] = (number, name)
    return pack


def _dictionary(line: bytes, file: str) -> bytes | None:
    """What lines of the first format are compressed with; None for those of today. UserError if it is neither."""
    try:
        head = json.loads(line)
        if head["format"] == FORMAT:
            return None
        if head["format"] != BEFORE:
            raise UserError(f"{file} is of the format {head['format']!r}. Use the clbench that wrote it.")
        opener = zlib.decompressobj()
        return opener.decompress(base64.b85decode(head["dictionary"]), LARGEST)
    except (ValueError, KeyError, TypeError, AttributeError, zlib.error):
        raise UserError(
            f"{file}, line 1, is not the first line of a pack: it was damaged, or a merge conflict is not resolved. "
            "Take the file from git."
        ) from None


def written(lines: Iterable[Line]) -> bytes:
    """Return a pack's file, of lines of today."""
    rows: list[dict[str, Any]] = [{"format": FORMAT}]
    rows += [line.shown() for line in sorted(lines, key=lambda one: one.names)]
    return "".join(json.dumps(row) + "\n" for row in rows).encode("ascii")


def is_safe(name: str) -> bool:
    """Whether a name is that of a Result's file inside a folder, and nowhere else."""
    return name.endswith(".json") and not any(part in ("", ".", "..") or "\\" in part for part in name.split("/"))


def opened(file: Path | str) -> Pack:
    """Return the pack in a file, from memory as long as the file stays as it is. Raises UserError, OSError."""
    state = os.stat(file)
    return _opened(str(file), state.st_mtime_ns, state.st_size, state.st_ino)


@lru_cache(maxsize=64)
def _opened(file: str, changed: int, size: int, inode: int) -> Pack:
    return parsed_pack(Path(file).read_bytes(), file)


def located(path: Path) -> tuple[Path, str] | None:
    """Return the pack that a path points into, and the name there: of a Result or of a folder; None if there is none.

    The path goes through the pack's file, or is that which the Result had as a single file.
    """
    parts = path.parts
    if PACK in parts[:-1]:
        at = len(parts) - 1 - parts[::-1].index(PACK)
        file = Path(*parts[: at + 1])
        return (file, "/".join(parts[at + 1 :])) if file.is_file() else None
    for folder in path.parents:
        file = folder / PACK
        if not file.is_file():
            continue
        name = path.relative_to(folder).as_posix()
        if has(file, name):
            return file, name
    return None


def has(file: Path, name: str) -> bool:
    """Whether a pack has a Result or a folder of this name; a pack that cannot be read has none."""
    try:
        pack = opened(file)
    except (OSError, UserError):
        return False
    return name in pack.places or any(one.startswith(f"{name}/") for one in pack.places)


def inside(file: Path, under: str = "") -> Iterator[Path]:
    """Yield the paths of a pack's Results, of those in a folder of it if one is named; its own if it is damaged."""
    try:
        names = opened(file).names()
    except (OSError, UserError):
        yield file
        return
    yield from (file / name for name in names if not under or name == under or name.startswith(f"{under}/"))


def shown(path: Path) -> str:
    """Return a path for people: a packed Result's with its line."""
    if PACK not in path.parts[:-1] or (found := located(path)) is None:
        return str(path)
    try:
        place = opened(found[0]).place(found[1])
    except (OSError, UserError):
        return str(path)
    return f"{path} (line {place[0]})" if place and not found[1].startswith("line ") else str(path)
