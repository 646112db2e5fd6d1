"""Folders, on this machine or behind a URL, in which files are written whole or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from clbench.errors import UnreachableError, UserError
from clbench.store.atomic import write_bytes

# Stores whose files have no folders above them; their drivers would make a bucket that is not there.
OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss"}


class Folder(ABC):
    """Files by name, '/' between the folders of a name."""

    @abstractmethod
    def write(self, name: str, content: bytes) -> None:
        """Write a file so that a reader sees all of it or none. Raises OSError."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Return a file's content. Raises FileNotFoundError."""

    @abstractmethod
    def names(self, under: str = "") -> list[str]:
        """Return the names of all files in a folder of this one, in order; those that are being written left out."""

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Say whether there is such a file."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a file, if it is there, and folders that it leaves empty."""

    @abstractmethod
    def clear(self, under: str) -> None:
        """Remove a folder of this one with all that is in it, also what was never finished."""


class LocalFolder(Folder):
    """A folder of this machine."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def write(self, name: str, content: bytes) -> None:
        """Write atomically."""
        write_bytes(self.path / name, content)

    def read(self, name: str) -> bytes:
        """Read."""
        return (self.path / name).read_bytes()

    def names(self, under: str = "") -> list[str]:
        """Walk."""
        return sorted(
            (Path(where) / name).relative_to(self.path).as_posix()
            for where, _, names in os.walk(self.path / under)
            for name in names
            if not name.startswith(".")
        )

    def exists(self, name: str) -> bool:
        """Ask the file system."""
        return (self.path / name).is_file()

    def remove(self, name: str) -> None:
        """Remove the file, then what is empty above it."""
        file = self.path / name
        file.unlink(missing_ok=True)
        for parent in file.parents:
            if parent == self.path:
                break
            try:
                parent.rmdir()
            except OSError:
                break

    def clear(self, under: str) -> None:
        """Remove the tree."""
        shutil.rmtree(self.path / under, ignore_errors=True)


class RemoteFolder(Folder):
    """A folder behind a URL that fsspec understands: ``s3://bucket/results``, ``gs://…``, ``memory://…``.

    A file is uploaded under another name and then moved: stores whose uploads are not atomic show no half of it. Each
    method raises UnreachableError if the store fails, FileNotFoundError where a file is missing.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.system, self.root = _open(self.url)
        self._has_folders = self.url.partition("://")[0] not in OBJECT_STORES

    def __str__(self) -> str:
        return self.url

    def _at(self, name: str) -> str:
        return f"{self.root}/{name}"

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Let a driver's own kinds of errors be one that is known here."""
        try:
            yield
        except OSError:
            raise
        except Exception as error:
            raise UnreachableError(_unreached(self.url, error)) from None

    def write(self, name: str, content: bytes) -> None:
        """Upload, then move."""
        target = self._at(name)
        above = target.rpartition("/")[0]
        scratch = f"{above}/.{uuid.uuid4().hex}"
        with self._reached():
            if self._has_folders:
                self.system.makedirs(above, exist_ok=True)
            try:
                self.system.pipe_file(scratch, content)
                self.system.mv(scratch, target)
            except BaseException:
                self._forget(scratch)
                raise

    def _forget(self, scratch: str) -> None:
        """Remove what a failed upload has left, if the store can still be asked."""
        with suppress(Exception):
            if self.system.exists(scratch):
                self.system.rm_file(scratch)

    def read(self, name: str) -> bytes:
        """Download."""
        with self._reached():
            content: bytes = self.system.cat_file(self._at(name))
        return content

    def names(self, under: str = "") -> list[str]:
        """List, without what an earlier listing remembered."""
        inside = (name.split(f"{self.root.lstrip('/')}/", 1)[-1] for name in self._find(under))
        return sorted(name for name in inside if not name.rpartition("/")[2].startswith("."))

    def _find(self, under: str) -> list[str]:
        """Every file below, by the store's own names."""
        with self._reached():
            self.system.invalidate_cache()
            try:
                return [*self.system.find(self._at(under) if under else self.root)]
            except OSError as error:  # not even an empty folder: there is no such bucket, or it is closed
                raise UnreachableError(_unreached(self.url, error)) from None

    def exists(self, name: str) -> bool:
        """Ask the store."""
        with self._reached():
            self.system.invalidate_cache()
            return bool(self.system.exists(self._at(name)))

    def remove(self, name: str) -> None:
        """Remove the file; such stores have no folders that could stay empty."""
        if self.exists(name):
            with self._reached():
                self.system.rm_file(self._at(name))

    def clear(self, under: str) -> None:
        """Remove every file below."""
        for name in self._find(under):
            with self._reached():
                self.system.rm_file(name)


def is_url(text: str) -> bool:
    """Whether a place is a URL rather than a path."""
    return "://" in text


def open_folder(place: str | Path) -> Folder:
    """Return a folder by path or URL; UserError for a URL whose driver is missing or that cannot be reached."""
    text = str(place)
    if text.startswith("file://"):
        return LocalFolder(Path(text.removeprefix("file://")))
    return RemoteFolder(text) if is_url(text) else LocalFolder(Path(place))


def _open(url: str) -> tuple[Any, str]:
    scheme = url.partition("://")[0]
    try:
        import fsspec
    except ModuleNotFoundError:
        raise UserError(f"{url} needs fsspec, which is not installed. Run: pip install 'clbench[ray]'") from None
    try:
        system, root = fsspec.core.url_to_fs(url)
        system.ls(root) if system.exists(root) else None
    except ValueError as error:
        raise UserError(
            f"{url}: there is no such kind of store ({error}). Use a folder, s3://, gs:// or az://."
        ) from None
    except ImportError as error:
        package = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
        named = package.get(scheme)
        how = f"Run: pip install {named}" if named else f"Install the fsspec driver of {scheme}://."
        raise UserError(f"{url} needs a driver that is not installed ({error}). {how}") from None
    except Exception as error:  # each driver has its own
        raise UnreachableError(_unreached(url, error)) from None
    return system, str(root).rstrip("/")


def _unreached(url: str, error: Exception) -> str:
    return f"{url} cannot be reached ({type(error).__name__}: {error}). Check it and its keys."
