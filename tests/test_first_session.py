"""The README's first session, command by command as it stands there, and what it says comes out."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from tests.served import clbench

README = Path(__file__).resolve().parents[1] / "README.md"


def session() -> tuple[list[str], str]:
    """The commands of the section's first block, and the text of its second."""
    text = README.read_text(encoding="utf-8")
    section = text[text.index("## A first session") : text.index("## Where to go next")]
    commands, shown = re.findall(r"```(?:sh|text)\n(.*?)```", section, flags=re.DOTALL)[:2]
    return commands.strip().splitlines(), shown


def words(text: str) -> str:
    """A text with its numbers masked and its columns joined: another machine rounds otherwise, and not far off."""
    return " ".join(re.sub(r"[+−]?\d+(\.\d+)?", "#", text).replace("─", "").split())


def test_the_first_session_says_what_the_readme_shows(tmp_path: Path) -> None:
    commands, shown = session()
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "clbench"
        done = clbench(*arguments, cwd=tmp_path, COLUMNS="80")
        assert done.returncode == 0, done.stderr
    assert words(done.stdout) == words(shown)
    assert max(map(len, done.stdout.splitlines())) <= 80
