"""The README's generated tables: ``python -m tests.readme`` rewrites them; a test compares."""

from __future__ import annotations

import re
from pathlib import Path

from clbench.render import catalogue, reproduction, tables
from clbench.reproduce import ENTRIES
from clbench.reproduce.judge import findings

README = Path(__file__).resolve().parents[1] / "README.md"
KINDS = ("strategies", "scenarios", "metrics")
REPRODUCTION = README.parent / "results" / "reproduction"


def with_tables(text: str) -> str:
    """Put the catalogue's tables, and published numbers beside ours, between their markers."""
    made = {kind: catalogue.table(kind) for kind in KINDS}
    found = [finding for entry in ENTRIES.values() for finding in findings(entry, REPRODUCTION)]
    made["reproduction"] = reproduction.table(found)
    for kind, content in made.items():
        table = tables.markdown(content)
        pattern = rf"(<!-- {kind} -->\n).*?(<!-- end -->)"
        text = re.sub(pattern, lambda m, table=table: m[1] + table + m[2], text, flags=re.DOTALL)  # type: ignore[misc]
    return text


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text(encoding="utf-8")), encoding="utf-8")
