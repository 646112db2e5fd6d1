"""A line of a pack: up to 128 Results, compressed together, since what runs of a study share is most of them.

The Results are taken apart (see ``clbench.store.apart``). The line's text is all their counts, a line each, then all
sizes, all numbers and all rests; it and the bytes of all images are compressed (LZMA) and written in the 85 ASCII
characters of ``base64.b85encode``. A line needs no other one.

Lines of packs that an earlier clbench wrote hold one Result each, compressed (deflate) with a dictionary that stands
in the pack's first line.
"""

from __future__ import annotations

import base64
import lzma
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from clbench.store.apart import Apart, apart, together

TOGETHER = 128  # Results of a line, at most
SIZE = 8 * 2**20  # characters of a line's text, about, and of what LZMA looks back at
LARGEST = 256 * 2**20  # bytes that a line may unfold to
_MEMORY = 64 * 2**20  # bytes that unfolding may take beside what comes out
_TEXT = {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 4, "lp": 0, "pb": 0}
_BROKEN = (ValueError, IndexError, ArithmeticError, StopIteration, RuntimeError, lzma.LZMAError, zlib.error)


@dataclass(frozen=True)
class Line:
    """The Results of a line: their names, in order, and what is compressed; ``dictionary`` of a line of before."""

    names: tuple[str, ...]
    packed: str
    images: str = ""
    dictionary: bytes | None = None

    def content(self, name: str) -> bytes:
        """Return a Result's JSON; ValueError if the line is damaged."""
        try:
            found = _unfolded(self.packed, self.images, self.dictionary)
            if len(found) != len(self.names):
                raise ValueError(f"it has {len(self.names)} names and {len(found)} Results")
            return together(found[self.names.index(name)])
        except _BROKEN as error:
            raise ValueError(str(error) or "it is cut off") from None

    def shown(self) -> dict[str, Any]:
        """Return what its JSON says: names by folder, without '.json', so that none is written out for each."""
        folders: dict[str, list[str]] = {}
        for name in self.names:
            folder, _, own = name.rpartition("/")
            folders.setdefault(folder, []).append(own.removesuffix(".json"))
        return {"names": folders, "packed": self.packed, **({"images": self.images} if self.images else {})}


def of_json(found: Any, dictionary: bytes | None) -> Line:
    """Return the line that JSON says, an earlier clbench's too. Raises ValueError, KeyError, TypeError."""
    if "name" in found:
        if dictionary is None:
            raise ValueError("it is of another pack, from before, and lacks that pack's first line")
        line = Line((found["name"],), found["packed"], "", dictionary)
    else:
        line = Line(tuple(_names(found["names"])), found["packed"], found.get("images", ""))
    if not line.names or not all(isinstance(one, str) for one in (*line.names, line.packed, line.images)):
        raise ValueError("no name of a Result")
    return line


def _names(folders: Mapping[str, Sequence[str]]) -> Iterator[str]:
    if not isinstance(folders, dict):
        raise TypeError("no names of Results")
    for folder, own in folders.items():
        yield from (f"{folder}/{one}.json" if folder else f"{one}.json" for one in own)


def folded(contents: Mapping[str, dict[str, Any]]) -> Iterator[Line]:
    """Yield the lines of Results by name, those of a folder side by side."""
    names: list[str] = []
    parts: list[Apart] = []
    for name in sorted(contents, key=lambda one: one.rpartition("/")):
        names.append(name)
        parts.append(apart(contents[name]))
        if len(names) == TOGETHER or sum(len(one.numbers) + len(one.rest) for one in parts) > SIZE:
            yield _line(names, parts)
            names, parts = [], []
    if names:
        yield _line(names, parts)


def _line(names: Sequence[str], parts: Sequence[Apart]) -> Line:
    kinds = ("counts", "sizes", "numbers", "rest")
    text = "\n".join(getattr(one, kind) for kind in kinds for one in parts)
    images = b"".join(one.images for one in parts)
    return Line(tuple(names), _squeezed(text.encode()), _squeezed(images) if images else "")


def _squeezed(raw: bytes) -> str:
    look = _TEXT | {"dict_size": min(max(len(raw), 4096), SIZE)}  # memory is taken for all of it
    squeezed = lzma.compress(raw, lzma.FORMAT_XZ, lzma.CHECK_CRC32, filters=[look])
    return base64.b85encode(squeezed).decode()


@lru_cache(maxsize=16)
def _unfolded(packed: str, images: str, dictionary: bytes | None) -> list[Apart]:
    """A line's Results in parts; the last lines stay in memory, since Results are read one after the other."""
    if dictionary is not None:
        counts, numbers, rest = _inflated(packed, dictionary).split("\n")
        return [Apart(counts, "", numbers, rest)]
    lines = _opened(packed).decode().split("\n")
    many, over = divmod(len(lines), 4)
    if over:
        raise ValueError("its parts do not fit each other")
    raw, start, found = _opened(images) if images else b"", 0, []
    for counts, sizes, numbers, rest in zip(*(lines[k * many : (k + 1) * many] for k in range(4)), strict=True):
        end = start + sum(map(int, sizes.split()))
        found.append(Apart(counts, sizes, numbers, rest, raw[start:end]))
        start = end
    return found


def _opened(text: str) -> bytes:
    opener = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY)
    raw = opener.decompress(base64.b85decode(text), LARGEST)
    return _whole(raw, opener)


def _inflated(text: str, dictionary: bytes) -> str:
    opener = zlib.decompressobj(-15, zdict=dictionary)
    raw = opener.decompress(base64.b85decode(text), LARGEST)
    return _whole(raw, opener).decode()


def _whole(raw: bytes, opener: Any) -> bytes:
    """What was opened, if that is all there is."""
    if not opener.eof or opener.unused_data:
        raise ValueError("it is cut off or too long")
    return raw
