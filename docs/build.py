"""Build the site, strictly: ``python -m docs.build``. It goes to build/site and can be read from disk."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from mkdocs.commands.build import build
from mkdocs.config import load_config

from docs.gather import ROOT, gather

GENERATED = ("catalogue", "reference")
AFTER = 3  # Home, Start and How to


def main(work: Path = ROOT / "build") -> Path:
    """Gather the pages in ``work/docs`` and build ``work/site``. Raises MkDocs' Abort at any warning."""
    pages, site = work / "docs", work / "site"
    gather(pages)
    config = load_config(str(ROOT / "docs" / "mkdocs.yml"), docs_dir=str(pages), site_dir=str(site), strict=True)
    config.nav[AFTER:AFTER] = [{part.capitalize(): contents(pages / part, pages)} for part in GENERATED]
    config.plugins.on_startup(command="build", dirty=False)
    build(config)
    return site


def contents(folder: Path, pages: Path) -> list[Any]:
    """A folder's pages for the navigation, its index first, then its folders by name."""
    files = sorted(folder.glob("*.md"), key=lambda file: (file.stem != "index", file.stem))
    folders = sorted(path for path in folder.iterdir() if path.is_dir())
    named = [{path.name.capitalize(): contents(path, pages)} for path in folders]
    return [*(file.relative_to(pages).as_posix() for file in files), *named]


if __name__ == "__main__":
    logging.basicConfig(format="%(levelname)s: %(message)s")
    print(main() / "index.html")
