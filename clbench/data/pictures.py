"""A table's column of images as samples: bytes of image files, or where these lie."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from clbench.data.dataset import Array, Shape
from clbench.data.folder import decode, differing_sizes
from clbench.data.parts import taken
from clbench.errors import UserError


class Pictures:
    """uint8 images [n, channels, height, width]; grey if all are grey, else RGB.

    A cell holds the bytes of an image file, or a structure of ``bytes`` and ``path`` as Hugging Face datasets have it,
    or the path of a file, from ``folder`` on.
    """

    dtype = np.uint8

    def __init__(self, file: Path, column: str, folder: Path, image_size: int | None) -> None:
        self.file, self.column, self.folder, self.image_size = file, column, folder, image_size
        self.shape: Shape = ()
        self._colour = False

    def block(self, batch: pa.RecordBatch, before: int) -> Array:
        """Return a batch of images, uint8 [n, 3, height, width], ``before`` of which have been read."""
        images = [self._decoded(cell.as_py(), before + row + 1) for row, cell in enumerate(batch.column(self.column))]
        return np.stack(images) if images else np.empty((0, *self.shape), np.uint8)

    def _decoded(self, cell: Any, row: int) -> Array:
        found, grey = decode(*self._source(cell, row), None, self.image_size)
        self._colour |= not grey
        self.shape = self.shape or found.shape
        if found.shape != self.shape:
            raise differing_sizes(self.file)
        return found

    def _source(self, cell: Any, row: int) -> tuple[Path | BinaryIO, str]:
        """Where one image is read from, and what it is called if it cannot be."""
        path = cell.get("path") if isinstance(cell, dict) else cell if isinstance(cell, str) else None
        content = cell.get("bytes") if isinstance(cell, dict) else cell if isinstance(cell, bytes) else None
        if content is not None:
            return io.BytesIO(content), f"{self.file}: column '{self.column}' in row {row:,}"
        if path is None:
            raise UserError(
                f"{self.file}: the image (column '{self.column}') is missing in row {row:,}. Remove such rows."
            )
        image = self.folder / path
        if not image.is_file():
            raise UserError(
                f"{self.file}: there is no image {image}, named in row {row:,} (column '{self.column}'). Put it there, "
                "or remove the row."
            )
        return image, str(image)

    def read(self, rows: Array) -> Array:
        """Return all images, grey if they are."""
        return rows if self._colour else rows[:, :1]

    def in_time(self, rows: Array) -> None:
        """Nothing depends on the order of images."""

    def dated(self, rows: Array, times: Array | None, room: Path) -> tuple[Array, None]:
        """Return images as they are: a date is no pixel. A copy on the disk where they are part of another array."""
        return rows if rows.flags.c_contiguous else taken(rows, np.arange(len(rows)), room), None
