"""One budget for every memory: so many samples, or so many bytes, whatever a method keeps in them."""

from __future__ import annotations

import re

from clbench.data.tensors import TaskData
from clbench.errors import UserError
from clbench.registry import Count

Budget = Count | str  # samples, or bytes as '1.5MB', '512KiB'
LABEL = 8  # bytes
UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def bytes_of(budget: int | str) -> int | None:
    """The bytes of a budget that is told in bytes; None for one in samples. UserError if it is neither."""
    if isinstance(budget, int):
        return None
    found = re.fullmatch(r"\s*([0-9.]+)\s*([A-Za-z]+)\s*", budget)
    try:
        return int(float(found[1]) * UNITS[found[2].upper()])  # type: ignore[index]
    except (TypeError, ValueError, KeyError):
        raise UserError(
            "strategy.memory: expected a number of samples, as in 500, or bytes, as in 1.5MB or 512KiB; "
            f"got {budget!r}."
        ) from None


def places(budget: int | str, data: TaskData, beside: int = 0) -> int:
    """How many samples a budget holds, where each is kept as it came, with its label.

    ``beside``: bytes that a method keeps with each of them, such as logits. UserError where not one fits.
    """
    size = bytes_of(budget)
    if size is None:
        return int(budget)
    one = data.samples[0].numel() * data.samples.element_size() + LABEL + beside
    if size < one:
        raise UserError(
            f"strategy.memory: {budget} holds no sample; one takes {one:,} bytes here. Give more, for instance "
            f"{100 * one / 1000:.3g}KB for a hundred."
        )
    return size // one
