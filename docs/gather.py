"""Everything that the site shows, in one folder: pages, the changelog, what is generated, and what is linked to.

Pages are written for reading in the repository too, so they link to files in it: ``../../../results/…``. Such a file
comes along – reports and pictures as they are, program text as a page – and the link is turned to where it is then.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path, PurePosixPath

from docs import catalogue

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "pages"
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)\s#]+)((?:#[^)\s]*)?)(?=[)\s])")
FENCED = re.compile(r"(^ *```.*?^ *```)", re.DOTALL | re.MULTILINE)
WORDS_AND_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?![a-z]+:|#)([^)\s#]+)(?:#[^)\s]*)?\)")
AS_THEY_ARE = {".svg", ".png", ".json", ".md"}
LANGUAGE = {".py": "python", ".yaml": "yaml", ".toml": "toml"}


def gather(into: Path) -> None:
    """Fill an empty or former folder with the site's Markdown and pictures.

    Raises FileNotFoundError for a link to what is nowhere.
    """
    if into.exists():
        shutil.rmtree(into)
    shutil.copytree(PAGES, into)
    (into / "changelog.md").write_text((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), encoding="utf-8")
    catalogue.generate(into)
    origin = {page: PAGES / page.relative_to(into) for page in into.rglob("*.md")}
    origin[into / "changelog.md"] = ROOT / "CHANGELOG.md"
    while origin:
        page, source = origin.popitem()
        origin |= bring(page, source, into)


def bring(page: Path, source: Path, into: Path) -> dict[Path, Path]:
    """Turn a page's links to the repository's files into links within the site; the Markdown that came along by it."""
    come: dict[Path, Path] = {}

    def turned(match: re.Match[str]) -> str:
        target, anchor = match[1], match[2]
        if within(into, page, target):
            return match[0]
        original = Path(os.path.normpath(source.parent / target))
        if original.is_dir() and (original / "README.md").exists():
            original /= "README.md"
        if not original.exists():
            raise FileNotFoundError(f"{source.relative_to(ROOT)} links to {target}, which is not there.")
        if original.is_dir():
            return match[0]  # unlinked below: a site shows no folders
        copy = into / home(original)
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            write(original, copy)
            if original.suffix == ".md":
                come[copy] = original
        return os.path.relpath(copy, page.parent) + anchor

    parts = FENCED.split(page.read_text(encoding="utf-8"))  # every second one is a snippet
    parts[::2] = [without_folders(LINK.sub(turned, prose), page, into) for prose in parts[::2]]
    page.write_text("".join(parts), encoding="utf-8")
    return come


def home(original: Path) -> PurePosixPath:
    """Where a file is in the site: a page at its own path, another file of the repository below 'repository'."""
    if original.is_relative_to(PAGES):
        return PurePosixPath(original.relative_to(PAGES).as_posix())
    path = PurePosixPath("repository") / original.relative_to(ROOT).as_posix()
    return path if original.suffix in AS_THEY_ARE else path.with_name(f"{path.name}.md")


def write(original: Path, copy: Path) -> None:
    """Copy a report or picture; wrap other text in a page that search leaves out."""
    if original.suffix in AS_THEY_ARE:
        shutil.copyfile(original, copy)
        return
    text = original.read_text(encoding="utf-8")
    head = f"---\nsearch: {{exclude: true}}\n---\n\n# {original.relative_to(ROOT).as_posix()}\n\n"
    copy.write_text(f"{head}`````{LANGUAGE.get(original.suffix, 'text')}\n{text}\n`````\n", encoding="utf-8")


def without_folders(text: str, page: Path, into: Path) -> str:
    """Links to folders of the repository, as their words alone."""
    return WORDS_AND_LINK.sub(lambda link: link[0] if within(into, page, link[2]) else link[1], text)


def within(into: Path, page: Path, target: str) -> bool:
    """Whether a page's link leads to a file that is in the site already."""
    path = Path(os.path.normpath(page.parent / target))
    return path.is_relative_to(into) and path.is_file()
