"""Results from one place to another: folders, URLs, archives. What arrives is verified and put where it belongs."""

from __future__ import annotations

import io
import lzma
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from clbench.errors import UserError
from clbench.store.files import content_of, name_of, parsed, raw, unwritable
from clbench.store.folders import Folder, LocalFolder, is_url, open_folder
from clbench.store.packs import PACK, parsed_pack
from clbench.store.schema import Result

LARGEST = 256 * 2**20  # bytes of a member of an archive; a Result has thousands
TOO_LARGE = f"has more than {LARGEST // 2**20} MiB, and no Result has. It was not opened."
# What a member that is damaged, encrypted or packed in an unknown way raises.
UNPACKABLE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError, OSError)
Content = Iterable[tuple[str, bytes | UserError]]


@dataclass
class Taken:
    """What became of each Result: names of the new, the same and the replaced, and why others were refused."""

    new: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        new, same, replaced, refused = map(len, (self.new, self.same, self.replaced, self.refused))
        return f"{new} new, {same} already there, {replaced} replaced by newer ones, {refused} left out"


def contents(source: str) -> Iterator[tuple[str, bytes | UserError]]:
    """Yield name and content of every Result of a folder, a URL or a .zip archive, packed ones with them.

    Of those that cannot be read: name and why. Files that are hidden or no Results by their name are passed over.

    Raises UserError if there is no such place.
    """
    if source.endswith(".zip"):
        yield from _members(source)
        return
    if not is_url(source) and not Path(source).is_dir():
        raise UserError(f"{source}: there is no such folder or archive. Give a folder, a URL or a .zip file.")
    folder = open_folder(source)
    for name in folder.names():
        if _is_result(name):
            yield from _unpacked(name, folder.read(name))


def _unpacked(name: str, raw: bytes) -> Iterator[tuple[str, bytes | UserError]]:
    """A file's Result, or those of a pack; in place of one that is damaged, why."""
    if name.rpartition("/")[2] != PACK:
        yield name, raw
        return
    try:
        pack = parsed_pack(raw, name)
    except UserError as error:
        yield name, error
        return
    for one in pack.names():
        try:
            yield f"{name}/{one}", pack.content(one)
        except UserError as error:
            yield f"{name}/{one}", error


def _members(source: str) -> Iterator[tuple[str, bytes | UserError]]:
    try:
        archive = zipfile.ZipFile(io.BytesIO(_read(source)))
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{source} is no .zip archive that can be read ({error}). Check the path.") from None
    with archive:
        for member in archive.infolist():
            if _is_result(member.filename):
                yield from _opened(archive, member)


def _opened(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[tuple[str, bytes | UserError]]:
    """A member's Results; in place of one that is too large or cannot be unpacked (damaged, encrypted, …), why."""
    name = member.filename
    if member.file_size > LARGEST:
        yield name, UserError(f"{name} {TOO_LARGE}")
        return
    try:
        raw = archive.read(member)
    except UNPACKABLE as error:
        yield name, UserError(f"{name} cannot be unpacked ({error}). Make the archive again.")
        return
    yield from _unpacked(name, raw)


def _read(source: str) -> bytes:
    if not is_url(source):
        return Path(source).read_bytes()
    where, _, name = source.rpartition("/")
    return open_folder(where).read(name)


def _is_result(name: str) -> bool:
    hidden = any(part.startswith(".") for part in name.split("/"))
    named = name.endswith(".json") and not name.endswith(".study.json")
    return (named or name.rpartition("/")[2] == PACK) and not hidden


def take(found: Content, folder: Folder) -> Taken:
    """Write verified Results to a folder, each under its own name; of two of the same run the newer stays.

    Names of the source count for nothing, so nothing can be written outside of the folder. Raises UserError if the
    folder cannot be written.
    """
    taken = Taken()
    for source, content in found:
        try:
            if isinstance(content, UserError):
                raise content
            result = parsed(content, source)
        except UserError as error:
            taken.refused.append(str(error))
            continue
        name = name_of(result)
        there = _there(folder, name)
        if there is not None and there.created >= result.created:
            taken.same.append(name)
            continue
        (taken.new if there is None else taken.replaced).append(name)
        try:
            folder.write(name, content_of(result))
        except OSError as error:
            raise unwritable(folder, error) from None
    return taken


def _there(folder: Folder, name: str) -> Result | None:
    """The Result of that name, if there is one that is whole."""
    try:
        return parsed(raw(name, folder), name)
    except (OSError, UserError):
        return None


def archive(results: Iterable[Result], target: str) -> int:
    """Write Results into a .zip archive, whole or not at all; return how many."""
    buffer, count = io.BytesIO(), 0
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for result in results:
            # A fixed time, so that equal Results make equal archives.
            file.writestr(zipfile.ZipInfo(name_of(result), (1980, 1, 1, 0, 0, 0)), content_of(result))
            count += 1
    write(target, buffer.getvalue())
    return count


def write(target: str, content: bytes) -> None:
    """Write a file at a path or URL; UserError if it cannot be."""
    where, _, name = target.rpartition("/")
    folder = open_folder(where) if is_url(target) else LocalFolder(Path(target).parent)
    try:
        folder.write(name if is_url(target) else Path(target).name, content)
    except OSError as error:
        raise UserError(f"{target} cannot be written ({error.strerror or error}). Name another file.") from None
