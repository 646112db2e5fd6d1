"""The README's generated tables: ``python -m tests.readme`` rewrites them; a test compares."""

from __future__ import annotations

import re
from pathlib import Path

from clbench.render import catalogue, tables

README = Path(__file__).resolve().parents[1] / "README.md"
KINDS = ("strategies", "scenarios", "metrics")


def with_tables(text: str) -> str:
    """Put the catalogue's tables between their markers."""
    for kind in KINDS:
        table = tables.markdown(catalogue.table(kind))
        pattern = rf"(<!-- {kind} -->\n).*?(<!-- end -->)"
        text = re.sub(pattern, lambda m, table=table: m[1] + table + m[2], text, flags=re.DOTALL)  # type: ignore[misc]
    return text


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text(encoding="utf-8")), encoding="utf-8")
