"""Published numbers and claims: how to run them here, and what came out. Listing and judging import no torch."""

from __future__ import annotations

from clbench.errors import UserError, did_you_mean
from clbench.reproduce import avalanche_baselines, class_incremental, interpolation, regularisers, van_de_ven
from clbench.reproduce.entry import Claim, Entry, Published

ENTRIES: dict[str, Entry] = {
    entry.name: entry
    for module in (avalanche_baselines, van_de_ven, class_incremental, interpolation, regularisers)
    for entry in module.ENTRIES
}


def named(name: str) -> Entry:
    """Return an entry; UserError with the nearest name for an unknown one."""
    if name not in ENTRIES:
        raise UserError(
            f"Unknown reproduction '{name}'.{did_you_mean(name, ENTRIES)} 'clbench reproduce' lists all {len(ENTRIES)}."
        )
    return ENTRIES[name]


__all__ = ["ENTRIES", "Claim", "Entry", "Published", "named"]
