"""Every link of the README and of the pages leads somewhere, and every command line in them can be parsed."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main

from clbench.cli import app
from tests.pages import PAGES, README, ROOT

TEXTS = [README, ROOT / "CONTRIBUTING.md", *PAGES]
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?![a-z]+:)([^)#\s]*)(?:#([^)\s]+))?\)")
SHELL_WORDS = {"|", ">", "||", ";", "done", "do", "&&"}
PLACEHOLDERS = re.compile(r"…|\$\(|\$\{|<\w+>")


@cache
def anchors(page: Path) -> set[str]:
    """The anchors that GitHub and the site give to a page's headings."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        there = (page.parent / target).resolve() if target else page
        if there.relative_to(ROOT).parts[:3] in {("docs", "pages", "catalogue"), ("docs", "pages", "reference")}:
            continue  # made when the site is built, whose build is strict
        assert there.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(there), f"{page.name}: {target}#{anchor}"


def command_lines() -> list[str]:
    """The lines of shell snippets that call clbench, continued lines joined, without what a shell does around them."""
    found = []
    for page in TEXTS:
        for _, language, code in FENCE.findall(page.read_text(encoding="utf-8")):
            if language in {"sh", "bash", "yaml"}:
                joined = re.sub(r"\\\n\s*", " ", code)
                found += re.findall(r"(?:^|[ |;])(clbench [^|\n]*)", joined, re.MULTILINE)
    return list(dict.fromkeys(found))


@cache
def parser() -> Any:
    return typer.main.get_command(app)


@pytest.mark.parametrize("line", command_lines())
def test_command_lines_can_be_parsed(line: str) -> None:
    line = line.rstrip("'") if line.count("'") % 2 else line  # the end of a longer quotation
    words = shlex.split(PLACEHOLDERS.sub("x", line), comments=True)[1:]
    ends = (i for i, word in enumerate(words) if word.rstrip(";") in SHELL_WORDS or word.startswith(">"))
    end = next(ends, len(words))
    command, words = parser(), [word.rstrip(";'") for word in words[:end]]
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        if words[0] not in command.commands and command.name == "sweep":
            words.insert(0, "run")  # a plan stands where a command may
        assert words[0] in command.commands, f"no command {words[0]}"
        command, words = command.commands[words[0]], words[1:]
    options = {name for parameter in command.params for name in [*parameter.opts, *parameter.secondary_opts]}
    given = {word.split("=")[0] for word in words if word.startswith("-") and len(word) > 1}
    assert given <= options | {"--help"}, f"no such options: {given - options}"


def test_there_are_command_lines() -> None:
    assert len(command_lines()) > 60
