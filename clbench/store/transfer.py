"""Results from one place to another: folders, URLs, archives. What arrives is verified and put where it belongs."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from clbench.errors import UserError
from clbench.store.files import content_of, name_of, parsed, unwritable
from clbench.store.folders import Folder, LocalFolder, is_url, open_folder
from clbench.store.schema import Result

LARGEST = 256 * 2**20  # bytes of a member of an archive; a Result has thousands
Content = Iterable[tuple[str, bytes]]


@dataclass
class Taken:
    """What became of each Result: names of the new, the same and the replaced, and why others were refused."""

    new: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def contents(source: str) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of every JSON file of a folder, a URL or a .zip archive; hidden ones are left out.

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
            yield name, folder.read(name)


def _members(source: str) -> Iterator[tuple[str, bytes]]:
    try:
        raw = _read(source)
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            for member in archive.infolist():
                if _is_result(member.filename) and member.file_size <= LARGEST:
                    yield member.filename, archive.read(member)
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise UserError(f"{source} is no .zip archive that can be read ({error}). Check the path.") from None


def _read(source: str) -> bytes:
    if not is_url(source):
        return Path(source).read_bytes()
    where, _, name = source.rpartition("/")
    return open_folder(where).read(name)


def _is_result(name: str) -> bool:
    hidden = any(part.startswith(".") for part in name.split("/"))
    return name.endswith(".json") and not name.endswith(".study.json") and not hidden


def take(found: Content, folder: Folder) -> Taken:
    """Write verified Results to a folder, each under its own name; of two of the same run the newer stays.

    Names of the source count for nothing, so nothing can be written outside of the folder. Raises UserError if the
    folder cannot be written.
    """
    taken = Taken()
    for source, raw in found:
        try:
            result = parsed(raw, source)
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
        return parsed(folder.read(name), name)
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
