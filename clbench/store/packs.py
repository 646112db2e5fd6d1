"""Packs: many Results of a folder in one file, ``packed.jsonl``, that git can merge and whose every line is verified.

The file is ASCII, an object a line. The first names the format and holds the dictionary that its lines are compressed
with. Each other is one Result: ``{"name": <its path below the pack's folder>, "packed": <see clbench.store.line>}``,
in the order of names. What is packed is the content of the single file, its own checksum with it, whatever its schema
version. A line depends on the first line and on no other, and both stay as they are when a pack grows: lines of two
branches are merged by putting them together, in whatever order.

Where files are named, a packed Result is ``<folder>/packed.jsonl/<name>``; it is found at ``<folder>/<name>`` too, as
if it were not packed. Lines that say nothing, or name a Result again, are ``<folder>/packed.jsonl/line <number>``.
"""

from __future__ import annotations

import base64
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from clbench.errors import UserError
from clbench.store.line import LARGEST, decode

PACK = "packed.jsonl"
FORMAT = "clbench pack 1"
_MARKERS = ("<<<<<<<", "|||||||", "=======", ">>>>>>>")


@dataclass(frozen=True)
class Pack:
    """A pack's lines: the dictionary, the line and number of each name, and why other lines say nothing or too much.

    ``again``: lines by number that name a Result which an earlier line has.
    """

    file: str
    dictionary: bytes
    lines: dict[str, tuple[int, str]] = field(default_factory=dict)
    again: dict[int, tuple[str, str]] = field(default_factory=dict)
    damaged: dict[int, str] = field(default_factory=dict)

    def names(self) -> list[str]:
        """What its lines are called, in order; the damaged and the repeated by their number."""
        return sorted(self.lines) + [f"line {number}" for number in sorted([*self.again, *self.damaged])]

    def number(self, name: str) -> int | None:
        """The number of a line; None if there is none of that name."""
        if name in self.lines:
            return self.lines[name][0]
        number = name.removeprefix("line ")
        return int(number) if number.isdigit() and int(number) in {*self.again, *self.damaged} else None

    def content(self, name: str) -> bytes:
        """Return a Result's JSON. Raises KeyError if there is none, UserError, with the line, if it is damaged."""
        number = self.number(name)
        if number is None:
            raise KeyError(name)
        if number in self.damaged:
            raise self._error(number, self.damaged[number])
        _, packed = self.again.get(number) or self.lines[name]
        try:
            return decode(packed, self.dictionary)
        except (ValueError, IndexError, ArithmeticError, StopIteration, RuntimeError) as error:
            raise self._error(number, str(error)) from None

    def _error(self, number: int, why: str) -> UserError:
        return UserError(
            f"{self.file}, line {number}, is no packed Result ({why}). Take the line out, or take the file from git."
        )


def parsed_pack(raw: bytes, file: str) -> Pack:
    """Read a pack's lines, without opening them. Raises UserError if its first line is not a pack's."""
    first, *others = raw.split(b"\n")
    pack = Pack(file, _dictionary(first, file))
    for number, line in enumerate(others, start=2):
        if not line:
            continue
        try:
            found = json.loads(line.decode("ascii"))
            name, packed = found["name"], found["packed"]
            if not (isinstance(name, str) and isinstance(packed, str) and is_safe(name)):
                raise ValueError("no name of a Result")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            merging = line.startswith(tuple(marker.encode() for marker in _MARKERS))
            pack.damaged[number] = "a merge conflict that is not resolved" if merging else str(error)
            continue
        if name in pack.lines:
            pack.again[number] = (name, packed)
        else:
            pack.lines[name] = (number, packed)
    return pack


def _dictionary(line: bytes, file: str) -> bytes:
    try:
        head = json.loads(line)
        if head["format"] != FORMAT:
            raise UserError(f"{file} is of the format {head['format']!r}. Use the clbench that wrote it.")
        opener = zlib.decompressobj()
        return opener.decompress(base64.b85decode(head["dictionary"]), LARGEST)
    except (ValueError, KeyError, TypeError, AttributeError, zlib.error):
        raise UserError(
            f"{file}, line 1, is not the first line of a pack: it was damaged, or a merge conflict is not resolved. "
            "Take the file from git."
        ) from None


def written(pack: Pack | None, dictionary: bytes, lines: Mapping[str, str]) -> bytes:
    """Return a pack's file, of lines by name; its dictionary is that of the pack which it grew from."""
    head = pack.dictionary if pack else dictionary
    shown = {"format": FORMAT, "dictionary": base64.b85encode(zlib.compress(head, 9)).decode()}
    rows = [shown, *({"name": name, "packed": lines[name]} for name in sorted(lines))]
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
    return name in pack.lines or any(one.startswith(f"{name}/") for one in pack.lines)


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
        number = opened(found[0]).number(found[1])
    except (OSError, UserError):
        return str(path)
    return f"{path} (line {number})" if number and not found[1].startswith("line ") else str(path)
