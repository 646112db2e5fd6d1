"""What the documentation's pages take from elsewhere: ``python -m tests.pages`` rewrites it; a test compares.

Tables of the catalogue, published numbers beside ours, the README's first session, and the README's picture.
"""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

from clbench.render import catalogue, reproduction, tables
from clbench.reproduce import ENTRIES
from clbench.reproduce.judge import findings

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
FOLDER = ROOT / "docs" / "pages"
PAGES = sorted(FOLDER.rglob("*.md"))
KINDS = ("strategies", "scenarios", "metrics")
REPRODUCTION = ROOT / "results" / "reproduction"
PICTURE = FOLDER / "assets" / "answer.svg"
PICTURED = """
    naive joint frozen-backbone der++ acil er gdumb a-gem slda si ewc lwf ewc-fixed shrink-perturb
""".split()  # noqa: SIM905


def everything() -> str:
    """The text of the README and of all pages."""
    return "\n".join(path.read_text(encoding="utf-8") for path in (README, *PAGES))


@cache
def made() -> dict[str, str]:
    """What stands between the markers of each name."""
    found = [finding for entry in ENTRIES.values() for finding in findings(entry, REPRODUCTION)]
    return {
        **{kind: tables.markdown(catalogue.table(kind)) for kind in KINDS},
        "reproduction": tables.markdown(reproduction.table(found)),
        "first session": first_session(),
    }


def first_session() -> str:
    """The README's section without its heading, with links as a page in a folder has them."""
    text = README.read_text(encoding="utf-8")
    section = text[text.index("## A first session\n") : text.index("## Where to go next\n")]
    return section.partition("\n")[2].strip().replace("](docs/pages/", "](../") + "\n"


def rewritten(text: str) -> str:
    """A page with what is made between its markers."""
    for name, content in made().items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
        text = re.sub(pattern, lambda m, content=content: m[1] + content + m[2], text, flags=re.DOTALL)  # type: ignore[misc]
    return text


def draw() -> None:
    """Draw the README's picture from the committed baseline."""
    words = ["compare", "results/baseline", "--scenario", "permuted-digits", "--picture", "difference"]
    words += [word for name in PICTURED for word in ("--strategy", name)]
    subprocess.run([sys.executable, "-m", "clbench", *words, "--plot", str(PICTURE)], cwd=ROOT, check=True)


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(rewritten(page.read_text(encoding="utf-8")), encoding="utf-8")
    draw()
